"""Real networks: the expected sites, and identity codecs that change nothing at all."""

import copy
import gc

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from actpress.graph import Graph, RewrittenNetwork, Site, capture, insert_codecs, site_values
from actpress.plan import Placement
from actpress.zoo import reference


class IdentityCodec(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(())


def build(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    if name == "efficientnet_lite0":
        return EfficientNet.from_name("efficientnet-lite0"), torch.randn(1, 3, 224, 224)
    return reference.build(name), torch.randn(2, 1, 32, 32)


def rewritten(graph: Graph, placement: Placement) -> RewrittenNetwork:
    codecs = {site.name: IdentityCodec() for site in graph.sites}
    return insert_codecs(graph, codecs, dict.fromkeys(codecs, placement))


def assert_equal_step(model: nn.Module, network: RewrittenNetwork, x: Tensor) -> None:
    """One forward and backward pass leave equal outputs, gradients and buffers."""
    torch.manual_seed(1)
    expected = model(x)
    torch.manual_seed(1)
    output, _ = network(x)
    assert isinstance(output, Tensor)
    assert output.equal(expected)

    expected.square().sum().backward()
    output.square().sum().backward()
    traced = network.train_module if network.training else network.eval_module
    parameters, buffers = dict(traced.named_parameters()), dict(traced.named_buffers())
    for name, parameter in model.named_parameters():
        assert parameters[name].grad.equal(parameter.grad), name
    for name, buffer in model.named_buffers():
        assert buffers[name].equal(buffer), name


NETWORKS = ["resnet18", "mobilenet_v2", "vgg16_bn", "efficientnet_lite0"]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("placement", Placement)
@pytest.mark.parametrize("name", NETWORKS)
def test_identity_codecs_change_nothing(
    name: str,
    placement: Placement,
    training: bool,  # noqa: FBT001
) -> None:
    model, x = build(name)
    if name == "efficientnet_lite0" and training:
        x = torch.cat([x, -x])  # drop_connect draws one number per image
    network = rewritten(capture(model, x), placement)

    assert_equal_step(model.train(training), network.train(training), x)


def test_a_copy_of_the_rewritten_network_is_a_network_of_its_own() -> None:
    model, x = build("resnet18")
    network = rewritten(capture(model, x), Placement.PRE_ACT)
    duplicate = copy.deepcopy(network)
    del network
    gc.collect()

    assert_equal_step(model.train(), duplicate.train(), x)


def of_kind(sites: tuple[Site, ...], word: str) -> list[Site]:
    return [site for site in sites if word in site.producer]


def test_the_sites_of_resnet18() -> None:
    sites = capture(*build("resnet18")).sites

    reads = {site.name: site.reads for site in sites}
    assert len(sites) == 21
    assert len(of_kind(sites, "conv")) == 17
    assert len(of_kind(sites, "downsample")) == 3
    assert len(of_kind(sites, "avgpool")) == 1
    assert reads["relu"] == 2
    assert [reads[f"layer{i}.0.relu#2"] for i in (1, 2, 3, 4)] == [2, 2, 2, 2]
    assert [reads[f"layer{i}.1.relu#2"] for i in (1, 2, 3, 4)] == [2, 2, 2, 1]
    assert [reads[f"layer{i}.0.relu"] for i in (1, 2, 3, 4)] == [1, 1, 1, 1]


def test_what_folds_in_resnet18() -> None:
    graph = capture(*build("resnet18"))

    inner, block = graph.site("layer2.1.relu"), graph.site("layer2.1.relu#2")
    shortcut = graph.site("layer2.0.downsample.1")
    assert inner.encoder_folds_into(Placement.PRE_ACT) == "layer2.1.conv1"
    assert inner.decoder_folds_into(Placement.POST_ACT) == ("layer2.1.conv2",)
    assert block.encoder_folds_into(Placement.PRE_ACT) is None
    assert block.decoder_folds_into(Placement.POST_ACT) == (
        "layer3.0.downsample.0",
        "layer3.0.conv1",
    )
    assert shortcut.encoder_folds_into(Placement.PRE_ACT) == "layer2.0.downsample.0"
    assert shortcut.decoder_folds_into(Placement.PRE_ACT) == ()


def test_the_sites_of_vgg16_bn() -> None:
    sites = capture(*build("vgg16_bn")).sites

    assert len(sites) == 21
    assert [site.activation for site in sites].count("relu") == 15
    assert sites[-1].name == "classifier.4"
    assert sites[-1].shape == (256,)


def test_the_sites_of_mobilenet_v2_include_its_linear_bottlenecks() -> None:
    graph = capture(*build("mobilenet_v2"))

    # 35 activations, 17 bottlenecks, 1 pooled value.
    assert len(graph.sites) == 53
    bottleneck, total = graph.site("features.2.conv.3"), graph.site("features.3.add")
    assert bottleneck.activation is None
    assert bottleneck.consumers == ("features.3.conv.0.0", "features.3.add")
    assert bottleneck.encoder_folds_into(Placement.PRE_ACT) == "features.2.conv.2"
    assert total.encoder_folds_into(Placement.PRE_ACT) is None


def test_the_sites_of_efficientnet_lite0() -> None:
    graph = capture(*build("efficientnet_lite0"))

    assert graph.train_module is not graph.eval_module
    assert len(graph.sites) == 50
    depthwise = graph.site("_blocks.1._swish#2")
    assert depthwise.shape == (96, 56, 56)
    assert depthwise.activation == "relu6"
    assert depthwise.encoder_folds_into(Placement.PRE_ACT) is None
    assert depthwise.decoder_folds_into(Placement.POST_ACT) == ("_blocks.1._project_conv",)


def test_every_value_has_the_shape_of_its_site() -> None:
    model, x = build("resnet18")
    graph = capture(model, x)

    names = []
    for name, value in site_values(graph, x, {s.name: Placement.PRE_ACT for s in graph.sites}):
        assert tuple(value.shape[1:]) == graph.site(name).shape
        names.append(name)

    assert sorted(names) == sorted(site.name for site in graph.sites)
