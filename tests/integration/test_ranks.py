"""Networks whose inputs and values are no maps of images, all the way: vectors to volumes."""

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import actpress
from actpress.budget import Budget
from actpress.data.dataset import Dataset, Split
from actpress.errors import DataError
from tests.folding import assert_folds

CLASSES = 4
SMALL = actpress.Settings(
    calibration_images=32, search_images=8, decoder_images=16, holdout_images=8
)
Shape = tuple[int, ...]


class Mixed(nn.Module):
    """Blocks of linear layers over the last axis, as of tokens and of maps with channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.a = nn.LayerNorm(channels), nn.Linear(channels, 16)
        self.b, self.head = nn.Linear(16, channels), nn.Linear(channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.b(F.gelu(self.a(self.norm(x))))
        return self.head(x.flatten(1, -2).mean(1))


class Last(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


def vectors() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Linear(16, 8),
        nn.Tanh(),
        nn.Linear(8, 4),
    )


def series() -> nn.Module:
    return nn.Sequential(
        *(
            nn.Conv1d(2, 8, 3),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Conv1d(8, 8, 3, stride=2),
            nn.ReLU(),
        ),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, CLASSES)),
    )


def volumes() -> nn.Module:
    return nn.Sequential(
        *(
            nn.Conv3d(1, 8, 3),
            nn.BatchNorm3d(8),
            nn.ReLU(),
            nn.Conv3d(8, 8, 3, padding=1),
            nn.ReLU(),
        ),
        *(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, CLASSES)),
    )


def tokens() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), Mixed(8))


def channels_last() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 2, 2), Last(), Mixed(8))


def dataset(shape: Shape) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(CLASSES, *shape, generator=generator)

    def split(count: int) -> Split:
        labels = torch.randint(CLASSES, (count,), generator=generator)
        noise = torch.randn(count, *shape, generator=generator)
        return Split.in_memory(patterns[labels] + noise / 2, labels)

    return Dataset("made", split(48), split(24), split(16), CLASSES)


@pytest.mark.parametrize(
    ("build", "shape", "sites"),
    [
        (vectors, (12,), [(16,), (8,)]),
        (series, (2, 20), [(8, 18), (8, 8), (8, 1)]),
        (volumes, (1, 6, 6, 6), [(8, 4, 4, 4), (8, 4, 4, 4), (8, 1, 1, 1)]),
        (tokens, (5, 6), [(8, 5), (8, 5), (16, 5), (8, 5), (8,)]),
        (channels_last, (3, 8, 8), [(8, 4, 4), (8, 4, 4), (16, 4, 4), (8, 4, 4), (8,)]),
    ],
)
def test_every_rank_goes_all_the_way(
    build: type[nn.Module], shape: Shape, sites: list[Shape], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network, data = build().eval(), dataset(shape)
    budget = Budget.parse("3bits", batch=100_000)  # small networks store few values for one image

    result = actpress.compress(network, data, method="gdr", budget=budget, settings=SMALL)
    result.save(tmp_path / "run")

    pressed, x = result.model, next(data.test.batches(8))[0]
    assert [site.shape for site in actpress.inspect(network, x)] == sites
    assert result.metrics.bits_per_value.entropy < 4
    with torch.no_grad():
        expected = pressed(x)
        assert actpress.load_run(tmp_path / "run", network)(x).equal(expected)
        assert actpress.freeze(pressed)(x).equal(expected)
    assert_folds(pressed, x)
    file = io.BytesIO()
    with actpress.Encoder(pressed, file) as encoder:
        assert encoder.encode(x).equal(expected)
    file.seek(0)
    (values,) = actpress.Decoder(pressed, file)
    assert {name: tuple(value.shape[1:]) for name, value in values.items()} == {
        site.name: site.shape for site in actpress.inspect(network, x) if site.name in values
    }


def test_training_takes_tokens() -> None:
    settings = actpress.Settings(
        calibration_images=32,
        search_images=8,
        decoder_images=16,
        holdout_images=8,
        tune=actpress.TuneSettings(steps=2, batch_size=8, validate_every=2, validation_images=8),
    )
    budget = Budget.parse("3bits", batch=100_000)
    result = actpress.compress(
        tokens().eval(), dataset((5, 6)), method="cap", budget=budget, settings=settings
    )

    assert set(result.model.codecs) == {
        site.name for site in actpress.inspect(tokens(), torch.zeros(2, 5, 6))
    }


def test_inputs_without_channels_are_refused() -> None:
    with pytest.raises(DataError, match=r"of shape \(1,\); expected float32 \(n, c, \.\.\.\)"):
        dataset(())
