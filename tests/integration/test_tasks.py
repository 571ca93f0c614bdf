"""`compress` end to end for other tasks than classification, on torch's own loaders."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import actpress
from actpress.errors import BudgetError, DataError, ModelError, TaskError, TuningError
from actpress.evaluation import Metrics
from actpress.methods import METHODS, Outcome
from actpress.tasks import (
    Classification,
    Custom,
    DenseRegression,
    Metric,
    MultiLabel,
    Regression,
    Segmentation,
    Task,
)
from actpress.tune import TuneSettings

SMALL = actpress.Settings(
    calibration_images=48,
    search_images=16,
    decoder_images=32,
    holdout_images=16,
    tune=TuneSettings(steps=4, batch_size=8, validate_every=2, validation_images=16),
)
SIDE, CLASSES = 16, 3
BUDGET = "3bits (entropy, activations)"


class Maps(nn.Module):
    """An encoder and a decoder with a skip connection, from images to maps of so many channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.last = nn.Conv2d(16, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.relu(self.down(x))
        return self.last(torch.cat([skip, F.relu(self.up(F.relu(self.deep(skip))))], 1))


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bright and dark squares on noise, and the class of every pixel, (n, h, w)."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.int64)
    for mask in masks:
        for kind in (1, 2):
            top, left = torch.randint(SIDE - 5, (2,), generator=generator).tolist()
            mask[top : top + 5, left : left + 5] = kind
    clean = torch.tensor([0.0, 1.0, -1.0])[masks][:, None]
    return clean + 0.3 * torch.randn(clean.shape, generator=generator), masks


def trained(
    network: nn.Module, task: Task, x: Tensor, target: object, steps: int = 60
) -> nn.Module:
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        task.loss(network(x), target).backward()
        optimizer.step()
    return network.eval()


def loaders(*arrays: tuple[Tensor, ...]) -> list[DataLoader[tuple[Tensor, ...]]]:
    return [DataLoader(TensorDataset(*array), batch_size=8) for array in arrays]


@pytest.mark.parametrize("method", ["gdr", "cap"])
def test_segmentation(method: str) -> None:
    parts = [scenes(count, seed) for count, seed in ((64, 1), (32, 2), (32, 3))]
    task = Segmentation(classes=CLASSES)
    network = trained(Maps(CLASSES), task, *parts[0])
    train, holdout, test = loaders(*parts)

    result = actpress.compress(
        network,
        train,
        holdout=holdout,
        test=test,
        task=task,
        method=method,
        budget=BUDGET,
        settings=SMALL,
    )

    x, masks = parts[2]
    compared = result.metrics.compared
    assert (compared.name, compared.unit) == ("mean IoU", "%")
    for model, told in ((network, compared.before), (result.model, compared.after)):
        with torch.no_grad():
            found = model(x).argmax(1)
        overlaps = [
            ((found == kind) & (masks == kind)).sum() / ((found == kind) | (masks == kind)).sum()
            for kind in range(CLASSES)
        ]
        assert told == pytest.approx(float(torch.stack(overlaps).mean()))
    assert compared.before > 0.8
    assert compared.before - compared.after < 0.1


def test_targets_of_another_form_are_refused_before_any_work() -> None:
    x, masks = scenes(16, 1)
    task, network = Segmentation(classes=CLASSES), Maps(CLASSES).eval()
    with (
        pytest.raises(DataError, match=r"float32 of shape .*; expected class indices \(n, h, w\)"),
        pytest.warns(UserWarning, match="set apart"),
    ):
        actpress.compress(network, TensorDataset(x, masks.float()), task=task)
    with (
        pytest.raises(ModelError, match="maps of 16x16, the targets of 8x8"),
        pytest.warns(UserWarning, match="set apart"),
    ):
        actpress.compress(network, TensorDataset(x, masks[:, ::2, ::2]), task=task)
    with (
        pytest.raises(BudgetError, match=r"bounds a metric in dB, but .* mean IoU in %; ask for"),
        pytest.warns(UserWarning, match="set apart"),
    ):
        actpress.compress(network, TensorDataset(x, masks), task=task, budget="0.3dB")


class Pooled(nn.Module):
    """Convolutions, a mean, and so many numbers."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.head = nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.second(F.relu(self.first(x)))).mean((2, 3)))


class Keypoints(nn.Module):
    """A heat map and a size for each image, as a dict of tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.pooled = Maps(1), Pooled(1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"heat": self.maps(x), "size": self.pooled(x)}


def heat_error(outputs: dict[str, Tensor], targets: Tensor) -> float:
    return float((outputs["heat"].squeeze(1) - targets).abs().mean())


def share(_: Tensor, masks: Tensor) -> Tensor:
    return (masks > 0).float().mean((1, 2))[:, None]


def present(_: Tensor, masks: Tensor) -> Tensor:
    """Whether the left half holds much of every class; zeros and ones of a float type."""
    return torch.stack([(masks[:, :, :8] == kind).sum((1, 2)) > 14 for kind in (1, 2)], 1).float()


def clean(_: Tensor, masks: Tensor) -> Tensor:
    return torch.tensor([0.0, 1.0, -1.0])[masks][:, None]


CASES = {
    "dense": (Maps(1), DenseRegression(peak=2.0), clean, "PSNR", "1.5dB"),
    "regression": (Pooled(1), Regression(), share, "mean absolute error", BUDGET),
    "labels": (Pooled(2), MultiLabel(labels=2), present, "F1", "20pp"),
    "binary": (
        Pooled(1),
        Classification(binary=True),
        lambda x, masks: present(x, masks)[:, :1],
        "accuracy",
        BUDGET,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_other_tasks(case: str) -> None:
    network, task, make, name, budget = CASES[case]
    raw = [scenes(count, seed) for count, seed in ((64, 1), (32, 2), (32, 3))]
    parts = [(x, make(x, masks)) for x, masks in raw]
    network = trained(network, task, parts[0][0], task.as_target(parts[0][1]))
    train, holdout, test = loaders(*parts)

    result = actpress.compress(
        network,
        train,
        holdout=holdout,
        test=test,
        task=task,
        method="gdr",
        budget=budget,
        settings=SMALL,
    )

    compared, (x, raw_target) = result.metrics.compared, parts[2]
    assert compared.name == name
    target = task.as_target(raw_target)
    for model, told in ((network, compared.before), (result.model, compared.after)):
        with torch.no_grad():
            decisions = task.decisions(model(x))
        assert told == pytest.approx(task.measure(task.evidence(decisions, target)))
    assert result.metrics.agreement > 0.3  # two labels that say nothing agree on a quarter
    if budget != BUDGET:
        held_out = result.metrics.held_out
        assert held_out is not None
        assert held_out.drop_pp <= float(budget[:-2]) + 1e-6
        assert held_out.name == name
    assert Metrics.model_validate_json(result.metrics.model_dump_json()) == result.metrics


def keypoints(
    measured: Callable[[dict[str, Tensor], Tensor], float],
    budget: str = BUDGET,
    settings: actpress.Settings = SMALL,
) -> Metrics:
    raw = [scenes(count, seed) for count, seed in ((48, 1), (32, 2), (16, 3))]
    train, holdout, test = loaders(*((x, (masks > 0).float()) for x, masks in raw))
    torch.manual_seed(0)
    task = Custom(measured, Metric("heat map error", "", higher_is_better=False))
    return actpress.compress(
        Keypoints().eval(),
        train,
        holdout=holdout,
        test=test,
        task=task,
        method="gdr",
        budget=budget,
        settings=settings,
    ).metrics


def test_any_outputs_with_a_metric_of_the_users() -> None:
    compared = keypoints(heat_error).compared
    assert compared.name == "heat map error"
    assert 0 < compared.after < 2 * compared.before


def test_a_metric_that_fails_does_so_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(_: object) -> Outcome:
        raise AssertionError("work began")

    monkeypatch.setitem(METHODS, "gdr", work)
    with pytest.raises(TaskError, match="'heat map error' raises KeyError: 'boxes'"):
        keypoints(lambda outputs, _: float(outputs["boxes"].mean()))
    with pytest.raises(TaskError, match="returns nan; expected a finite number"):
        keypoints(lambda *_: float("nan"))
    with pytest.raises(BudgetError, match="that of custom is heat map error; ask for bits or a"):
        keypoints(heat_error, "0.5pp")
    weighed = replace(SMALL, tune=replace(SMALL.tune, task=1.0))
    with pytest.raises(TuningError, match=r"the task custom has no loss of its targets"):
        keypoints(heat_error, settings=weighed)


def test_segmentation_without_masks_has_agreement() -> None:
    parts = [scenes(count, seed)[:1] for count, seed in ((48, 1), (32, 2), (16, 3))]
    train, holdout, test = loaders(*parts)
    network = Maps(CLASSES).eval()
    options = {"holdout": holdout, "test": test, "task": Segmentation(classes=CLASSES)}
    with pytest.raises(BudgetError, match=r"has no labels, .* such as 1bits or 6x"):
        actpress.compress(network, train, budget="0.5pp", settings=SMALL, **options)

    result = actpress.compress(
        network, train, method="gdr", budget=BUDGET, settings=SMALL, **options
    )

    with torch.no_grad():
        same = network(parts[2][0]).argmax(1) == result.model(parts[2][0]).argmax(1)
    assert result.metrics.compared.name == "agreement"
    assert result.metrics.agreement == pytest.approx(float(same.float().mean()))
