"""Blocks of pixels all the way: statistics, search, training, bytes, folders, accounting."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from actpress.allocate import Replay, build_ladders
from actpress.budget import Budget, View
from actpress.calibration import calibrate, fisher_information
from actpress.codec import Packing, SiteCodec
from actpress.data.dataset import Dataset
from actpress.errors import CalibrationError, PlanError, StreamError
from actpress.evaluation import RunInfo, evaluate
from actpress.graph import Graph, site_values
from actpress.methods import Job, Outcome, Settings, cap, codesign, gdr, transform_coding
from actpress.plan import Placement, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press
from actpress.run.model import load_model_from, save_model
from actpress.splitting import split
from actpress.stream import Decoder, Encoder
from actpress.tune import TuneSettings, WidthSettings, fit_decoders

SMALL = Settings(
    calibration_images=256,
    search_images=48,
    block=2,
    tune=TuneSettings(steps=6, batch_size=32, validate_every=3, validation_images=32),
    widths=WidthSettings(steps=6, move_every=2),
)
Make = Callable[..., Job]


@pytest.fixture
def job(graph: Graph, dataset: Dataset) -> Make:
    def make(budget: str = "1.2bits", *, view: View = View.ENTROPY, block: int | None = 2) -> Job:
        wanted = Budget.parse(budget, view=view)
        return Job(graph, dataset, wanted, replace(SMALL, block=block))

    return make


@pytest.fixture(scope="module")
def outcome(graph: Graph, dataset: Dataset) -> Outcome:
    """The greedy search with blocks, at 1.2 bits."""
    return gdr(Job(graph, dataset, Budget.parse("1.2bits"), SMALL))


def blocks_by_hand(value: Tensor) -> Tensor:
    """Columns (4 c, m) of the blocks of 2x2 pixels, one after another."""
    n, c, h, w = value.shape
    columns = [
        value[i, :, row : row + 2, column : column + 2].reshape(4 * c)
        for i in range(n)
        for row in range(0, h, 2)
        for column in range(0, w, 2)
    ]
    return torch.stack(columns, dim=1).double()


def test_statistics_are_of_whole_blocks(graph: Graph, images: Tensor) -> None:
    placements = {site.name: Placement.PRE_ACT for site in graph.sites if len(site.shape) == 3}
    blocks = dict.fromkeys(placements, 2)
    statistics = calibrate(graph, [images[:5], images[5:8]], placements, blocks=blocks)
    for name, value in site_values(graph, images[:8], placements):
        columns, own = blocks_by_hand(value), statistics.sites[name]
        assert (own.count, statistics.block(name)) == (columns.shape[1], 2)
        torch.testing.assert_close(own.mean, columns.mean(1))
        torch.testing.assert_close(own.covariance, torch.cov(columns, correction=0))
    fisher = fisher_information(graph, [images[:8]], placements, blocks=blocks)
    alone = fisher_information(graph, [images[:8]], placements)
    for name, matrix in fisher.items():
        pixels = torch.arange(0, len(matrix), 4)
        summed = sum(matrix[pixels + i][:, pixels + i] for i in range(4))
        torch.testing.assert_close(summed, alone[name])


def test_statistics_of_other_blocks_are_refused(
    graph: Graph, images: Tensor, outcome: Outcome
) -> None:
    placements = {site.name: Placement.PRE_ACT for site in graph.sites}
    plain = calibrate(graph, [images[:8]], placements)
    with pytest.raises(CalibrationError, match="blocks of side 2, but calibration observed 1"):
        press(graph, outcome.pressed.plan, plain)
    with pytest.raises(CalibrationError, match=r"cannot merge statistics of other .* blocks"):
        plain.merge(calibrate(graph, [images[:8]], placements, blocks={graph.sites[0].name: 2}))
    same = calibrate(graph, [images[:8]], placements, blocks=dict.fromkeys(placements, 1))
    assert plain.merge(same).sites[graph.sites[0].name].count == 2 * 8 * 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transform": Transform.IDENTITY}, "take a transform that is fitted to them"),
        ({"transform": Transform.DCT}, "take a transform that is fitted to them"),
        ({"rank": 33}, "rank 33 exceeds its 32 components"),
        ({"block": 9}, "less than or equal to 8"),
        ({"block": 0}, "greater than or equal to 1"),
        ({"block": 8, "channels": 65}, "in blocks of side 8 are 4160 components, more than 4096"),
    ],
)
def test_plans_of_impossible_blocks_are_refused(
    outcome: Outcome, changes: dict[str, object], message: str
) -> None:
    site = outcome.pressed.plan.sites[0]
    assert (site.block, site.components) == (2, 4 * site.channels)
    with pytest.raises(ValidationError, match=message):
        SitePlan.model_validate(site.model_dump() | changes)


@pytest.mark.parametrize("block", [0, -1, 9])
def test_settings_of_impossible_blocks_are_refused(block: int) -> None:
    with pytest.raises(PlanError, match="a block has a side of 1 to 8 pixels"):
        replace(SMALL, block=block)


def test_blocks_that_a_site_is_not_made_for_are_refused(graph: Graph, outcome: Outcome) -> None:
    plan = outcome.pressed.plan
    sites = tuple(site.model_copy(update={"block": 3}) for site in plan)
    odd = plan.model_copy(update={"sites": sites})
    with pytest.raises(
        PlanError,
        match=r"blocks of 3x3 pixels need .* multiples of 3; its values have shape \(8, 8, 8\)",
    ):
        press(graph, odd, outcome.statistics)


def test_sites_without_blocks_stay_as_they_are(graph: Graph, outcome: Outcome) -> None:
    sides = {site.site: site.block for site in outcome.pressed.plan}
    assert sides == {site.name: 2 if len(site.shape) == 3 else 1 for site in graph.sites}


def test_ladders_are_priced_by_the_blocks_of_an_image(
    graph: Graph, images: Tensor, outcome: Outcome
) -> None:
    """Plain packing of the first level: bits of its symbol ranges, once per block."""
    ladder = build_ladders(graph, outcome.statistics, [images[:64]])[0]
    level, site = ladder.levels[0], graph.sites[0]
    value = dict(site_values(graph, images[:64], {site.name: Placement.PRE_ACT}))[site.name]
    y = ladder.basis.vectors @ (blocks_by_hand(value) - ladder.mean[:, None])
    q = torch.round(y[: level.rank] / level.step)
    widths = torch.ceil(torch.log2(q.amax(1) - q.amin(1) + 1) - 1e-9)
    assert ladder.block == 2
    assert level.fixed_bits == pytest.approx(float(widths.sum()) * site.values / 32, rel=0.02)


def test_neighbours_that_are_alike_cost_less_in_blocks(job: Make) -> None:
    """Same bits, much less loss: the images are noise, but convolutions overlap."""
    alone, together = gdr(job(block=1)), gdr(job(block=2))
    given = job()
    assert given.cost(together.pressed) <= given.cost_target()
    assert divergence(given, together.pressed) < 0.9 * divergence(given, alone.pressed)


def divergence(job: Job, pressed: CompressedModel) -> float:
    images = torch.cat([x for x, _ in job.data.holdout.batches(96)])
    return divergence_on(job.graph, pressed, images)


def divergence_on(graph: Graph, pressed: CompressedModel, images: Tensor) -> float:
    with torch.no_grad():
        ours, theirs = pressed(images), graph.eval_module(images)
    loss = torch.nn.functional.kl_div(
        ours.log_softmax(1), theirs.log_softmax(1), log_target=True, reduction="batchmean"
    )
    return float(loss)


@pytest.mark.parametrize("method", [cap, codesign, transform_coding])
@pytest.mark.parametrize("view", View)
def test_every_method_with_a_projection_takes_blocks(
    job: Make, method: Callable[[Job], Outcome], view: View
) -> None:
    given = job("2.5bits", view=view)
    pressed = method(given).pressed
    bits = given.cost(pressed)
    assert bits <= given.cost_target()
    assert pressed.plan.sites[0].block == 2
    metrics = evaluate(pressed, given.graph, given.data.train, RunInfo())  # what fitted the tables
    counted = sum(getattr(site.bits, view) for site in metrics.sites)
    assert counted == pytest.approx(bits, rel=1e-3)


def test_the_codesign_takes_blocks_unless_told_otherwise(job: Make) -> None:
    assert codesign(job(block=None)).pressed.plan.sites[0].block == 2
    assert codesign(job(block=1)).pressed.plan.sites[0].block == 1
    assert gdr(job(block=None)).pressed.plan.sites[0].block == 1


class Spy:
    """A probe that keeps what a codec hands on."""

    x_hat: Tensor

    def update(self, codec: SiteCodec, x: Tensor, q: Tensor, x_hat: Tensor) -> None:
        assert q.shape[1:] == codec.symbol_shape(x.shape[1:])
        self.x_hat = x_hat


def test_bytes_carry_blocks(outcome: Outcome, images: Tensor) -> None:
    pressed, file = outcome.pressed, io.BytesIO()
    spies = {name: Spy() for name in pressed.codecs}
    with Encoder(pressed, file) as encoder:
        logits = encoder.encode(images[:6])
    try:
        for name, codec in pressed.codecs.items():
            codec.probe = spies[name]
        assert logits.equal(pressed(images[:6]))
    finally:
        for codec in pressed.codecs.values():
            codec.probe = None
    (values,) = Decoder(pressed, io.BytesIO(file.getvalue()))
    for name, value in values.items():
        assert value.shape[1:] == pressed.network.shapes[name]
        assert value.equal(spies[name].x_hat)


@pytest.mark.parametrize("axes", [(), (16,), (4, 2, 2)])
def test_records_without_planes_are_refused(outcome: Outcome, axes: tuple[int, ...]) -> None:
    codec = next(iter(outcome.pressed.codecs.values()))
    record = codec.write_symbols(torch.zeros(2, codec.rank, *axes, dtype=torch.int32))
    with pytest.raises(StreamError, match="spatial axes; blocks of pixels have 2"):
        codec.decompress(record)


def test_halves_of_a_network_send_blocks(graph: Graph, outcome: Outcome, images: Tensor) -> None:
    head, tail = split(outcome.pressed, graph.sites[1].name)
    assert tail(head(images[:5])).equal(outcome.pressed(images[:5]))


def test_a_network_with_blocks_exports(outcome: Outcome, images: Tensor) -> None:
    exported = torch.export.export(outcome.pressed, (images[:4],)).module()
    torch.testing.assert_close(exported(images[:4]), outcome.pressed(images[:4]))


def test_trials_of_blocks_are_what_the_whole_network_says(
    graph: Graph, images: Tensor, outcome: Outcome
) -> None:
    ladders = build_ladders(graph, outcome.statistics, [images[:48]])
    replay = Replay(graph, ladders, images[:48], [0] * len(ladders))
    for site, ladder in enumerate(ladders):
        level = len(ladder.levels) - 1
        assert replay.trial(site, level) == replay.full_run(site, level)


def test_decoders_of_blocks_are_fitted(graph: Graph, images: Tensor, outcome: Outcome) -> None:
    plan = outcome.pressed.plan.with_transform(Transform.LEARNED)
    pressed = press(graph, plan, outcome.statistics)
    fit_tables(pressed, [images])
    before = divergence_on(graph, pressed, images)
    fit_decoders(pressed, graph, [images])
    assert divergence_on(graph, pressed, images) < before


def test_a_plan_with_blocks_cannot_lose_its_transform(outcome: Outcome) -> None:
    with pytest.raises(PlanError, match=r"the plan cannot change: .* fitted to them"):
        outcome.pressed.plan.with_transform(Transform.DCT)


def test_inputs_whose_maps_do_not_divide_are_refused(outcome: Outcome) -> None:
    with pytest.raises(PlanError, match="cannot be cut into blocks of 2x2 pixels"):
        outcome.pressed(torch.randn(2, 1, 7, 7))


def test_records_of_other_sizes_are_refused_by_their_blocks(
    outcome: Outcome, images: Tensor
) -> None:
    pressed, file = outcome.pressed, io.BytesIO()
    with Encoder(pressed, file) as encoder:
        encoder.encode(torch.cat([images[:1], images[1:2]], dim=2))
    with pytest.raises(StreamError, match="the record has 8x4 positions, the site 4x4"):
        list(Decoder(pressed, io.BytesIO(file.getvalue())))
    (values,) = Decoder(pressed, io.BytesIO(file.getvalue()), any_size=True)
    assert next(iter(values.values())).shape[2:] == (16, 8)


def test_packing_carries_blocks(outcome: Outcome, images: Tensor) -> None:
    pressed = outcome.pressed
    expected = pressed(images[:4])
    try:
        for codec in pressed.codecs.values():
            codec.transport = Packing.of(codec)
        assert pressed(images[:4]).equal(expected)
    finally:
        for codec in pressed.codecs.values():
            codec.transport = None


def test_a_run_with_blocks_is_read_back(
    graph: Graph, outcome: Outcome, images: Tensor, tmp_path: Path
) -> None:
    save_model(outcome.pressed, tmp_path)
    assert load_model_from(tmp_path, graph)(images[:4]).equal(outcome.pressed(images[:4]))
    plan = tmp_path / "plan.json"
    plan.write_text(plan.read_text().replace('"block": 2', '"block": 3'))
    with pytest.raises(PlanError, match=r"plan\.json: site .* blocks of 3x3 pixels need"):
        load_model_from(tmp_path, graph)


def test_blocks_are_accounted_for(graph: Graph, dataset: Dataset, outcome: Outcome) -> None:
    metrics = evaluate(outcome.pressed, graph, dataset.test, RunInfo(), measured=True, batch=32)
    site, plan = metrics.sites[0], outcome.pressed.plan.sites[0]
    codec, blocks = outcome.pressed.codecs[plan.site], site.values // plan.components
    assert (site.block, site.components) == (2, 32)
    assert site.bits.fixed == float(codec.fixed_bits().sum()) * blocks
    reads = graph.sites[0].reads
    assert site.extra_macs == site.folded_extra_macs == plan.rank * 32 * (1 + reads) * blocks
    assert site.encoder_folds_into is None, "a folded one would be a larger convolution"
    assert site.folded_parameter_bits == site.parameter_bits
    assert codec.parameter_bits() == (2 * 32 * plan.rank + 2 * 32 + 3 * plan.rank) * 16
    assert metrics.measured is not None
    assert metrics.measured.bits_per_value >= metrics.bits_per_value.entropy
