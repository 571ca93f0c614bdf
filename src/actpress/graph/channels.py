"""Which axis of a value holds its channels: written and read here, as `node.meta`."""

from collections.abc import Callable

import torch
from torch import Tensor, fx, nn

from actpress.graph.operators import Kind, Operator, operator_of
from actpress.graph.values import rank_of, shape_of

LAST = frozenset({"linear", "bilinear", "embedding", "lstm", "gru", "rnn"})
SECOND = frozenset(
    {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
    | {"batch_norm", "group_norm", "instance_norm", "local_response_norm"}
)
OVER_LAST = frozenset({"layer_norm", "rms_norm"})
"""They normalise over the channels, where they do so over one axis."""

_KEY = "channel_axis"


def channel_axis_of(node: fx.Node) -> int:
    """Axis of the channels of a stored value; 1 where nothing tells.

    1 in maps of convolutions (n, c, h, w), the last one in tokens (n, t, c) and maps (n, h, w, c).
    """
    axis = node.meta.get(_KEY)
    return 1 if axis is None or len(shape_of(node)) < 3 else int(axis)


def note_channel_axis(
    node: fx.Node, root: nn.Module, rerun: Callable[[fx.Node, Tensor], object]
) -> None:
    """Note where a node's channels are, as far as it or its operands tell.

    Args:
        node: with its shape noted, and its operands done.
        root: owns its module.
        rerun: compute the node with another tensor in the place of one operand.
    """
    axis = _axis(node, root, rerun)
    if axis is not None:
        node.meta[_KEY] = axis


def _axis(node: fx.Node, root: nn.Module, rerun: Callable[[fx.Node, Tensor], object]) -> int | None:
    rank = rank_of(node)
    if rank < 2 or node.op == "get_attr":
        return None
    if node.op == "placeholder":
        return 1 if rank > 3 else None
    operator = operator_of(node, root)
    if operator.name in LAST or (operator.name in OVER_LAST and _normalised(node, root) == 1):
        return rank - 1
    return 1 if operator.name in SECOND else _inherited(node, operator, rerun)


def _inherited(
    node: fx.Node, operator: Operator, rerun: Callable[[fx.Node, Tensor], object]
) -> int | None:
    """What the first operand tells whose channels are known."""
    source = next((operand for operand in node.all_input_nodes if _KEY in operand.meta), None)
    if source is None:
        return None
    if operator.kind is Kind.RESHAPE:
        return _followed(source, rerun)
    return _carried(node, source, operator)


def _carried(node: fx.Node, source: fx.Node, operator: Operator) -> int | None:
    """The axis of the operand, if the value has as many axes, and the same channels or parts."""
    axis = int(source.meta[_KEY])
    if rank_of(node) != rank_of(source):
        return None
    before, after = shape_of(source), shape_of(node)
    return (
        axis if operator.is_view or not (before and after) or before[axis] == after[axis] else None
    )


def _followed(source: fx.Node, rerun: Callable[[fx.Node, Tensor], object]) -> int | None:
    """Where the channel axis of the operand comes out, if it stays one axis: by a marked tensor."""
    shape, axis = shape_of(source), int(source.meta[_KEY])
    if not shape:
        return None
    marks = torch.arange(shape[axis]).view([-1 if at == axis else 1 for at in range(len(shape))])
    try:
        moved = rerun(source, marks.expand(shape).contiguous())
    except Exception:  # noqa: BLE001 - what cannot be computed with marks tells nothing
        return None
    if not isinstance(moved, Tensor):
        return None
    for at, size in enumerate(moved.shape):
        own = torch.arange(size).view([-1 if i == at else 1 for i in range(moved.ndim)])
        if size == shape[axis] and size > 1 and bool((moved == own).all()):
            return at
    return None


def _normalised(node: fx.Node, root: nn.Module) -> int:
    """Number of axes that a normalisation covers."""
    if node.op == "call_module":
        return len(root.get_submodule(str(node.target)).normalized_shape)  # type: ignore[arg-type]
    shape = node.args[1] if len(node.args) > 1 else node.kwargs.get("normalized_shape")
    return len(shape) if isinstance(shape, list | tuple) else 0
