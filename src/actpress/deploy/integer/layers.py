"""Layers with weights, pools and padding, read off modules and functions."""

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from actpress.deploy.integer.arithmetic import RealArray
from actpress.deploy.integer.network import Window
from actpress.deploy.integer.operands import Linear, Pooling, Stored
from actpress.errors import ExportError
from actpress.graph.operators import human_name, operator_of
from actpress.graph.values import shape_of

CONVOLUTIONS = frozenset({"conv2d", "linear"})
MAX_POOLS = frozenset({"max_pool2d", "maxpool2d"})
AVERAGE_POOLS = frozenset({"avg_pool2d", "avgpool2d"})
ADAPTIVE_POOLS = frozenset({"adaptive_avg_pool2d", "adaptiveavgpool2d"})
POOLS = MAX_POOLS | AVERAGE_POOLS | ADAPTIVE_POOLS | {"mean"}
CONCATENATIONS = frozenset({"cat", "concat", "concatenate"})

CONVOLUTION_ARGUMENTS = "input weight bias stride padding dilation groups"
MAX_ARGUMENTS = "input kernel_size stride padding dilation ceil_mode return_indices"
AVERAGE_ARGUMENTS = "input kernel_size stride padding ceil_mode count_include_pad divisor_override"


def linear_of(node: fx.Node, root: nn.Module, source: Stored) -> Linear:
    """A convolution, or a linear layer as a convolution of all pixels.

    Raises:
        ExportError: it has no integer form.
    """
    settings = _settings(node, root, CONVOLUTION_ARGUMENTS)
    weight = _array(settings["weight"], root)
    own_bias = settings.get("bias")
    bias = np.zeros(len(weight)) if own_bias is None else _array(own_bias, root)
    if operator_of(node, root).name == "linear":
        return _of_all_pixels(node, root, source, weight, bias)
    if settings.get("padding_mode", "zeros") != "zeros":
        raise _refusal(node, root, f"pads with {settings['padding_mode']}, expected zeros")
    kernel, dilation = (weight.shape[2], weight.shape[3]), _pair(settings.get("dilation", 1))
    before, after = _padding(settings.get("padding", 0), kernel, dilation)
    window = Window(
        kernel,
        _pair(settings.get("stride", 1)),
        dilation,
        _plus(before, source.before),
        _plus(after, source.after),
    )
    return Linear(source, weight, bias, window, int(settings.get("groups", 1)))


def channelwise(source: Stored, factor: RealArray, constant: RealArray) -> Linear:
    """A factor and a constant for each channel."""
    window = Window((1, 1), before=source.before, after=source.after)
    return Linear(source, factor.reshape(-1, 1, 1, 1), constant, window, len(factor))


def norm_of(module: nn.Module, name: str) -> tuple[RealArray, RealArray]:
    """Factor and constant of each channel of a batch normalisation in eval mode.

    Raises:
        ExportError: it has no running statistics.
    """
    if getattr(module, "running_mean", None) is None:
        raise ExportError(f"{name} (batch_norm) has no running statistics")
    mean, variance = _array(module.running_mean), _array(module.running_var)
    affine = module.weight is not None
    weight = _array(module.weight) if affine else np.ones_like(mean)
    bias = _array(module.bias) if affine else np.zeros_like(mean)
    factor = weight / np.sqrt(variance + float(getattr(module, "eps")))  # noqa: B009  any module
    return factor, bias - mean * factor


def pooling_of(node: fx.Node, root: nn.Module, source: Stored) -> Pooling:
    """A pool with a window of one size.

    Raises:
        ExportError: it has no integer form.
    """
    name = operator_of(node, root).name
    if name == "mean":
        return _mean(node, root, source)
    if name in ADAPTIVE_POOLS:
        return _adaptive(node, root, source)
    largest = name in MAX_POOLS
    settings = _settings(node, root, MAX_ARGUMENTS if largest else AVERAGE_ARGUMENTS)
    for unknown in ("ceil_mode", "return_indices", "divisor_override"):
        if settings.get(unknown):
            raise _refusal(node, root, f"with {unknown} has no integer form")
    kernel, padding = _pair(settings["kernel_size"]), _pair(settings.get("padding", 0))
    if not largest and any(padding) and not settings.get("count_include_pad", True):
        raise _refusal(node, root, "that leaves padding out has no integer form")
    if largest and source.is_padded:
        raise _refusal(node, root, "of a padded map has no integer form")
    window = Window(
        kernel,
        _pair(settings.get("stride") or kernel),
        _pair(settings.get("dilation", 1)),
        _plus(padding, source.before),
        _plus(padding, source.after),
    )
    return Pooling(source, window, None if largest else prod(kernel))


def padding_of(node: fx.Node, root: nn.Module) -> tuple[int, int, int, int]:
    """Zeros that are put left, right, above and below.

    Raises:
        ExportError: it puts other values there, or takes pixels away.
    """
    settings = _settings(node, root, "input padding mode value")
    amounts = settings.get("padding", settings.get("pad", ()))
    amounts = (amounts,) * 4 if isinstance(amounts, int) else tuple(amounts)
    constant = settings.get("mode", "constant") == "constant" and not settings.get("value")
    module = _module(node, root)
    if module is not None and not isinstance(module, nn.ZeroPad2d | nn.ConstantPad2d):
        constant = False
    if not constant or len(amounts) != 4 or min(amounts) < 0:
        raise _refusal(node, root, "has no integer form; expected zeros around a map")
    left, right, top, bottom = amounts
    return left, right, top, bottom


def axis_of(node: fx.Node) -> int:
    """Along which a concatenation joins."""
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    return int(str(axis))


def _of_all_pixels(
    node: fx.Node, root: nn.Module, source: Stored, weight: RealArray, bias: RealArray
) -> Linear:
    if len(shape_of(node)) != 2 or source.is_padded:
        raise _refusal(node, root, "has no integer form; expected vectors")
    channels, height, width = source.shape
    kernel = weight.reshape(len(weight), channels, height, width)
    return Linear(source, kernel, bias, Window((height, width)), 1)


def _mean(node: fx.Node, root: nn.Module, source: Stored) -> Pooling:
    axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    axes = axes if isinstance(axes, list | tuple) else [axes]
    if sorted(int(str(axis)) % 4 for axis in axes) != [2, 3] or source.is_padded or source.flat:
        raise _refusal(node, root, "has no integer form; expected the mean of all pixels")
    return Pooling(source, Window(source.shape[1:]), prod(source.shape[1:]))


def _adaptive(node: fx.Node, root: nn.Module, source: Stored) -> Pooling:
    before, after = source.shape[1:], shape_of(node)[2:]
    if source.is_padded or any(a % b for a, b in zip(before, after, strict=True)):
        raise _refusal(node, root, f"has no integer form: {before} does not divide into {after}")
    kernel = (before[0] // after[0], before[1] // after[1])
    return Pooling(source, Window(kernel, kernel), prod(kernel))


def _padding(
    padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    if padding == "valid":
        padding = 0
    if padding == "same":
        total = [by * (size - 1) for by, size in zip(dilation, kernel, strict=True)]
        before = (total[0] // 2, total[1] // 2)
        return before, (total[0] - before[0], total[1] - before[1])
    return _pair(padding), _pair(padding)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, tuple | list):
        return int(value[0]), int(value[-1])
    return int(value), int(value)


def _plus(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


def _module(node: fx.Node, root: nn.Module) -> nn.Module | None:
    return root.get_submodule(str(node.target)) if node.op == "call_module" else None


def _settings(node: fx.Node, root: nn.Module, names: str) -> dict[str, Any]:
    """Settings of a module, or arguments of a function, by name."""
    module = _module(node, root)
    if module is None:
        return {**dict(zip(names.split(), node.args, strict=False)), **node.kwargs}
    parameters = {name: getattr(module, name, None) for name in ("weight", "bias")}
    return {**vars(module), **parameters}


def _array(values: Any, root: nn.Module | None = None) -> RealArray:
    if isinstance(values, fx.Node):
        assert root is not None
        owner, _, name = str(values.target).rpartition(".")
        values = getattr(root.get_submodule(owner), name)
    assert isinstance(values, Tensor)
    found: RealArray = values.detach().cpu().to(torch.float64).numpy()
    return found


def _refusal(node: fx.Node, root: nn.Module, why: str) -> ExportError:
    return ExportError(f"{human_name(node, root)} ({operator_of(node, root).name}) {why}")
