"""Which values count as stored, who reads them, and what folds."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.graph import Graph, capture, default_placement
from actpress.plan import Placement


class Residual(nn.Module):
    """conv1 - bn - relu, then relu(conv2 + x): the first value is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv1(x)))
        y = self.relu(torch.add(self.conv2(x), x))
        return self.head(y.mean((2, 3)))


def test_a_residual_value_is_read_twice(unchanged: Callable[..., Graph]) -> None:
    graph = unchanged(Residual(), torch.randn(2, 1, 6, 6))

    first, block, pooled = graph.sites
    assert [site.name for site in graph.sites] == ["relu", "relu#2", "mean"]
    assert (first.reads, block.reads, pooled.reads) == (1, 1, 1)
    assert first.encoder_folds_into(Placement.PRE_ACT) == "conv1"
    assert first.decoder_folds_into(Placement.POST_ACT) == ("conv2",)
    assert first.after.others  # the add reads it, too, and decodes it for itself
    assert block.encoder_folds_into(Placement.PRE_ACT) is None  # across the add
    assert pooled.shape == (4,)
    assert pooled.decoder_folds_into(Placement.PRE_ACT) == ("head",)
    assert pooled.values == pooled.channels == 4


class Function(nn.Module):
    """Two convolutions and a linear layer for `function(model, x)` to use."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Conv2d(4, 2, 1)
        self.fc = nn.Linear(4, 2)
        self.function = function

    def forward(self, *inputs: Tensor) -> object:
        return self.function(self, *inputs)


def wrap(function: Callable[..., object]) -> nn.Module:
    """A network with one named input whose forward is `function`."""

    class Network(Function):
        def forward(self, x: Tensor) -> object:
            return function(self, x)

    return Network(function)


def names(graph: Graph) -> list[str]:
    return [site.name for site in graph.sites]


IMAGE = torch.linspace(-1, 1, 2 * 36).view(2, 1, 6, 6)


def test_squeeze_and_excitation_reads_the_value_twice(unchanged: Callable[..., Graph]) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        x = m.a(x)
        scale = torch.sigmoid(m.b(F.adaptive_avg_pool2d(x, 1)))
        return m.head(scale * x)

    graph = unchanged(wrap(forward), IMAGE)

    assert names(graph) == ["a", "adaptive_avg_pool2d", "mul"]
    assert graph.site("a").consumers == ("adaptive_avg_pool2d", "mul")
    product = graph.site("mul")
    assert product.producer == "b"
    assert product.activation is None  # the product is stored, not the sigmoid
    assert product.pre_node == product.post_node


def test_a_value_that_is_added_after_its_activation_is_stored_as_the_sum(
    unchanged: Callable[..., Graph],
) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        x = m.a(x)
        return m.head(x + m.relu(m.b(x)))

    graph = unchanged(wrap(forward), IMAGE)

    assert names(graph) == ["a", "add"]
    assert graph.site("add").activation is None
    assert graph.site("add").pre_node == graph.site("add").post_node == "add"


def test_unary_operations_after_an_activation_belong_to_the_stored_value(
    unchanged: Callable[..., Graph],
) -> None:
    graph = unchanged(wrap(lambda m, x: m.head(m.norm(m.relu(m.a(x))) * 2)), IMAGE)

    (site,) = graph.sites
    assert (site.name, site.activation) == ("relu", "relu")
    assert (site.pre_node, site.post_node) == ("a", "mul")
    assert site.encoder_folds_into(Placement.PRE_ACT) == "a"


def test_cat_stores_nothing_and_passes_reads_through(unchanged: Callable[..., Graph]) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        x = m.a(x)
        y = torch.cat([x[:, :2], m.relu(m.b(x))[:, 2:]], 1)
        return m.head(y)

    graph = unchanged(wrap(forward), IMAGE)

    assert names(graph) == ["a", "relu"]
    assert graph.site("a").consumers == ("b", "head")
    assert graph.site("relu").decoder_folds_into(Placement.POST_ACT) == ()  # not as it is stored


@pytest.mark.parametrize("layer", ["depthwise", "grouped"])
def test_grouped_convolutions_fold_nothing(layer: str, unchanged: Callable[..., Graph]) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        return m.head(m.relu(m.get_submodule(layer)(m.relu(m.a(x)))))

    before, after = unchanged(wrap(forward), IMAGE).sites

    assert before.decoder_folds_into(Placement.POST_ACT) == ()
    assert after.encoder_folds_into(Placement.PRE_ACT) is None
    assert after.decoder_folds_into(Placement.POST_ACT) == ("head",)


def test_weights_that_are_used_twice_fold_nothing(unchanged: Callable[..., Graph]) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        return m.head(m.b(m.relu(m.b(m.a(x)))))

    graph = unchanged(wrap(forward), IMAGE)

    assert names(graph) == ["a", "relu", "b"]
    assert graph.site("a").decoder_folds_into(Placement.PRE_ACT) == ()
    assert graph.site("relu").encoder_folds_into(Placement.PRE_ACT) is None


@pytest.mark.parametrize("functional", [False, True])
def test_dropout_is_not_part_of_the_stored_value(
    functional: bool,  # noqa: FBT001
    unchanged: Callable[..., Graph],
) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        x = m.relu(m.a(x))
        x = F.dropout(x, training=m.training) if functional else m.drop(x)
        return m.head(x)

    graph = unchanged(wrap(forward), IMAGE)

    (site,) = graph.sites
    assert site.post_node == "relu"
    assert site.decoder_folds_into(Placement.POST_ACT) == ("head",)
    assert (graph.train_module is graph.eval_module) is not functional


def test_drop_connect_differs_between_the_modes(unchanged: Callable[..., Graph]) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        x = m.a(x)
        y = m.norm(m.b(x))
        if m.training:
            keep = torch.floor(0.5 + torch.rand([y.shape[0], 1, 1, 1], dtype=y.dtype))
            y = y / 0.5 * keep
        return m.head(y + x)

    graph = unchanged(wrap(forward), IMAGE)

    assert names(graph) == ["a", "add"]
    in_train = graph.training.mode.nodes["add"][Placement.PRE_ACT]
    assert in_train != graph.site("add").pre_node
    assert graph.site("add").reads == 1


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(2),
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 2),
        lambda x: F.adaptive_max_pool2d(x, 2),
    ],
)
def test_pooling_opens_a_group(
    pool: Callable[[Tensor], Tensor], unchanged: Callable[..., Graph]
) -> None:
    model = wrap(lambda m, x: m.head(m.pool(m.relu(m.a(x)))))
    model.pool = pool

    activation, pooled = unchanged(model, IMAGE).sites

    assert activation.name == "relu"
    assert activation.decoder_folds_into(Placement.POST_ACT) == ()
    assert pooled.encoder_folds_into(Placement.PRE_ACT) is None
    assert pooled.decoder_folds_into(Placement.PRE_ACT) == ("head",)


@pytest.mark.parametrize("training", [False, True])
def test_functional_batch_norm_folds_only_in_eval_mode(
    training: bool,  # noqa: FBT001
) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        y = F.batch_norm(m.a(x), m.norm.running_mean, m.norm.running_var, training=training)
        return m.head(y.relu())

    model = wrap(forward)
    (site,) = capture(model, IMAGE).sites

    assert site.encoder_folds_into(Placement.PRE_ACT) == (None if training else "a")
    assert model.norm.running_mean.eq(0).all()


def test_flatten_of_pixels_folds_only_when_there_is_one() -> None:
    folded = wrap(lambda m, x: m.fc(F.adaptive_avg_pool2d(m.a(x), 1).flatten(1)))
    (_, one) = capture(folded, IMAGE).sites
    model = wrap(lambda m, x: m.wide(F.adaptive_avg_pool2d(m.a(x), 2).flatten(1)))
    model.wide = nn.Linear(16, 2)
    (_, four) = capture(model, IMAGE).sites

    assert one.decoder_folds_into(Placement.PRE_ACT) == ("fc",)
    assert four.decoder_folds_into(Placement.PRE_ACT) == ()


@pytest.mark.parametrize(("value", "expected"), [(0.0, ("head",)), (1.0, ())])
def test_only_zero_padding_folds(value: float, expected: tuple[str, ...]) -> None:
    modules = wrap(lambda m, x: m.head(m.pad(m.a(x))))
    modules.pad = nn.ConstantPad2d(1, value)
    functions = wrap(lambda m, x: m.head(F.pad(m.a(x), (1, 1, 1, 1), value=value)))

    for model in (modules, functions):
        (site,) = capture(model, IMAGE).sites
        assert site.decoder_folds_into(Placement.POST_ACT) == expected


def test_a_convolution_by_function_counts_as_its_module(unchanged: Callable[..., Graph]) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        y = F.conv2d(x, m.a.weight, m.a.bias, 1, 1)
        z = F.conv2d(y.relu(), m.depthwise.weight, None, 1, 1, 1, 4)
        return m.head(z.relu())

    dense, depthwise = unchanged(wrap(forward), IMAGE).sites

    assert dense.encoder_folds_into(Placement.PRE_ACT) == "a"
    assert dense.decoder_folds_into(Placement.POST_ACT) == ()
    assert depthwise.encoder_folds_into(Placement.PRE_ACT) is None


def test_an_activation_of_a_stored_value_has_no_place_before_it() -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        x = m.a(x)
        return m.head(m.b(m.relu(x)) + x)

    graph = capture(wrap(forward), IMAGE)
    site = graph.site("relu")

    # ReLU works in place, so the shortcut reads its result, too, and in the same group.
    assert names(graph) == ["relu", "add"]
    assert site.consumers == ("b",)
    assert site.decoder_folds_into(Placement.POST_ACT) == ("b",)
    assert site.after.others

    graph = capture(wrap(lambda m, x: forward_out_of_place(m, m.a(x))), IMAGE)
    site = graph.site("relu")
    assert names(graph) == ["a", "relu", "add"]
    assert site.activation is None
    assert site.pre_node == site.post_node
    assert site.decoder_folds_into(default_placement(site)) == ("b",)


def forward_out_of_place(m: Function, x: Tensor) -> Tensor:
    return m.head(m.b(x.relu()) + x)


def test_the_later_operand_takes_an_addition_in() -> None:
    graph = capture(wrap(lambda m, x: m.head(m.depthwise(m.a(x)) + m.b(m.a(x)))), IMAGE)

    assert names(graph) == ["a", "depthwise", "a#2", "add"]
    assert graph.site("add").producer == "b"
    assert graph.site("depthwise").consumers == ("add",)


def test_returned_values_are_read_by_the_output(unchanged: Callable[..., Graph]) -> None:
    def forward(m: Function, x: Tensor) -> dict[str, object]:
        features = m.relu(m.a(x))
        return {"features": [features], "logits": m.head(features), "batch": x.shape[0]}

    graph = unchanged(wrap(forward), IMAGE)

    (site,) = graph.sites
    assert site.consumers == ("head", "output")
    assert site.decoder_folds_into(Placement.POST_ACT) == ("head",)
    assert site.after.others


def test_several_inputs_and_default_arguments(unchanged: Callable[..., Graph]) -> None:
    class TwoInputs(Function):
        def forward(self, x: Tensor, y: Tensor, *rest: Tensor, verbose: bool = False) -> Tensor:
            if verbose or rest:
                raise RuntimeError
            return self.fc(self.relu(self.a(x)).mean((2, 3)) + y)

    graph = unchanged(TwoInputs(lambda: None), IMAGE, torch.ones(2, 4))

    assert names(graph) == ["relu", "add"]


def test_parts_of_a_tuple_are_values_of_their_own(unchanged: Callable[..., Graph]) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        values, _ = torch.max(m.a(x), 3)
        return m.fc(values.mean(2))

    assert names(unchanged(wrap(forward), IMAGE)) == ["a", "getitem", "mean"]


def test_a_network_may_have_no_sites() -> None:
    assert capture(nn.Conv2d(1, 2, 3), IMAGE).sites == ()


def test_pixels_in_the_batch_axis_belong_to_their_image(unchanged: Callable[..., Graph]) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        pixels = m.a(x).permute(0, 2, 3, 1).reshape(-1, 4)
        return F.linear(m.fc(pixels).relu(), torch.ones(2, 2))

    graph = unchanged(wrap(forward), IMAGE)

    assert names(graph) == ["a", "relu"]
    assert graph.site("relu").shape == (2, 36)


def test_values_without_the_batch_axis_are_left_out() -> None:
    def forward(m: Function, x: Tensor) -> tuple[Tensor, Tensor]:
        x = m.a(x)
        return m.head(x), F.avg_pool1d(x.mean(0), 2)

    with pytest.warns(UserWarning, match=r"left out: mean; no axis of these values is the batch"):
        graph = capture(wrap(forward), IMAGE)

    assert names(graph) == ["a"]
