"""The law of folding: the folded network is the frozen one, and never larger."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actpress.budget import View
from actpress.calibration import calibrate
from actpress.codec import divides
from actpress.cost import folds_of, partners_of, use_of, use_of_plan
from actpress.deploy.fold import FoldReport, fold
from actpress.deploy.freeze import freeze
from actpress.errors import ModelError
from actpress.graph import Graph, capture
from actpress.plan import GroupPlan, Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press
from tests.folding import assert_folds

SIDE = 8
ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "leaky": nn.LeakyReLU, "none": nn.Identity}


@dataclass(frozen=True)
class Layer:
    """How one step of a random network computes."""

    kernel: int
    stride: int
    padding: int
    mode: str
    grouped: bool
    norm: bool
    bias: bool
    activation: str
    residual: bool
    channels: int


class Step(nn.Module):
    """conv - norm - activation, plus what it read where that is asked for and fits."""

    def __init__(self, inputs: int, layer: Layer) -> None:
        super().__init__()
        outputs = inputs if layer.grouped else layer.channels
        self.conv = nn.Conv2d(
            inputs,
            outputs,
            layer.kernel,
            layer.stride,
            layer.padding,
            groups=2 if layer.grouped else 1,
            bias=layer.bias,
            padding_mode=layer.mode,
        )
        self.norm = nn.BatchNorm2d(outputs) if layer.norm else nn.Identity()
        self.activation = ACTIVATIONS[layer.activation]()
        same = outputs == inputs and layer.stride == 1 and 2 * layer.padding == layer.kernel - 1
        self.residual = layer.residual and same
        self.outputs = outputs
        for name, tensor in self.norm.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn_like(tensor) if "var" not in name else tensor + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        if self.residual:
            y = y + x
        return self.activation(y)


def network(layers: list[Layer]) -> nn.Module:
    steps, channels, side = [], 4, SIDE
    for layer in layers:
        side = (side + 2 * layer.padding - layer.kernel) // layer.stride + 1
        assume(side > 0 and (layer.mode == "zeros" or layer.padding < side))
        step = Step(channels, layer)
        steps.append(step)
        channels = step.outputs
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *steps, *head).eval()


layer = st.builds(
    Layer,
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.sampled_from([1, 1, 2]),
    padding=st.integers(0, 2),
    mode=st.sampled_from(["zeros", "zeros", "zeros", "replicate"]),
    grouped=st.booleans(),
    norm=st.booleans(),
    bias=st.booleans(),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    residual=st.booleans(),
    channels=st.sampled_from([2, 4, 6]),
)
choice = st.tuples(
    st.sampled_from([Transform.IDENTITY, Transform.PCA, Transform.HADAMARD, Transform.SCALED_PCA]),
    st.sampled_from(Placement),
    st.sampled_from([1, 1, 2]),
    st.floats(0.1, 1.0),
)
Choice = tuple[str, Placement, int, float]


def site_plan(graph: Graph, name: str, chosen: Choice) -> SitePlan:
    transform, placement, block, share = chosen
    site = graph.site(name)
    if transform in (Transform.IDENTITY, Transform.HADAMARD) or not divides(site.shape, block):
        block = 1
    if transform == Transform.SCALED_PCA:
        transform = Transform.PCA
    components = site.channels * block**2
    rank = max(round(share * components), 1)
    groups: tuple[GroupPlan, ...] = ()
    if transform == Transform.IDENTITY and rank < components:
        kept = tuple(range(components))[-rank:]
        rest = tuple(range(components))[:-rank]
        groups = (
            GroupPlan(components=kept, bit_width=7, step=0.03),
            GroupPlan(components=rest, bit_width=0, step=1.0),
        )
    return SitePlan(
        site=name,
        placement=placement,
        transform=transform,
        channels=site.channels,
        block=block,
        rank=rank,
        step=0.03,
        groups=groups,
    )


def pressed_network(
    layers: list[Layer], choices: list[Choice], x: Tensor
) -> tuple[Graph, CompressedModel]:
    graph = capture(network(layers), x[:2])
    plans = tuple(
        site_plan(graph, site.name, choices[index % len(choices)])
        for index, site in enumerate(graph.sites)
    )
    places = {plan.site: plan.placement for plan in plans}
    statistics = calibrate(graph, [x], places, blocks={p.site: p.block for p in plans})
    pressed = press(
        graph, Plan(method="law", fingerprint=graph.fingerprint, sites=plans), statistics
    )
    fit_tables(pressed, [x])
    return graph, pressed


@pytest.mark.slow
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    layers=st.lists(layer, min_size=1, max_size=4),
    choices=st.lists(choice, min_size=1, max_size=4),
    grow=st.booleans(),
    seed=st.integers(0, 100),
)
def test_folded_is_frozen(
    layers: list[Layer],
    choices: list[Choice],
    grow: bool,  # noqa: FBT001
    seed: int,
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(6, 2, SIDE, SIDE)
    graph, pressed = pressed_network(layers, choices, x)

    report = folded_report(pressed, x, grow=grow)
    if report is None or grow:
        return
    assert report.weights_after <= report.weights_before
    if all(site.reads == 1 for site in graph.sites):  # each reader of a device decodes
        assert report.macs_after <= report.macs_before


@pytest.mark.slow
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    layers=st.lists(layer, min_size=1, max_size=4),
    choices=st.lists(choice, min_size=1, max_size=4),
    seed=st.integers(0, 100),
)
def test_the_account_credits_what_folding_saves(
    layers: list[Layer], choices: list[Choice], seed: int
) -> None:
    """To the weight; what is credited while other sites are open is at most that."""
    torch.manual_seed(seed)
    x = torch.randn(6, 2, SIDE, SIDE)
    graph, pressed = pressed_network(layers, choices, x)
    try:
        folded, report = fold(pressed)
    except ModelError:
        return

    saved = neighbour_weights(freeze(pressed)) - neighbour_weights(folded)
    partners = partners_of(graph.sites, pressed.plan)
    credit = certain = 0.0
    for plan, done in zip(pressed.plan, report.sites, strict=True):
        site, codec = graph.site(plan.site), pressed.codecs[plan.site]
        folds = folds_of(site, plan)
        if plan.rank < plan.channels or not plan.is_identity:
            assert (done.encoder, done.decoder) == (folds.encoder_path, folds.decoder_paths)
        credit += use_of(site, plan, codec, 0.0, View.FIXED, partners=partners).credit_bits / 8
        certain += use_of_plan(site, plan, stored_bits=0.0, quantizer_bits=0.0).credit_bits / 8
    assert credit == saved
    assert certain <= saved


def neighbour_weights(network: nn.Module) -> int:
    """Of convolutions and linear layers that are no parts of codecs."""
    return sum(
        module.weight.numel()
        for path, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and not path.startswith("codecs.")
    )


def folded_report(pressed: CompressedModel, x: Tensor, *, grow: bool) -> FoldReport | None:
    """Of a folded network that was held against the frozen one; None where nothing folds."""
    try:
        return assert_folds(pressed, x, weights_may_grow=grow)
    except ModelError as error:
        if "nothing of this network folds" not in str(error):
            raise
        return None
