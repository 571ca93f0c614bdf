"""Applying a plan, and fixing ranges and tables from images."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from actpress.calibration import Statistics, calibrate
from actpress.codec import IdentityProjection, counting
from actpress.codec.passing import probes_of
from actpress.data.dataset import Dataset
from actpress.errors import CalibrationError, ModelError, PlanError
from actpress.evaluation import RunInfo, evaluate
from actpress.graph import Graph, capture
from actpress.plan import Placement, Plan, Transform
from actpress.pressing import CompressedModel, fit_tables, preserved_tables, press, run
from actpress.settings import NumberBits
from actpress.tune import TuneSettings, align_rate_model, tune

MakePlan = Callable[..., Plan]
MakePressed = Callable[..., CompressedModel]


def replaced(plan: Plan, **changes: Any) -> Plan:
    """The plan with its first site changed."""
    first = plan.sites[0].model_copy(update=changes)
    return plan.model_copy(update={"sites": (first, *plan.sites[1:])})


def test_a_plan_of_another_network_is_refused(
    other_graph: Graph, statistics: Statistics, make_plan: MakePlan
) -> None:
    with pytest.raises(PlanError, match="belongs to another network: its fingerprint is"):
        press(other_graph, make_plan(), statistics)


def test_statistics_of_another_network_are_refused(
    graph: Graph, statistics: Statistics, make_plan: MakePlan
) -> None:
    foreign = Statistics("0" * 64, statistics.placements, statistics.sites)
    with pytest.raises(CalibrationError, match="statistics belong to another network"):
        press(graph, make_plan(), foreign)


def test_a_site_that_does_not_exist_is_refused(
    graph: Graph, statistics: Statistics, make_plan: MakePlan
) -> None:
    with pytest.raises((PlanError, ModelError), match="no site 'relu#9'"):
        press(graph, replaced(make_plan(), site="relu#9"), statistics)


def test_other_channels_are_refused(
    graph: Graph, statistics: Statistics, make_plan: MakePlan
) -> None:
    with pytest.raises(PlanError, match="site relu: the plan has 9 channels, the network 8"):
        press(graph, replaced(make_plan(), channels=9), statistics)


PIXEL_BY_PIXEL = [transform for transform in Transform if transform is not Transform.HAAR_PCA]


def test_statistics_of_the_other_placement_are_refused(
    graph: Graph, statistics: Statistics, make_plan: MakePlan
) -> None:
    post = replaced(make_plan(), placement=Placement.POST_ACT)
    with pytest.raises(
        CalibrationError, match="plan stores post_act, but calibration observed pre"
    ):
        press(graph, post, statistics)
    missing = {name: place for name, place in statistics.placements.items() if name != "relu"}
    lacking = Statistics(statistics.fingerprint, missing, statistics.sites)
    with pytest.raises(CalibrationError, match="calibration observed nothing"):
        press(graph, make_plan(), lacking)


def test_tables_need_images(graph: Graph, statistics: Statistics, make_plan: MakePlan) -> None:
    with pytest.raises(CalibrationError, match="saw no images; give at least one batch"):
        fit_tables(press(graph, make_plan(), statistics), [])


@pytest.mark.parametrize("transform", PIXEL_BY_PIXEL)
@pytest.mark.parametrize("placement", Placement)
def test_fine_steps_lose_almost_nothing(  # noqa: PLR0917
    graph: Graph,
    statistics: Statistics,
    post_statistics: Statistics,
    images: Tensor,
    make_plan: MakePlan,
    transform: Transform,
    placement: Placement,
) -> None:
    known = statistics if placement is Placement.PRE_ACT else post_statistics
    fine = make_plan(transform, coarseness=4e-3, placement=placement, bit_width=16)
    exact = {"number_bits": NumberBits.HALF}  # what eight bits lose depends on the trained network
    plan = fine.model_copy(update={"sites": tuple(s.model_copy(update=exact) for s in fine)})
    pressed = press(graph, plan, known)
    fit_tables(pressed, images.split(64))
    with torch.no_grad():
        expected = graph.eval_module(images)
        torch.testing.assert_close(
            pressed(images), expected, rtol=0, atol=4e-3 * float(expected.abs().max())
        )


def test_tables_hold_the_symbols_of_their_images(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed(Transform.PCA, coarseness=0.7)
    assert pressed.table_images == len(images)
    tables = pressed.tables
    assert tables is not None
    with counting(pressed.codecs) as counters:
        run(pressed, images.split(64))
    for name, codec in pressed.codecs.items():
        assert codec.has_tables
        assert codec.tables is tables, "one set for all sites"
        counts = counters[name].counts
        for row, low, high in zip(counts.sum(1), codec.q_min, codec.q_max, strict=True):
            seen = row.nonzero()[:, 0] + counters[name].lowest
            assert low <= seen[0]
            assert seen[-1] <= high
        assert tables.lowest <= codec.q_min.min()
        assert codec.q_max.max() <= tables.highest, "what may come up can be coded"
        lengths = codec.code_lengths_bits()
        first = counters[name].lowest - tables.lowest
        own = tables.frequencies[codec.table_of.long()][..., first : first + counts.shape[2]]
        inside = (own.cumsum(-1) > 0) & (own.flip(-1).cumsum(-1).flip(-1) > 0)
        assert (own[inside & (counts > 0)] > 0).all(), "only ends of tables are cut off"
        spent = float((counts * lengths).sum()) / len(images)
        assert pressed.coded_bits[name] == pytest.approx(spent, rel=1e-5)


def test_ranges_never_exceed_the_plan(make_pressed: MakePressed) -> None:
    for transform in PIXEL_BY_PIXEL:
        pressed = make_pressed(transform, coarseness=0.01, bit_width=4)
        for codec in pressed.codecs.values():
            assert (codec.q_max - codec.q_min < 16).all()
            assert (codec.fixed_bits() <= 4).all()


@pytest.mark.parametrize("transform", [Transform.PCA, Transform.IDENTITY])
def test_fitting_again_starts_from_the_widest_range(
    make_pressed: MakePressed, images: Tensor, transform: Transform
) -> None:
    pressed = make_pressed(transform, coarseness=0.3)
    whole = {name: (c.q_min.clone(), c.q_max.clone()) for name, c in pressed.codecs.items()}

    fit_tables(pressed, [images[:4]])

    narrowed = False
    for name, codec in pressed.codecs.items():
        before = whole[name][1] - whole[name][0]
        assert (codec.q_max - codec.q_min <= before).all()
        narrowed |= bool((codec.q_max - codec.q_min < before).any())
    assert narrowed

    fit_tables(pressed, images.split(64))
    for name, codec in pressed.codecs.items():
        assert codec.q_min.equal(whole[name][0])
        assert codec.q_max.equal(whole[name][1])


def test_a_trained_network_keeps_its_ranges(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed(Transform.PCA, coarseness=0.3)
    fit_tables(pressed, [images[:4]])
    narrow = {name: (c.q_min.clone(), c.q_max.clone()) for name, c in pressed.codecs.items()}
    fit_tables(pressed, images.split(64), within_ranges=True)
    for name, codec in pressed.codecs.items():
        assert (codec.q_max - codec.q_min <= narrow[name][1] - narrow[name][0]).all()
        assert codec.has_tables


def test_tables_need_finite_values_and_skip_empty_batches(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed(Transform.PCA)
    bits = dict(pressed.coded_bits)
    fit_tables(pressed, [images[:0], images])
    assert pressed.coded_bits == pytest.approx(bits)
    with pytest.raises(CalibrationError, match="site relu: NaN or infinite values; check"):
        fit_tables(pressed, [torch.full_like(images[:2], torch.nan)])


def test_tables_are_put_back_after_a_look(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed(Transform.PCA, coarseness=0.3)
    before = {key: value.clone() for key, value in pressed.state_dict().items()}
    bits = dict(pressed.coded_bits)
    with preserved_tables(pressed):
        fit_tables(pressed, [images[:4]])
        assert pressed.coded_bits != bits
    after = pressed.state_dict()
    assert after.keys() == before.keys()
    assert all(after[key].equal(value) for key, value in before.items())
    assert (pressed.coded_bits, pressed.table_images) == (bits, len(images))


def test_the_identity_range_reaches_the_lowest_value_however_skewed() -> None:
    """Levels are spent where the values are, also when nearly all of them are negative."""
    skewed = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1))
    with torch.no_grad():
        skewed[0].weight.fill_(1.0)
        skewed[0].bias.fill_(-10.0)
    x = torch.linspace(0, 11, 64).reshape(1, 1, 8, 8)
    graph = capture(skewed, x)
    (site,) = graph.sites
    statistics = calibrate(graph, [x], {site.name: Placement.POST_ACT})
    step = 11 / 255
    plan = Plan.model_validate(
        {
            "method": "int8",
            "fingerprint": graph.fingerprint,
            "sites": [
                {
                    "site": site.name,
                    "placement": "post_act",
                    "transform": "identity",
                    "channels": 2,
                    "rank": 2,
                    "step": step,
                }
            ],
        }
    )
    pressed = press(graph, plan, statistics)
    assert isinstance(pressed.codecs[site.name].projection, IdentityProjection)
    with counting(pressed.codecs) as counters:
        run(pressed, [x])
    mse = counters[site.name].squared_error / counters[site.name].values
    assert mse <= step**2 / 12 * 1.3


def test_a_plan_without_sites_is_refused(
    graph: Graph, statistics: Statistics, make_plan: MakePlan
) -> None:
    none = make_plan().model_copy(update={"sites": ()})
    with pytest.raises(PlanError, match="nothing to press"):
        press(graph, none, statistics)


def test_the_users_model_stays_as_it_is(
    model: nn.Module, dataset: Dataset, images: Tensor, make_plan: MakePlan
) -> None:
    mine = copy.deepcopy(model).train()
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    graph = capture(mine, images[:2])
    statistics = calibrate(graph, [images], {site.name: Placement.PRE_ACT for site in graph.sites})
    pressed = press(graph, make_plan(Transform.LEARNED, rank=4, coarseness=1.0), statistics)
    fit_tables(pressed, images.split(64))
    align_rate_model(pressed, [images[:64]], pressed.coded_bits)
    bits = sum(pressed.coded_bits.values())
    settings = TuneSettings(steps=3, batch_size=32, validate_every=2, validation_images=32)
    tune(pressed, graph, dataset.train, dataset.holdout, settings, target_bits=bits)
    evaluate(pressed, graph, dataset.test, RunInfo())

    assert mine.training
    assert all(parameter.requires_grad for parameter in mine.parameters())
    assert all(tensor.equal(before[name]) for name, tensor in mine.state_dict().items())
    with torch.no_grad():
        assert mine.eval()(images).equal(model(images))
        assert graph.eval_module(images).equal(model(images))


def test_run_restores_the_mode(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed()
    for training in (True, False):
        pressed.train(training)
        run(pressed, [images[:2]])
        assert pressed.training is training


def test_probes_are_removed_when_the_block_raises(make_pressed: MakePressed) -> None:
    pressed = make_pressed()
    with pytest.raises(ZeroDivisionError, match="division"), counting(pressed.codecs):
        _ = 1 / 0
    assert not any(probes_of(codec) for codec in pressed.codecs.values())
