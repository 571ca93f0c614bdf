"""Blocks of pixels all the way: statistics, plans, bytes, folders, decoders, accounting."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from actpress.calibration import Statistics, calibrate, fisher_information
from actpress.codec import SiteCodec, seen_by
from actpress.data.dataset import Dataset
from actpress.errors import CalibrationError, PlanError, StreamError
from actpress.evaluation import RunInfo, evaluate
from actpress.graph import Graph, site_values
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press
from actpress.run import load_model_from, save_model
from actpress.settings import NumberBits
from actpress.splitting import split
from actpress.stream import Decoder, Encoder
from actpress.tune import fit_decoders

Make = Callable[..., CompressedModel]
RANK = 10


@pytest.fixture(scope="module")
def in_blocks(graph: Graph, images: Tensor) -> Statistics:
    """Blocks of 2x2 pixels at every site that has pixels."""
    placements = {site.name: Placement.PRE_ACT for site in graph.sites}
    blocks = {site.name: 2 if len(site.shape) == 3 else 1 for site in graph.sites}
    fisher = fisher_information(graph, [images[:96]], placements, blocks=blocks)
    found = calibrate(graph, [images], placements, blocks=blocks)
    return replace(found, fisher=fisher, fisher_images=96)


@pytest.fixture(scope="module")
def make(graph: Graph, images: Tensor, in_blocks: Statistics) -> Make:
    """A pressed network with tables; a site without pixels takes PCA."""

    def pressed(
        transform: Transform = Transform.PCA,
        *,
        number_bits: NumberBits = NumberBits.BYTE,
        coarseness: float = 0.5,
        tables: bool = True,
    ) -> CompressedModel:
        sites = []
        for site in graph.sites:
            block = in_blocks.block(site.name)
            variance = in_blocks.sites[site.name].covariance.diagonal().mean()
            sites.append(
                SitePlan(
                    site=site.name,
                    placement=Placement.PRE_ACT,
                    transform=transform if block > 1 else Transform.PCA,
                    channels=site.channels,
                    block=block,
                    rank=RANK if block > 1 else 5,
                    step=coarseness * float(variance) ** 0.5,
                    number_bits=number_bits,
                )
            )
        plan = Plan(method="test", fingerprint=graph.fingerprint, sites=tuple(sites))
        network = press(graph, plan, in_blocks)
        if tables:
            fit_tables(network, images.split(64))
        return network

    return pressed


@pytest.fixture(scope="module")
def pressed(make: Make) -> CompressedModel:
    """Not to be changed."""
    return make()


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
        expected = torch.cov(columns, correction=0)  # products are made in float32
        torch.testing.assert_close(own.covariance, expected, rtol=1e-6, atol=1e-6)
    fisher = fisher_information(graph, [images[:8]], placements, blocks=blocks)
    alone = fisher_information(graph, [images[:8]], placements)
    for name, matrix in fisher.items():
        pixels = torch.arange(0, len(matrix), 4)
        summed = sum(matrix[pixels + i][:, pixels + i] for i in range(4))
        torch.testing.assert_close(summed, alone[name], rtol=1e-6, atol=1e-6)


def test_statistics_of_other_blocks_are_refused(
    graph: Graph, images: Tensor, pressed: CompressedModel
) -> None:
    placements = {site.name: Placement.PRE_ACT for site in graph.sites}
    plain = calibrate(graph, [images[:8]], placements)
    with pytest.raises(CalibrationError, match="blocks of side 2, but calibration observed 1"):
        press(graph, pressed.plan, plain)
    with pytest.raises(CalibrationError, match=r"cannot merge statistics of other .* blocks"):
        plain.merge(calibrate(graph, [images[:8]], placements, blocks={graph.sites[0].name: 2}))
    same = calibrate(graph, [images[:8]], placements, blocks=dict.fromkeys(placements, 1))
    assert plain.merge(same).sites[graph.sites[0].name].count == 2 * 8 * 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 33}, "rank 33 exceeds its 32 components"),
        ({"block": 9}, "less than or equal to 8"),
        ({"block": 0}, "greater than or equal to 1"),
        ({"block": 8, "channels": 65}, "in blocks of side 8 are 4160 components, more than"),
    ],
)
def test_plans_of_impossible_blocks_are_refused(
    pressed: CompressedModel, changes: dict[str, object], message: str
) -> None:
    site = pressed.plan.sites[0]
    assert (site.block, site.components) == (2, 4 * site.channels)
    with pytest.raises(ValidationError, match=message):
        SitePlan.model_validate(site.model_dump() | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": 3}, r"blocks of 3x3 pixels need .* multiples of 3; .* shape \(8, 8, 8\)"),
        ({"transform": Transform.IDENTITY}, "site relu: .*block"),
        ({"transform": Transform.HADAMARD}, "site relu: .*block"),
        ({"transform": Transform.HAAR_PCA, "block": 1}, "site relu: .*block"),
    ],
)
def test_blocks_that_a_site_or_a_transform_is_not_made_for_are_refused(
    graph: Graph,
    pressed: CompressedModel,
    in_blocks: Statistics,
    changes: dict[str, object],
    message: str,
) -> None:
    first, *rest = pressed.plan.sites
    sites = (first.model_copy(update=changes | {"rank": 8}), *rest)
    with pytest.raises(PlanError, match=message):
        press(graph, pressed.plan.model_copy(update={"sites": sites}), in_blocks)


@pytest.mark.parametrize("number_bits", NumberBits)
@pytest.mark.parametrize(
    "transform",
    [Transform.PCA, Transform.FISHER_PCA, Transform.LEARNED, Transform.HAAR_PCA],
)
def test_a_run_with_blocks_is_read_back_to_the_bit(
    make: Make,
    graph: Graph,
    images: Tensor,
    tmp_path: Path,
    transform: Transform,
    number_bits: NumberBits,
) -> None:
    saved = make(transform, number_bits=number_bits)
    save_model(saved, tmp_path)
    read = load_model_from(tmp_path, graph)
    assert read.plan == saved.plan
    assert read.plan.sites[0].transform == transform
    assert read(images[:4]).equal(saved(images[:4]))
    for name, codec in saved.codecs.items():
        own = read.codecs[name]
        assert own.parameter_bits() == codec.parameter_bits()
        x = torch.randn(2, *graph.site(name).shape)
        assert own.compress(x) == codec.compress(x)


def test_a_plan_of_other_blocks_is_not_read(
    pressed: CompressedModel, graph: Graph, tmp_path: Path
) -> None:
    save_model(pressed, tmp_path)
    plan = tmp_path / "plan.json"
    plan.write_text(plan.read_text().replace('"block": 2', '"block": 3'))
    with pytest.raises(PlanError, match=r"plan\.json: site .* blocks of 3x3 pixels need"):
        load_model_from(tmp_path, graph)


class Spy:
    """A probe that keeps what a codec hands on."""

    x_hat: Tensor

    def update(self, codec: SiteCodec, x: Tensor, q: Tensor, x_hat: Tensor) -> None:
        assert q.shape[1:] == codec.symbol_shape(x.shape[1:])
        self.x_hat = x_hat


@pytest.mark.parametrize("transform", [Transform.PCA, Transform.HAAR_PCA])
def test_bytes_carry_blocks(make: Make, images: Tensor, transform: Transform) -> None:
    pressed, file = make(transform), io.BytesIO()
    with Encoder(pressed, file) as encoder:
        logits = encoder.encode(images[:6])
    spies = {name: Spy() for name in pressed.codecs}
    with torch.no_grad(), seen_by({codec: spies[name] for name, codec in pressed.codecs.items()}):
        assert logits.equal(pressed(images[:6]))
    (values,) = Decoder(pressed, io.BytesIO(file.getvalue()))
    for name, value in values.items():
        assert value.shape[1:] == pressed.network.shapes[name]
        assert value.equal(spies[name].x_hat)


@pytest.mark.parametrize("axes", [(), (16,), (4, 2, 2)])
def test_records_without_planes_are_refused(
    pressed: CompressedModel, axes: tuple[int, ...]
) -> None:
    codec = next(iter(pressed.codecs.values()))
    record = codec.write_symbols(torch.zeros(2, codec.rank, *axes, dtype=torch.int32))
    with pytest.raises(StreamError, match="spatial axes; blocks of pixels have 2"):
        codec.decompress(record)


def test_records_of_other_sizes_are_refused_by_their_blocks(
    pressed: CompressedModel, images: Tensor
) -> None:
    file = io.BytesIO()
    with Encoder(pressed, file) as encoder:
        encoder.encode(torch.cat([images[:1], images[1:2]], dim=2))
    with pytest.raises(StreamError, match="the record has 8x4 positions, the site 4x4"):
        list(Decoder(pressed, io.BytesIO(file.getvalue())))
    (values,) = Decoder(pressed, io.BytesIO(file.getvalue()), any_size=True)
    assert next(iter(values.values())).shape[2:] == (16, 8)


def test_inputs_whose_maps_do_not_divide_are_refused(pressed: CompressedModel) -> None:
    with pytest.raises(PlanError, match="cannot be cut into blocks of 2x2 pixels"):
        pressed(torch.randn(2, 1, 7, 7))


def test_halves_of_a_network_send_blocks(
    graph: Graph, pressed: CompressedModel, images: Tensor
) -> None:
    head, tail = split(pressed, graph.sites[1].name)
    assert tail(head(images[:5])).equal(pressed(images[:5]))


def test_decoders_of_blocks_are_fitted(graph: Graph, images: Tensor, make: Make) -> None:
    pressed = make(Transform.LEARNED, coarseness=1.5)
    wanted = graph.eval_module(images)

    @torch.no_grad()
    def loss() -> float:
        return float(graph.task.divergence(pressed(images), wanted))

    before = loss()
    fit_decoders(pressed, graph, [images])
    assert loss() < 0.9 * before


def test_blocks_are_accounted_for(graph: Graph, dataset: Dataset, pressed: CompressedModel) -> None:
    metrics = evaluate(pressed, graph, dataset.test, RunInfo(), measured=True, batch=32)
    site, plan = metrics.sites[0], pressed.plan.sites[0]
    codec, blocks = pressed.codecs[plan.site], site.values // plan.components
    assert (site.block, site.components, blocks) == (2, 32, 16)
    assert site.bits.fixed == float(codec.fixed_bits().sum()) * blocks
    reads = graph.sites[0].reads
    assert site.extra_macs == site.folded_extra_macs == RANK * 32 * (1 + reads) * blocks
    assert site.encoder_folds_into is None, "a folded one would be a larger convolution"
    assert site.folded_parameter_bits == site.parameter_bits == codec.parameter_bits()
    matrix, constants = RANK * (32 * 8 + 16), 2 * 32 * 16
    assert codec.parameter_bits() - matrix - constants < 200, "steps and what names them"
    assert metrics.measured is not None
    assert metrics.measured.bits_per_value >= metrics.bits_per_value.entropy
