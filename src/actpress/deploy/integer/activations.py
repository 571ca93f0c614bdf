"""Activation functions as integers see them: clamps move into ranges, others become tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import inf
from typing import cast

import numpy as np
import torch
from torch import Tensor, fx, nn

from actpress.deploy.integer.arithmetic import RealArray

CLAMPS: dict[str, tuple[float, float]] = {"relu": (0.0, inf), "relu6": (0.0, 6.0)}
BOUNDED = ("hardtanh", "clamp", "clip")
TABULATED = frozenset(
    {
        "hardswish",
        "hardsigmoid",
        "silu",
        "sigmoid",
        "tanh",
        "mish",
        "softsign",
        "gelu",
        "leaky_relu",
    }
    | {"elu", "selu", "celu", "softplus", "hardshrink", "softshrink", "tanhshrink", "logsigmoid"}
)


@dataclass(frozen=True)
class Activation:
    """A function of one value.

    Attributes:
        name: of the operator.
        bounds: of a clamp; None for another function.
        function: of float64 values.
    """

    name: str
    bounds: tuple[float, float] | None
    function: Callable[[RealArray], RealArray]


def clamp(name: str, low: float, high: float) -> Activation:
    """A clamp, either bound of which may be infinite."""
    return Activation(name, (low, high), lambda values: np.clip(values, low, high))


def tabulated(name: str, function: Callable[[Tensor], Tensor]) -> Activation:
    """Any other function of one value."""

    def of_array(values: RealArray) -> RealArray:
        with torch.no_grad():
            found: RealArray = function(torch.from_numpy(values).clone()).numpy()
        return found

    return Activation(name, None, of_array)


def activation_of(node: fx.Node, module: nn.Module | None, name: str) -> Activation | None:
    """The activation that a node applies; None where it has no integer form."""
    if name in CLAMPS:
        return clamp(name, *CLAMPS[name])
    if name in BOUNDED:
        return _bounded(node, module, name)
    if name in TABULATED:
        return tabulated(name, module or _called(node))
    return None


def _called(node: fx.Node) -> Callable[[Tensor], Tensor]:
    """The function or method of a node, with its settings."""
    if node.op == "call_method":
        return lambda x: cast(Tensor, getattr(x, str(node.target))(*node.args[1:], **node.kwargs))
    function = cast(Callable[..., Tensor], node.target)
    return lambda x: function(x, *node.args[1:], **node.kwargs)


def _bounded(node: fx.Node, module: nn.Module | None, name: str) -> Activation | None:
    bounds: tuple[object, object]
    if module is not None:
        bounds = module.min_val, module.max_val
    else:
        names = ("input", "min_val", "max_val") if name == "hardtanh" else ("input", "min", "max")
        given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        bounds = given.get(names[1]), given.get(names[2])
    low, high = -inf if bounds[0] is None else bounds[0], inf if bounds[1] is None else bounds[1]
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return None
    return clamp(name, float(low), float(high))


def bounds_of(activations: Sequence[Activation]) -> tuple[float, float] | None:
    """What a chain of clamps leaves; None where another function is among them."""
    low, high = -inf, inf
    for each in activations:
        if each.bounds is None:
            return None
        low, high = float(np.clip(low, *each.bounds)), float(np.clip(high, *each.bounds))
    return low, high


def apply(activations: Sequence[Activation], values: RealArray) -> RealArray:
    """All of them, one after the other."""
    return reduce(lambda done, each: each.function(done), activations, values)
