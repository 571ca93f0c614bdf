"""ONNX forms of layers with weights and of pooling."""

from collections.abc import Mapping
from typing import Any

from torch import fx

from actpress.deploy.onnx.emission import Emission, given, pair, spatial_axes
from actpress.graph.values import shape_of

CONVOLUTION = "input weight bias stride padding dilation groups"
POOLING = "input kernel_size stride padding dilation ceil_mode return_indices"
AVERAGING = "input kernel_size stride padding ceil_mode count_include_pad divisor_override"
NORMALISATION = "input running_mean running_var weight bias training momentum eps"


def convolution(emission: Emission, node: fx.Node) -> str:
    """Zero padding only; `same` and `valid` become numbers."""
    module = emission.module(node)
    settings: Mapping[str, Any]
    if module is not None:
        weight, bias = emission.parameter(node, "weight"), emission.parameter(node, "bias")
        assert weight is not None
        settings = vars(module)
        kernel = tuple(settings["kernel_size"])
    else:
        settings = given(node, CONVOLUTION)
        weight, kernel = emission.tensor(node, settings["weight"]), _kernel(settings["weight"])
        own_bias = settings.get("bias")
        bias = None if own_bias is None else emission.tensor(node, own_bias)
    if settings.get("padding_mode", "zeros") != "zeros":
        raise emission.refusal(node, f"its padding is {settings['padding_mode']}, expected zeros")
    axes = len(kernel)
    dilation = pair(settings.get("dilation", 1), axes)
    return emission.write(
        node,
        "Conv",
        [emission.operand(node), weight, *([bias] if bias else [])],
        kernel_shape=list(kernel),
        strides=pair(settings.get("stride", 1), axes),
        pads=_padding(settings.get("padding", 0), kernel, dilation),
        dilations=dilation,
        group=int(settings.get("groups", 1)),
    )


def _kernel(weight: fx.Node) -> tuple[int, ...]:
    return shape_of(weight)[2:]


def _padding(padding: Any, kernel: tuple[int, ...], dilation: list[int]) -> list[int]:
    """Before every axis, then after every axis."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return [each // 2 for each in total] + [each - each // 2 for each in total]
    return pair(padding, len(kernel)) * 2


def linear(emission: Emission, node: fx.Node) -> str:
    """Of vectors (n, c)."""
    if len(shape_of(node)) != 2:
        raise emission.refusal(node, "expected vectors (n, c)")
    if emission.module(node) is not None:
        weight, bias = emission.parameter(node, "weight"), emission.parameter(node, "bias")
    else:
        settings = given(node, "input weight bias")
        weight, own_bias = emission.tensor(node, settings["weight"]), settings.get("bias")
        bias = None if own_bias is None else emission.tensor(node, own_bias)
    assert weight is not None
    inputs = [emission.operand(node), weight, *([bias] if bias else [])]
    return emission.write(node, "Gemm", inputs, transB=1)


def batch_norm(emission: Emission, node: fx.Node) -> str:
    """With running statistics."""
    module = emission.module(node)
    order = ("weight", "bias", "running_mean", "running_var")
    if module is not None:
        found = [emission.parameter(node, name) for name in order]
        epsilon = float(getattr(module, "eps"))  # noqa: B009  the type is any module
    else:
        settings = given(node, NORMALISATION)
        found = [
            None if settings.get(name) is None else emission.tensor(node, settings[name])
            for name in order
        ]
        epsilon = float(settings.get("eps", 1e-5))
    inputs = [each for each in found if each is not None]
    if len(inputs) < len(order):
        raise emission.refusal(node, "expected weight, bias and running statistics")
    return emission.write(
        node, "BatchNormalization", [emission.operand(node), *inputs], epsilon=epsilon
    )


def max_pool(emission: Emission, node: fx.Node) -> str:
    """Of maps; indices are not returned."""
    settings, axes = _settings(emission, node, POOLING), spatial_axes(node)
    if settings.get("return_indices"):
        raise emission.refusal(node, "it returns indices, too")
    return emission.write(
        node,
        "MaxPool",
        [emission.operand(node)],
        kernel_shape=pair(settings["kernel_size"], axes),
        strides=pair(settings.get("stride") or settings["kernel_size"], axes),
        pads=pair(settings.get("padding", 0), axes) * 2,
        dilations=pair(settings.get("dilation", 1), axes),
        ceil_mode=int(bool(settings.get("ceil_mode"))),
    )


def average_pool(emission: Emission, node: fx.Node) -> str:
    """Of maps."""
    settings, axes = _settings(emission, node, AVERAGING), spatial_axes(node)
    if settings.get("divisor_override") is not None:
        raise emission.refusal(node, "it has a divisor of its own")
    return emission.write(
        node,
        "AveragePool",
        [emission.operand(node)],
        kernel_shape=pair(settings["kernel_size"], axes),
        strides=pair(settings.get("stride") or settings["kernel_size"], axes),
        pads=pair(settings.get("padding", 0), axes) * 2,
        ceil_mode=int(bool(settings.get("ceil_mode"))),
        count_include_pad=int(bool(settings.get("count_include_pad", True))),
    )


def adaptive_average_pool(emission: Emission, node: fx.Node) -> str:
    """To one pixel, or to sizes that divide those of the operand."""
    before, after = shape_of(node.all_input_nodes[0])[2:], shape_of(node)[2:]
    if set(after) == {1}:
        return emission.write(node, "GlobalAveragePool", [emission.operand(node)])
    if any(size % wanted for size, wanted in zip(before, after, strict=True)):
        raise emission.refusal(node, f"pixels {before} do not divide into {after}")
    kernel = [size // wanted for size, wanted in zip(before, after, strict=True)]
    operand = [emission.operand(node)]
    return emission.write(node, "AveragePool", operand, kernel_shape=kernel, strides=kernel)


def _settings(emission: Emission, node: fx.Node, names: str) -> dict[str, Any]:
    module = emission.module(node)
    return given(node, names) if module is None else dict(vars(module))
