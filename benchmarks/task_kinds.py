"""One small network of every task and of every rank of its inputs, to see that gdr finishes.

Weights are random: nothing is said of what a metric loses.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.api import compress
from actpress.budget import Budget
from actpress.data import Dataset, Split
from actpress.errors import ActpressError
from actpress.methods import Settings
from actpress.tasks import (
    CLASSIFICATION,
    UNLABELLED,
    Custom,
    DenseRegression,
    Metric,
    MultiLabel,
    Regression,
    Segmentation,
    Task,
)
from benchmarks.store import Row, environment

CLASSES = 4
COUNTS = 64, 32, 32
"""Images to train on, held out, and to test on."""

SETTINGS = Settings(calibration_images=64, search_images=16, decoder_images=32, holdout_images=16)
BUDGET = Budget.parse("3bits", batch=100_000)
"""Small networks store few values of one image."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """A network with its task.

    Attributes:
        rank: of the input, in words.
        task: of the output.
        build: makes the network.
        shape: of an input, without n.
        target: makes so many targets.
    """

    rank: str
    task: Task
    build: Callable[[], nn.Module]
    shape: Shape
    target: Callable[[int, torch.Generator], Tensor]


class Tokens(nn.Module):
    """Linear layers over the last axis, as of tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(channels, 16), nn.Linear(16, channels)
        self.head = nn.Linear(channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Values (n, ..., channels) -> logits (n, CLASSES)."""
        x = x + self.b(F.gelu(self.a(x)))
        logits: Tensor = self.head(x.flatten(1, -2).mean(1))
        return logits


class ChannelsLast(nn.Module):
    """Maps (n, c, h, w) as (n, h, w, c)."""

    def forward(self, x: Tensor) -> Tensor:
        """Move the channels."""
        return x.permute(0, 2, 3, 1)


class Points(nn.Module):
    """Two outputs: coordinates of points, and how sure they are."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.where, self.sure = _maps(8), nn.Linear(8, 4), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Images -> coordinates (n, 4), and logits (n, 2)."""
        pooled = self.body(x).mean((2, 3))
        return {"where": self.where(pooled), "sure": self.sure(pooled)}


def distance(outputs: dict[str, Tensor], targets: Tensor) -> float:
    """Mean absolute distance of the points."""
    return float((outputs["where"] - targets).abs().mean())


def kinds() -> Iterator[Kind]:
    """Every rank with classes, and every other task with images."""
    image = (3, 16, 16)
    for rank, build, shape in (
        ("(n, c)", _vectors, (12,)),
        ("(n, c, t)", _series, (2, 20)),
        ("(n, c, h, w)", lambda: _pooled(_maps(8)), image),
        ("(n, c, d, h, w)", _volumes, (1, 6, 8, 8)),
        ("tokens (n, t, c)", lambda: nn.Sequential(nn.Linear(6, 8), Tokens(8)), (5, 6)),
        ("channels last", _channels_last, image),
    ):
        yield Kind(rank, CLASSIFICATION, build, shape, _classes)
    dense = lambda: nn.Sequential(_maps(8), nn.Conv2d(8, CLASSES, 1))  # noqa: E731
    points = Custom(distance, Metric("distance", "px", higher_is_better=False), "keypoints")
    others: tuple[tuple[Task, Callable[[], nn.Module], Callable[..., Tensor]], ...] = (
        (MultiLabel(labels=CLASSES), lambda: _pooled(_maps(8)), _labels),
        (Segmentation(classes=CLASSES), dense, _masks),
        (DenseRegression(), dense, lambda n, g: torch.rand(n, CLASSES, 16, 16, generator=g)),
        (Regression(), lambda: _pooled(_maps(8)), lambda n, g: torch.rand(n, 4, generator=g)),
        (points, Points, lambda n, g: torch.rand(n, 4, generator=g)),
        (UNLABELLED, lambda: _pooled(_maps(8)), lambda n, _: torch.zeros(n, 0).long()),
    )
    for task, build, target in others:
        yield Kind("(n, c, h, w)", task, build, image, target)


def finish(kind: Kind) -> Row:
    """Compress, and say whether that came to an end."""
    torch.manual_seed(0)
    network = kind.build().eval()
    row: Row = {"rank": kind.rank, "task": kind.task.name, "finished": True, "refused": None}
    began = time.perf_counter()
    try:
        result = compress(network, _data(kind), method="gdr", budget=BUDGET, settings=SETTINGS)
    except ActpressError as error:
        row |= {"finished": False, "refused": str(error)}
    else:
        row["bits_per_value"] = result.metrics.bits_per_value.entropy
    return row | {"seconds": time.perf_counter() - began, "environment": environment()}


def _data(kind: Kind) -> Dataset:
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        values = torch.randn(count, *kind.shape, generator=generator)
        return Split.in_memory(values, kind.target(count, generator))

    classes = CLASSES if kind.task is CLASSIFICATION else 0
    train, holdout, test = map(split, COUNTS)
    return Dataset("made", train, holdout, test, classes, kind.task)


def _classes(count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(CLASSES, (count,), generator=generator)


def _labels(count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2, (count, CLASSES), generator=generator)


def _masks(count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(CLASSES, (count, 16, 16), generator=generator)


def _maps(channels: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()),
        *(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()),
    )


def _pooled(body: nn.Module) -> nn.Module:
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))


def _vectors() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh()),
        nn.Linear(8, CLASSES),
    )


def _series() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv1d(2, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, CLASSES)),
    )


def _volumes() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv3d(1, 8, 3), nn.BatchNorm3d(8), nn.ReLU(), nn.Conv3d(8, 8, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, CLASSES)),
    )


def _channels_last() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 2, 2), ChannelsLast(), Tokens(8))


def key_of(row: Any) -> tuple[str, str]:
    """What tells rows apart: of a row, or of a `Kind`."""
    return (row.rank, row.task.name) if isinstance(row, Kind) else (row["rank"], row["task"])
