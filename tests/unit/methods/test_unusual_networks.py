"""Networks with sites that nothing depends on, or with values beyond half precision."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.api import compress
from actpress.budget import Budget
from actpress.data.dataset import Dataset
from actpress.evaluation import predict
from actpress.graph import capture
from actpress.methods import METHODS, Job, Settings, gdr
from actpress.run import load_run
from actpress.tune import TuneSettings
from tests.conftest import CLASSES, SIDE, Tiny

SMALL = Settings(
    calibration_images=64,
    search_images=16,
    decoder_images=32,
    holdout_images=32,
    tune=TuneSettings(steps=2, batch_size=16, validate_every=2, validation_images=16),
)


def zero_branch(network: Tiny) -> None:
    """The last layer of a residual branch starts at zero, as is common."""
    nn.init.zeros_(network.c.weight)
    nn.init.zeros_(network.c.bias)


def zero_head(network: Tiny) -> None:
    nn.init.zeros_(network.head.weight)


def certain_head(network: Tiny) -> None:
    """Softmax is one-hot, so no gradient is left."""
    network.head.weight.data *= 1e8


def dead_layer(network: Tiny) -> None:
    nn.init.zeros_(network.b.weight)
    nn.init.constant_(network.b.bias, -1.0)


def dead_channel(network: Tiny) -> None:
    """Its mean is beyond half precision; the activation makes it zero."""
    network.b.weight.data[3] = 0.0
    network.b.bias.data[3] = -1e5


@pytest.mark.parametrize("method", ["gdr", "cap", "codesign"])
@pytest.mark.parametrize("change", [zero_branch, zero_head, certain_head, dead_layer, dead_channel])
def test_every_method_meets_its_budget(
    dataset: Dataset, method: str, change: Callable[[Tiny], None]
) -> None:
    network = Tiny().eval()
    change(network)
    graph = capture(network, torch.zeros(2, 1, SIDE, SIDE))
    outcome = METHODS[method](Job(graph, dataset, Budget.parse("2bits"), SMALL))
    stored = sum(outcome.pressed.coded_bits.values())
    assert 0 < stored / sum(site.values for site in graph.sites) <= 2


def test_one_logit_that_nothing_changes_depends_on_nothing(dataset: Dataset) -> None:
    network = Tiny().eval()
    network.head = nn.Linear(8, 1)
    nn.init.zeros_(network.head.weight)
    graph = capture(network, torch.zeros(2, 1, SIDE, SIDE))
    outcome = gdr(Job(graph, dataset, Budget.parse("2bits"), SMALL))
    stored = sum(outcome.pressed.coded_bits.values())
    assert 0 < stored / sum(site.values for site in graph.sites) <= 2


def test_a_site_without_gradient_is_compressed_most(model: nn.Module, dataset: Dataset) -> None:
    network = Tiny().eval()
    network.load_state_dict(model.state_dict())
    zero_branch(network)
    graph = capture(network, torch.zeros(2, 1, SIDE, SIDE))
    found = gdr(Job(graph, dataset, Budget.parse("2bits"), SMALL)).search
    assert found is not None, "a search that was just made is handed on"
    branch = [site.name for site in graph.sites].index("relu#3")
    prices = [found.objective.price(state.use) for state in found.states[branch].states]
    ladder = found.ladders[branch]
    assert len(prices) > len(ladder) == 1, "no state loses less than another"
    assert found.objective.price(ladder[0].use) == min(prices), "so it is the cheapest"


class Reduced(nn.Module):
    """Its values have one pixel, of which a few search images tell little."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a = nn.Conv2d(1, 8, SIDE), nn.Conv2d(8, 16, 1)
        self.b, self.head = nn.Conv2d(16, 16, 1), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        return self.head(F.relu(self.b(F.relu(self.a(x)))).mean((2, 3)))


def test_no_budget_is_refused_where_a_tighter_one_is_met(dataset: Dataset) -> None:
    graph = capture(Reduced().eval(), torch.zeros(2, 1, SIDE, SIDE))
    for budget in ("2.5bits", "2bits", "1.5bits", "1bits", "0.5bits"):
        job = Job(graph, dataset, Budget.parse(budget, batch=100_000), SMALL)
        cost, target = job.price(gdr(job).pressed), job.target()
        assert 0.9 * target <= cost <= target


def test_values_beyond_half_precision_are_saved_and_loaded_exactly(
    dataset: Dataset, tmp_path: Path
) -> None:
    network = Tiny().eval()
    dead_channel(network)
    result = compress(network, dataset, method="gdr", budget="2bits", settings=SMALL)
    result.save(tmp_path / "run")
    loaded = load_run(tmp_path / "run", network)
    images = next(dataset.test.batches(8))[0]
    assert loaded(images).equal(result.model(images))


def test_an_accuracy_budget_says_what_was_lost_on_the_images_that_decided(
    model: nn.Module, dataset: Dataset
) -> None:
    result = compress(model, dataset, method="gdr", budget="3pp", settings=SMALL)
    told = result.metrics.held_out
    assert told is not None
    assert told.images == min(SMALL.holdout_images, len(dataset.holdout) - SMALL.search_images)
    assert told.drop_pp <= 3
    held_out = dataset.holdout.take(told.images)
    right = predict(result.model, held_out) == held_out.labels
    assert told.after == pytest.approx(float(right.double().mean()))
    assert (
        compress(model, dataset, method="gdr", budget="2bits", settings=SMALL).metrics.held_out
        is None
    )
