"""Operators of ATen in the words in which a network's own Python would have called them.

What torch.fx traces and what torch.export gives are the same to everything after capture.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import getitem
from types import BuiltinFunctionType
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.fx.node import Argument
from torch.nn import functional as F

NOTHING_TO_SEE = frozenset({"alias", "lift_fresh", "lift_fresh_copy", "detach"})
"""They give what they get, as nothing is overwritten any more."""

CHECKS = frozenset(
    {"_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_constrain_range"}
    | {"sym_constrain_range_for_size"}
)
"""They compute nothing: what they check was decided by the example."""

NORMS = frozenset(
    {"_native_batch_norm_legit_no_training", "_native_batch_norm_legit"}
    | {"_native_batch_norm_legit_functional"}
)
DROPOUT = "native_dropout"


@dataclass(frozen=True)
class Call:
    """A call of an exported graph.

    Attributes:
        node: with the example's value in `meta`.
        args: positional arguments, as values of the graph that is being written.
        kwargs: the others, likewise.
    """

    node: fx.Node
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def operator(self) -> str:
        """Name of an operator of ATen; empty for a function of Python."""
        return _operator(self.node)

    @property
    def shape(self) -> tuple[Any, ...]:
        """Of the result, which is one tensor; an axis of images has no number."""
        return _shape(self.node)


def call_in_words(graph: fx.Graph, call: Call) -> Argument:
    """Append to `graph` what a call of an exported graph computes.

    Returns:
        The value in `graph`; None for a mere check.
    """
    name = call.operator
    if name in CHECKS:
        return None
    if name in NOTHING_TO_SEE or _is_first_part(call.node):
        return call.args[0]  # type: ignore[no-any-return]
    special = _SPECIAL.get(name)
    if special is not None:
        return special(graph, call)
    if name and _function(name) is None and hasattr(Tensor, name):
        return graph.call_method(name, call.args, call.kwargs)
    return graph.call_function(_function(name) or _target(call), call.args, call.kwargs)


def _operator(node: fx.Node) -> str:
    return node.target.overloadpacket.__name__ if isinstance(node.target, OpOverload) else ""


def _target(call: Call) -> Callable[..., Any]:
    assert callable(call.node.target), "exported graphs call functions only"
    return call.node.target


def _shape(node: fx.Node) -> tuple[Any, ...]:
    value = node.meta["val"]
    assert isinstance(value, Tensor), "the operators that ask give one tensor"
    return tuple(value.shape)


def _function(name: str) -> Callable[..., Any] | None:
    """PyTorch's own function with the arguments of an operator of ATen; those of Python differ."""
    for owner in (torch, torch._C._nn):  # noqa: SLF001 where F.gelu and its kin are from
        function = getattr(owner, name, None)
        if isinstance(function, BuiltinFunctionType):
            return function
    return torch.split if name == "split" else None


def updates_statistics(node: fx.Node) -> bool:
    """Whether a call in words normalises by the batch, and so writes running statistics itself."""
    return node.target is F.batch_norm and node.args[5] is True


def _is_first_part(node: fx.Node) -> bool:
    """The first part of what a normalisation or dropout gives, which in words is all of it."""
    if node.target is not getitem or node.args[1] != 0:
        return False
    source = node.args[0]
    return isinstance(source, fx.Node) and _operator(source) in {*NORMS, DROPOUT}


def _batch_norm(graph: fx.Graph, call: Call) -> fx.Node:
    """By stored statistics, or by those of the batch."""
    x, weight, bias, *rest = call.args
    if call.operator == "_native_batch_norm_legit_no_training":
        (mean, variance, momentum, eps), training = rest, False
    else:
        training, momentum, eps = rest[-3:]
        mean, variance = rest[:-3] or (None, None)
    operands = (x, mean, variance, weight, bias, training, momentum, eps)
    return graph.call_function(F.batch_norm, operands)


def _dropout(graph: fx.Graph, call: Call) -> fx.Node:
    x, share, training = call.args
    return graph.call_function(F.dropout, (x, share, training is not False))


def _slice(graph: fx.Graph, call: Call) -> Argument:
    x, *rest = call.args
    axis, first, end, step = _part(rest)
    if _is_all(first, end, step):
        return x  # type: ignore[no-any-return]
    before = (slice(None),) * (axis % len(call.shape))
    return graph.call_function(getitem, (x, (*before, slice(first, end, step))))


def _slice_scatter(graph: fx.Graph, call: Call) -> Argument:
    x, part, *rest = call.args
    axis, first, end, step = _part(rest)
    if _is_all(first, end, step):
        return part  # type: ignore[no-any-return]
    return graph.call_function(torch.slice_scatter, (x, part, axis, first, end, step))


def _part(given: Sequence[Any]) -> tuple[Any, ...]:
    """Axis, first, end and step of a slice."""
    return (*given, *(0, None, None, 1)[len(given) :])


def _is_all(first: object, end: object, step: object) -> bool:
    return (
        not first and step == 1 and (end is None or (isinstance(end, int) and end >= sys.maxsize))
    )


def _reshape(graph: fx.Graph, call: Call) -> fx.Node:
    """A view in memory is none any more where a codec gives another layout; this one copies."""
    known = [size if isinstance(size, int) else None for size in call.shape]
    sizes = tuple(call.args[1])
    if known.count(None) == 1:  # the axis of images is left to be found out
        sizes = tuple(-1 if size is None else size for size in known)
    return graph.call_function(torch.reshape, (call.args[0], sizes))


def _expand(graph: fx.Graph, call: Call) -> fx.Node:
    x, given = call.args[0], list(call.args[1])
    before = _shape(call.node.all_input_nodes[0])
    for back in range(1, len(before) + 1):
        if before[-back] == call.shape[-back]:
            given[-back] = -1
    return graph.call_method("expand", (x, tuple(given)))


def _to(graph: fx.Graph, call: Call) -> fx.Node:
    wanted = ("dtype", "device", "non_blocking", "memory_format")
    given = {name: call.kwargs[name] for name in wanted if call.kwargs.get(name) is not None}
    return graph.call_method("to", call.args, given)


def _copy(graph: fx.Graph, call: Call) -> Argument:
    """What is written over all of a tensor."""
    old, new = (cast(fx.Node, operand).meta["val"] for operand in call.node.args[:2])
    if old.shape == new.shape and old.dtype is new.dtype:
        return call.args[1]  # type: ignore[no-any-return]
    return graph.call_function(_target(call), call.args, call.kwargs)


def _clone(graph: fx.Graph, call: Call) -> Argument:
    layout = call.kwargs.get("memory_format")
    if layout in (None, torch.preserve_format):
        return call.args[0]  # type: ignore[no-any-return]
    return graph.call_method("contiguous", call.args, {"memory_format": layout})


def _pad(graph: fx.Graph, call: Call) -> fx.Node:
    args = call.args
    if call.operator == "constant_pad_nd":
        args = (*args[:2], "constant", *args[2:])
    return graph.call_function(F.pad, args, call.kwargs)


def _size(graph: fx.Graph, call: Call) -> fx.Node:
    return graph.call_method("size", call.args)


_SPECIAL: dict[str, Callable[[fx.Graph, Call], Argument]] = {
    **dict.fromkeys(NORMS, _batch_norm),
    **dict.fromkeys(("view", "_unsafe_view", "reshape"), _reshape),
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    DROPOUT: _dropout,
    "slice": _slice,
    "slice_scatter": _slice_scatter,
    "expand": _expand,
    "_to_copy": _to,
    "copy": _copy,
    "clone": _clone,
    "sym_size": _size,
}
