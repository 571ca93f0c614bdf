"""Accounting by hand on a network of two sites; evaluation learns nothing from the test."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from actpress.calibration import calibrate
from actpress.cost import (
    MEMORY_PJ_PER_BIT,
    EnergyModel,
    Partners,
    SiteUse,
    partners_of,
    use_of_plan,
)
from actpress.data.dataset import Split
from actpress.evaluation import Metrics, Reference, RunInfo, evaluate, predict
from actpress.graph import Graph, capture
from actpress.kernels import contexts_of
from actpress.plan import GroupPlan, Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press
from actpress.tasks import CLASSIFICATION

CHANNELS, PIXELS = 6, 16


class TwoSites(nn.Module):
    """The first activation is read by `left` and `right`, the second by `right` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, CHANNELS, 3, padding=1)
        self.left = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.right = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = self.left(x).relu()
        return (self.right(y) + x).flatten(1)


@dataclass
class Case:
    graph: Graph
    pressed: CompressedModel
    test: Split
    metrics: Metrics


@pytest.fixture(scope="module")
def make() -> Callable[..., Case]:
    def build(*, rank: int = 4, transform: Transform = Transform.PCA, step: float = 0.2) -> Case:
        torch.manual_seed(0)
        model = TwoSites()
        images = torch.randn(60, 1, 4, 4)
        graph = capture(model, images[:2])
        places = {site.name: Placement.PRE_ACT for site in graph.sites}
        statistics = calibrate(graph, [images], places)
        sites = tuple(
            SitePlan(
                site=site.name,
                placement=Placement.PRE_ACT,
                transform=transform,
                channels=CHANNELS,
                rank=rank,
                step=step,
            )
            for site in graph.sites
        )
        plan = Plan(method="test", fingerprint=graph.fingerprint, sites=sites)
        pressed = press(graph, plan, statistics)
        fit_tables(pressed, [images])
        x = torch.randn(40, 1, 4, 4)
        labels = model(x).argmax(1)
        labels[::3] = 0  # neither all right nor all wrong
        test = Split.in_memory(x, labels)
        metrics = evaluate(pressed, graph, test, RunInfo(), statistics=statistics)
        return Case(graph, pressed, test, metrics)

    return build


@pytest.fixture(scope="module")
def case(make: Callable[..., Case]) -> Case:
    return make()


def values(split: Split) -> Tensor:
    return next(split.batches(len(split)))[0]


def test_the_case_is_what_it_claims(case: Case) -> None:
    reads = {site.name: site.reads for site in case.graph.sites}
    assert list(reads.values()) == [2, 1]
    assert all(site.values == CHANNELS * PIXELS for site in case.graph.sites)


def test_widths_add_up_to_the_fixed_bits(case: Case) -> None:
    for site in case.metrics.sites:
        blocks = site.values // site.components
        assert sum(count for _, count in site.widths) == site.components
        assert sum(bits * count for bits, count in site.widths) * blocks == site.bits.fixed
        assert sum(count for bits, count in site.widths if bits == 0) >= site.components - site.rank


def test_fixed_bits_by_hand(case: Case) -> None:
    for site, codec in zip(case.metrics.sites, case.pressed.codecs.values(), strict=True):
        widths = (codec.q_max - codec.q_min).tolist()
        assert site.bits.fixed == sum(width.bit_length() for width in widths) * PIXELS


def test_entropy_bits_are_the_code_lengths_of_the_test_symbols(case: Case) -> None:
    codec = case.pressed.codecs["relu"]
    x = case.graph.root.stem(values(case.test)).detach()
    q, lengths = codec.encode(x), codec.code_lengths_bits()
    contexts = contexts_of(q) if lengths.shape[1] > 1 else torch.zeros_like(q)
    spent = sum(
        float(lengths[j, context, symbol - codec.symbol_range()[0]])
        for image in zip(q, contexts, strict=True)
        for j, (symbols, own) in enumerate(zip(*image, strict=True))
        for symbol, context in zip(symbols.flatten(), own.flatten(), strict=True)
    )
    site = case.metrics.sites[0]
    assert site.bits.entropy == pytest.approx(spent / len(case.test))
    x_hat = codec.decode(codec.encode(x)).detach()
    assert site.distortion_mse == pytest.approx(float((x - x_hat).square().mean()), rel=1e-5)


def test_dropped_components_count_in_the_denominator(case: Case) -> None:
    for site in case.metrics.sites:
        assert site.rank == 4
        assert site.values == CHANNELS * PIXELS
        assert site.bits_per_value.fixed == pytest.approx(site.bits.fixed / (CHANNELS * PIXELS))
    total = sum(site.bits.entropy for site in case.metrics.sites)
    assert case.metrics.bits_per_value.entropy == pytest.approx(total / (2 * CHANNELS * PIXELS))
    assert case.metrics.stored_ratio_8bit == pytest.approx(8 / case.metrics.bits_per_value.entropy)


def test_traffic_is_one_write_and_one_read_per_consumer(case: Case) -> None:
    first, second = case.metrics.sites
    whole = CHANNELS * PIXELS * 8
    assert (first.traffic_bits_8bit, second.traffic_bits_8bit) == (3 * whole, 2 * whole)
    assert first.traffic_bits.fixed == 3 * first.bits.fixed
    assert second.traffic_bits.entropy == pytest.approx(2 * second.bits.entropy)
    assert (first.traffic_share, second.traffic_share) == pytest.approx((0.6, 0.4))
    traffic = case.metrics.traffic
    assert traffic.bits_8bit == 5 * whole
    after = 3 * first.bits.fixed + 2 * second.bits.fixed
    assert traffic.bits.fixed == after
    ratios = [traffic.ratio_8bit.fixed, traffic.ratio_16bit.fixed, traffic.ratio_32bit.fixed]
    assert ratios == pytest.approx([5 * whole / after, 10 * whole / after, 20 * whole / after])


def quantizer_bits(case: Case, site: str) -> int:
    """The lowest symbol, the steps and widths that differ, and packed indices in whole bytes."""
    codec = case.pressed.codecs[site]
    kinds = len(set(zip(codec.step.tolist(), codec.fixed_bits().tolist(), strict=True)))
    index = -(-codec.rank * (kinds - 1).bit_length() // 8)
    return 16 + 24 * kinds + 8 * index


def test_parameters_by_hand(case: Case) -> None:
    """One matrix of 8 bits with a scale per row, mean and offset of 16 bits, and quantizers."""
    for site in case.metrics.sites:
        matrix = 8 * 4 * CHANNELS + 16 * 4
        quantizers = quantizer_bits(case, site.name)
        assert site.parameter_bits == matrix + 16 * 2 * CHANNELS + quantizers
        # The layer before takes in encoder and mean; the decoder needs the matrix all the same.
        assert site.folded_parameter_bits == matrix + 16 * CHANNELS + quantizers
        classes = len(case.pressed.tables.table_of) if case.pressed.tables else 0
        assert site.index_bits == 8 * -(-4 * (classes - 1).bit_length() // 8)


def test_neighbours_that_shrink_are_credited(case: Case) -> None:
    """Two of six output channels of the layer before go, each of so many weights of 8 bits.

    So do its multiply-accumulates.
    """
    first, second = case.metrics.sites
    assert first.credit_bits == 8 * (CHANNELS - 4) * 9
    assert second.credit_bits == 8 * (CHANNELS - 4) * CHANNELS * 9
    assert first.credit_macs == (CHANNELS - 4) * 9 * PIXELS
    assert second.credit_macs == (CHANNELS - 4) * CHANNELS * 9 * PIXELS
    traffic = case.metrics.traffic
    left = [max(s.folded_parameter_bits - s.credit_bits, 0) for s in (first, second)]
    assert traffic.fetched_bits.fixed == sum(left)
    indices = first.index_bits + second.index_bits
    assert traffic.fetched_bits.entropy == sum(left) + indices


def test_net_ratios_by_hand(case: Case) -> None:
    traffic = case.metrics.traffic
    assert case.pressed.tables is not None
    assert traffic.table_bits == case.pressed.tables.bits()
    coded = traffic.bits.entropy + traffic.table_bits
    folded = traffic.bits_8bit / (coded + traffic.fetched_bits.entropy)
    assert traffic.net_ratio_8bit.entropy == pytest.approx(folded)
    packed = traffic.bits_8bit / (traffic.bits.fixed + traffic.fetched_bits.fixed)
    assert traffic.net_ratio_8bit.fixed == pytest.approx(packed), "packing needs no tables"
    unfolded = traffic.bits_8bit / (traffic.bits.fixed + traffic.parameter_bits)
    assert traffic.net_ratio_8bit_unfolded.fixed == pytest.approx(unfolded)
    assert case.metrics.net_moved_ratio_8bit_batch1 == traffic.net_ratio_8bit.entropy


def test_a_batch_shares_what_is_fetched(case: Case) -> None:
    test, info = case.test, RunInfo(batch=16)
    traffic = evaluate(case.pressed, case.graph, test, info).traffic
    fetched = (traffic.fetched_bits.entropy + traffic.table_bits) / 16
    ratio = traffic.bits_8bit / (traffic.bits.entropy + fetched)
    assert traffic.net_ratio_8bit.entropy == pytest.approx(ratio)
    assert traffic.net_ratio_8bit_batch1 == case.metrics.traffic.net_ratio_8bit


def test_extra_arithmetic_by_hand(case: Case) -> None:
    """Every reader decodes; the convolutions before take in the encoders."""
    first, second = case.metrics.sites
    one_way = 4 * CHANNELS * PIXELS
    assert (first.extra_macs, second.extra_macs) == (3 * one_way, 2 * one_way)
    assert first.encoder_folds_into == "stem"
    assert first.decoder_folds_into == ()
    assert first.folded_extra_macs == 2 * one_way
    assert second.encoder_folds_into == "left"
    assert second.folded_extra_macs == one_way


class OneSite(nn.Module):
    """A value after ReLU that one padded convolution reads."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, CHANNELS, 3, padding=1)
        self.reader = nn.Conv2d(CHANNELS, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.reader(self.stem(x).relu()).flatten(1)


def use(plan: dict[str, object], outputs: int = 5) -> SiteUse:
    """What a site after the activation costs, of 100 stored bits."""
    graph = capture(OneSite(outputs), torch.randn(2, 1, 4, 4))
    (site,) = graph.sites
    options = {"placement": Placement.POST_ACT, "channels": CHANNELS, "step": 0.1, **plan}
    full = SitePlan.model_validate({"site": site.name, **options})
    return use_of_plan(site, full, stored_bits=100.0, quantizer_bits=0.0)


class Between(nn.Module):
    """`middle` reads one site and writes another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.middle = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 8, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.middle(self.stem(x).relu()).relu()).flatten(1)


def test_a_layer_between_two_sites_is_credited_once() -> None:
    """8 x 6 weights become 5 x 4: 28 less, where the folds save 18 and 16 one by one."""
    graph = capture(Between(), torch.randn(2, 1, 6, 6))
    options = {"transform": Transform.PCA, "step": 0.1}
    before, after = (
        SitePlan(site=site.name, placement=place, channels=site.channels, rank=rank, **options)
        for site, place, rank in zip(
            graph.sites, (Placement.POST_ACT, Placement.PRE_ACT), (4, 5), strict=True
        )
    )
    plan = Plan(method="test", fingerprint=graph.fingerprint, sites=(before, after))

    def credited(partners: Partners | None) -> list[float]:
        uses = (
            use_of_plan(site, own, stored_bits=0.0, quantizer_bits=0.0, partners=partners)
            for site, own in zip(graph.sites, plan, strict=True)
        )
        return [use.credit_bits / 8 for use in uses]

    # The decoder saves 16 in 8 outputs, 10 in 5; the encoder 18 with 6 inputs, 12 with 4.
    assert credited(partners_of(graph.sites, plan)) == [13.0, 15.0]
    assert credited(None) == [8.0, 9.0], "as long as the other site is open"
    alone = plan.model_copy(update={"sites": (after,)})
    assert credited(partners_of(graph.sites, alone))[1] == 18.0


def test_a_padded_reader_is_debited_for_its_channel_of_ones() -> None:
    """It reads 4 components and a one for 6 channels; with all components, 7 for 6."""
    smaller = use({"transform": Transform.HADAMARD, "rank": 4})
    assert smaller.credit_bits == 8 * (CHANNELS - 4 - 1) * 5 * 9
    assert smaller.credit_macs == (CHANNELS - 4 - 1) * 5 * 9 * PIXELS
    larger = use({"transform": Transform.LEARNED, "rank": CHANNELS}, outputs=1)
    assert larger.credit_bits == -8 * 9
    assert larger.credit_macs == -9 * PIXELS
    # Decoder and offset are the reader's; the encoder follows an activation and stays.
    assert larger.parameter_bits == (8 * CHANNELS + 16) * CHANNELS + 16 * CHANNELS
    assert larger.fetched_bits == larger.parameter_bits + 8 * 9


def test_a_fold_that_costs_more_than_it_saves_is_not_done() -> None:
    """All of a Hadamard transform is cheaper than a channel of ones in a wide layer."""
    wide = use({"transform": Transform.HADAMARD, "rank": CHANNELS}, outputs=64)
    assert wide.credit_bits == 0
    assert wide.macs == 2 * CHANNELS * PIXELS


def test_dropped_channels_shrink_both_neighbours() -> None:
    kept = GroupPlan(components=(0, 2, 3, 5), bit_width=4, step=0.1)
    gone = GroupPlan(components=(1, 4), bit_width=0, step=1.0)
    found = use({"transform": Transform.IDENTITY, "rank": 4, "groups": (kept, gone)})
    assert found.credit_bits == 8 * 2 * (9 + 5 * 9)
    assert found.credit_macs == 2 * (9 + 5 * 9) * PIXELS
    assert found.parameter_bits == 0  # nobody has to know which channels are kept


def test_folding_never_adds_parameters(make: Callable[..., Case]) -> None:
    for rank in (1, 2, 6):
        for site in make(rank=rank, step=5.0).metrics.sites:
            assert 0 <= site.folded_parameter_bits <= site.parameter_bits


@pytest.mark.parametrize("transform", [Transform.DCT, Transform.HADAMARD])
def test_formulas_need_no_stored_matrix(make: Callable[..., Case], transform: Transform) -> None:
    case = make(transform=transform)
    rows, constants = 16 * 4, 16 * 2 * CHANNELS
    site = case.metrics.sites[0]
    assert site.parameter_bits == rows + constants + quantizer_bits(case, site.name)
    assert site.eigenvalues == ()


def test_the_identity_has_no_matrix_and_no_arithmetic(make: Callable[..., Case]) -> None:
    case = make(transform=Transform.IDENTITY, rank=CHANNELS)
    for site in case.metrics.sites:
        assert site.extra_macs == site.folded_extra_macs == 0
        assert site.encoder_folds_into is None
        assert site.folded_parameter_bits == site.parameter_bits


def test_energy_by_hand(case: Case) -> None:
    model = EnergyModel("mine", pj_per_bit=2.0, mac_pj=0.5)
    energy = evaluate(case.pressed, case.graph, case.test, RunInfo(), energy=model).energy
    traffic = case.metrics.traffic
    first, second = case.metrics.sites
    assert second.credit_macs > second.folded_extra_macs  # which pays for this codec and no other
    macs = first.folded_extra_macs - first.credit_macs
    assert energy.before_pj == 2 * traffic.bits_8bit
    moved = traffic.bits.fixed + traffic.fetched_bits.fixed
    assert energy.after_pj.fixed == pytest.approx(2 * moved + 0.5 * macs)
    assert EnergyModel.of_memory("ddr3").pj_per_bit == MEMORY_PJ_PER_BIT["ddr3"]


def test_accuracy_and_agreement_by_hand(case: Case) -> None:
    images, labels = values(case.test), case.test.labels
    with torch.no_grad():
        floats = case.graph.eval_module(images).argmax(1)
        ours = case.pressed(images).argmax(1)
    metrics = case.metrics
    assert metrics.images == len(labels)
    assert metrics.accuracy == pytest.approx(float((ours == labels).float().mean()))
    assert metrics.float_accuracy == pytest.approx(float((floats == labels).float().mean()))
    assert metrics.agreement == pytest.approx(float((ours == floats).float().mean()))
    assert metrics.accuracy_drop_pp == pytest.approx(
        100 * (metrics.float_accuracy - metrics.accuracy)
    )


def test_known_float_predictions_are_used(case: Case) -> None:
    fake = torch.zeros(len(case.test), dtype=torch.int64)
    evidence = CLASSIFICATION.evidence(fake, case.test.labels)
    known = Reference(case.graph.eval_module, evidence, fake)
    metrics = evaluate(case.pressed, case.graph, case.test, RunInfo(), reference=known)
    assert metrics.float_accuracy == pytest.approx(float((case.test.labels == 0).float().mean()))


def test_the_test_split_sets_nothing(case: Case) -> None:
    """Ranges, tables and outputs stay; images far outside calibration are clamped, not learned."""
    before = {name: tensor.clone() for name, tensor in case.pressed.state_dict().items()}
    far = Split.in_memory(100 * values(case.test), case.test.labels)

    loud = evaluate(case.pressed, case.graph, far, RunInfo())

    after = case.pressed.state_dict()
    assert all(after[name].equal(tensor) for name, tensor in before.items())
    assert loud.bits_per_value.fixed == case.metrics.bits_per_value.fixed
    assert loud.bits_per_value.entropy > case.metrics.bits_per_value.entropy
    again = evaluate(case.pressed, case.graph, case.test, RunInfo())
    assert again.bits_per_value == case.metrics.bits_per_value
    assert again.accuracy == case.metrics.accuracy


def test_metrics_do_not_depend_on_the_batches(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("actpress.evaluation.evaluating")
    monkeypatch.setattr(module, "BATCH", 7)
    seen: list[int] = []
    metrics = evaluate(case.pressed, case.graph, case.test, RunInfo(), on_batch=seen.append)
    assert sum(seen) == 2 * len(case.test)
    assert metrics.bits_per_value == case.metrics.bits_per_value
    assert metrics.accuracy == case.metrics.accuracy


def test_predicting_keeps_the_mode(case: Case) -> None:
    case.pressed.train()
    predict(case.pressed, case.test)
    assert case.pressed.training
    case.pressed.eval()


def test_eigenvalues_and_scope_are_reported(case: Case) -> None:
    assert case.metrics.scope.startswith("2 of 2 stored activations (pre_act)")
    for site in case.metrics.sites:
        assert len(site.eigenvalues) == CHANNELS
        assert list(site.eigenvalues) == sorted(site.eigenvalues, reverse=True)
