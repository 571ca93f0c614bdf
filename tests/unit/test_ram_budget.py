"""A budget of peak RAM: the plan's arena in C fits, and what does not set the peak stays fine."""

import re
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from actpress.api import compress
from actpress.budget import Budget, Count, View
from actpress.data.dataset import Dataset, Split
from actpress.deploy.integer import integer_network
from actpress.deploy.memory import PlannedPeak, memory_plan
from actpress.errors import BudgetError
from actpress.graph import capture
from actpress.methods import Job, Settings
from actpress.pipeline.ram import fits_ram
from actpress.pressing import CompressedModel
from actpress.report.wording import caveats
from actpress.settings import Trainable, TuneSettings
from actpress.tune import held_out_divergence

SMALL = Settings(calibration_images=64, search_images=16)


class Residual(nn.Module):
    """Two maps of 4,608 values live at once, then smaller ones."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.a, self.b = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
        self.down = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.b(torch.relu(self.a(x))))
        return self.head(torch.relu(self.down(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Residual().eval()


@pytest.fixture(scope="module")
def pictures() -> Dataset:
    def split(count: int, seed: int) -> Split:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(4, (count,), generator=generator)
        return Split.in_memory(torch.randn(count, 1, 24, 24, generator=generator), labels)

    return Dataset("pictures", split(96, 1), split(48, 2), split(32, 3), 4)


def arena(pressed: CompressedModel, pictures: Dataset) -> int:
    batch = next(pictures.train.batches(256))[0]
    return memory_plan(integer_network(pressed, [batch])).arena_bytes


def test_a_budget_of_ram_counts_packed_maps() -> None:
    budget = Budget.parse("24KiB-ram")
    assert (budget.amount, budget.view, budget.count) == (24.0, View.FIXED, Count.ACTIVATIONS)
    assert Budget.parse(str(budget)) == budget
    assert budget.is_ram
    assert not budget.is_quality


def test_the_arena_fits_and_more_ram_keeps_more_bits(network: nn.Module, pictures: Dataset) -> None:
    bits = []
    for kib in (4, 6):
        result = compress(network, pictures, method="gdr", budget=f"{kib}KiB-ram", settings=SMALL)
        assert 0.75 * kib * 1024 < arena(result.model, pictures) <= kib * 1024
        assert result.metrics.budget == f"{kib}KiB-ram (fixed, activations)"
        assert not any("exceed" in caveat for caveat in caveats(result.metrics))
        bits.append(result.metrics.bits_per_value.fixed)
    assert bits[0] < bits[1]


def test_what_cannot_be_reached_names_the_floor_and_what_sets_it(
    network: nn.Module, pictures: Dataset
) -> None:
    with pytest.raises(BudgetError) as raised:
        compress(network, pictures, method="gdr", budget="0.5KiB-ram", settings=SMALL)
    form = (
        r"the budget 0\.5KiB-ram cannot be reached; the least that this search finds is "
        r"\d\.\dKiB-ram, set by .*\(\d+ bytes\) and the line buffers of \S.* \([\d,]+ bytes\)"
    )
    assert re.fullmatch(form, str(raised.value))


def test_what_is_trained_stays_within_the_arena(network: nn.Module, pictures: Dataset) -> None:
    """Widths are those of the search; steps and weights learn, and lose less than before."""
    network = deepcopy(network)
    with torch.no_grad():
        network.head.weight.mul_(10)  # predictions that what is stored can change
    training = TuneSettings(
        steps=60, validate_every=30, trainable=Trainable.NETWORK, lr_scale=10, validation_images=32
    )
    settings = replace(SMALL, tune=training)
    found = {}
    for method in ("gdr", "cap"):
        found[method] = compress(
            network, pictures, method=method, budget="3KiB-ram", settings=settings
        )
        assert arena(found[method].model, pictures) <= 3 * 1024
    before, after = found["gdr"], found["cap"]
    assert after.metrics.variant == ""
    for name, codec in after.model.codecs.items():
        assert (codec.fixed_bits() <= before.model.codecs[name].fixed_bits()).all()

    def divergence(pressed: CompressedModel) -> float:
        graph = capture(network, next(pictures.test.batches(1))[0])
        return held_out_divergence(pressed, graph, pictures.holdout.take(32), training)

    assert divergence(after.model) < divergence(before.model)


def test_what_training_made_too_wide_is_not_kept(
    network: nn.Module, pictures: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TuneSettings(
        steps=60, validate_every=30, trainable=Trainable.NETWORK, lr_scale=10, validation_images=32
    )
    settings = replace(SMALL, tune=training)
    asked: list[bool] = []

    def too_wide(job: Job, pressed: CompressedModel) -> bool:
        asked.append(fits_ram(job, pressed))
        return fits_ram(replace(job, budget=Budget.parse("1KiB-ram")), pressed)

    monkeypatch.setattr("actpress.pipeline.learn.fits_ram", too_wide)
    found = compress(network, pictures, method="cap", budget="3KiB-ram", settings=settings)
    assert asked == [True]
    assert found.metrics.variant == "untrained"
    assert arena(found.model, pictures) <= 3 * 1024


def test_other_methods_say_so(network: nn.Module, pictures: Dataset) -> None:
    with pytest.raises(BudgetError, match="by the methods gdr and cap, not by codesign"):
        compress(network, pictures, method="codesign", budget="1KiB-ram", settings=SMALL)


def test_other_bits_of_a_site_change_the_peak(network: nn.Module, pictures: Dataset) -> None:
    pressed = compress(network, pictures, method="int8").model
    peak = PlannedPeak.of(pressed, [torch.zeros(1, 1, 24, 24)])
    half = dict.fromkeys(pressed.codecs, 24 * 24 * 8 * 4.0)
    assert peak.peak_bytes({}) == arena(pressed, pictures)
    assert peak.peak_bytes(half) < peak.peak_bytes({})
    assert peak.peak_bytes(dict.fromkeys(pressed.codecs, 0.0)) < peak.peak_bytes(half)
    assert "the line buffers of" in peak.at_peak({})
