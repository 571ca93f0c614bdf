"""Calls of `F.conv2d` and the like with weights of the network, as modules."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from actpress.graph.operators import operator_of
from actpress.graph.values import shape_of

_CONVOLUTIONS: dict[str, Any] = {"conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "conv3d": nn.Conv3d}
_NORMS: dict[int, Any] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}


def module_of_call(node: fx.Node, root: nn.Module) -> nn.Module | None:
    """A module in eval mode with the same parameters that computes what the call does, or None.

    Convolutions, linear layers, and normalisation by stored statistics are known.
    """
    if node.op != "call_function" or not node.args or not shape_of(node):
        return None
    name = operator_of(node, root).name
    try:
        if name in _CONVOLUTIONS:
            return _convolution(node, root, _CONVOLUTIONS[name])
        if name == "linear":
            return _linear(node, root)
        return _norm(node, root) if name == "batch_norm" else None
    except _NotOwnedError:
        return None


def weight_name(node: fx.Node) -> str:
    """Module path of a call's weight, or its own where the network itself has it."""
    weight = _argument(node, 1, "weight", None)
    assert isinstance(weight, fx.Node), "`module_of_call` found it"
    return str(weight.target).removesuffix(".weight")


class _NotOwnedError(Exception):
    """A number or tensor is computed by the network, or used elsewhere."""


def _convolution(node: fx.Node, root: nn.Module, kind: Any) -> nn.Module:
    weight, bias = _tensor(node, root, 1, "weight"), _tensor(node, root, 2, "bias")
    if weight is None:
        raise _NotOwnedError
    groups = _number(node, 6, "groups", 1)
    with torch.device("meta"):
        layer = kind(
            weight.shape[1] * groups,
            len(weight),
            tuple(weight.shape[2:]),
            stride=_number(node, 3, "stride", 1),
            padding=_number(node, 4, "padding", 0),
            dilation=_number(node, 5, "dilation", 1),
            groups=groups,
            bias=bias is not None,
        )
    return _with(layer, weight=weight, bias=bias)


def _linear(node: fx.Node, root: nn.Module) -> nn.Module:
    weight, bias = _tensor(node, root, 1, "weight"), _tensor(node, root, 2, "bias")
    if weight is None:
        raise _NotOwnedError
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], len(weight), bias=bias is not None)
    return _with(layer, weight=weight, bias=bias)


def _norm(node: fx.Node, root: nn.Module) -> nn.Module | None:
    mean, variance = _tensor(node, root, 1, "running_mean"), _tensor(node, root, 2, "running_var")
    weight, bias = _tensor(node, root, 3, "weight"), _tensor(node, root, 4, "bias")
    training = _argument(node, 5, "training", default=False)
    if mean is None or variance is None or training is not False:
        return None
    if (weight is None) != (bias is None):
        return None
    eps = _number(node, 7, "eps", 1e-5)
    with torch.device("meta"):
        norm = _NORMS[len(shape_of(node))](len(mean), eps=eps, affine=weight is not None)
    norm.running_mean, norm.running_var = mean.detach(), variance.detach()
    return _with(norm, weight=weight, bias=bias)


def _with(module: nn.Module, **tensors: Tensor | None) -> nn.Module:
    for name, tensor in tensors.items():
        if tensor is not None and not isinstance(tensor, nn.Parameter):
            raise _NotOwnedError
        setattr(module, name, tensor)
    return module.eval()


def _tensor(node: fx.Node, root: nn.Module, position: int, name: str) -> Tensor | None:
    """A parameter or buffer of the network that only this call uses."""
    value = _argument(node, position, name, None)
    if value is None:
        return None
    if not isinstance(value, fx.Node) or value.op != "get_attr" or len(value.users) > 1:
        raise _NotOwnedError
    owner, _, attribute = str(value.target).rpartition(".")
    tensor = getattr(root.get_submodule(owner), attribute)
    if not isinstance(tensor, Tensor):
        raise _NotOwnedError
    return tensor


def _number(node: fx.Node, position: int, name: str, default: Any) -> Any:
    """A number, a string or a tuple of numbers, known without running the network."""
    value = _argument(node, position, name, default)
    parts = value if isinstance(value, tuple | list) else (value,)
    if any(isinstance(part, fx.Node) for part in parts):
        raise _NotOwnedError
    return tuple(parts) if isinstance(value, list) else value


def _argument(node: fx.Node, position: int, name: str, default: object) -> object:
    if position < len(node.args):
        return node.args[position]
    return node.kwargs.get(name, default)
