"""How the values of a network lie in memory, which a codec must not change for those who look."""

from torch import Tensor, fx, nn

from actpress.graph.operators import Kind, is_library, operator_of
from actpress.graph.values import shape_of, tensor_meta

LOOKING = frozenset(
    {"view", "view_as", "unflatten", "as_strided", "stride", "is_contiguous", "data_ptr", "numpy"}
    | {"view_as_real", "view_as_complex", "storage_offset", "untyped_storage"}
)
"""Operations whose success or result depends on strides; `reshape` and `flatten` copy instead."""


def layout_matters(graph: fx.Graph, root: nn.Module) -> bool:
    """Whether anything in a network, or whoever gets its output, can tell how values lie in memory.

    A codec's projection makes maps channels last, which convolutions hand on. Where nobody looks,
    they are left so: a copy at every site would cost time.
    """
    return any(_looks(node, root) for node in graph.nodes)


def layout_of(node: fx.Node) -> tuple[int, ...]:
    """Axes of a node's value from the largest stride to the smallest.

    (0, 1, 2, 3) is contiguous, (0, 2, 3, 1) channels last. Empty if the value is not one tensor.
    """
    meta = tensor_meta(node)
    if meta is None:
        return ()
    return tuple(sorted(range(len(meta.shape)), key=lambda axis: -meta.stride[axis]))


def in_layout(x: Tensor, layout: tuple[int, ...]) -> Tensor:
    """The same values, without gaps in memory, as `layout_of` says; x itself if they lie so."""
    back = tuple(layout.index(axis) for axis in range(len(layout)))
    return x.permute(layout).contiguous().permute(back)


def _looks(node: fx.Node, root: nn.Module) -> bool:
    if operator_of(node, root).kind is Kind.IDENTITY:
        return False
    if node.op == "output":
        return any(len(shape_of(result)) > 2 for result in node.all_input_nodes)
    if node.op == "call_function":
        return operator_of(node, root).name in LOOKING or not is_library(node)
    if node.op == "call_method":
        return operator_of(node, root).name in LOOKING
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        return isinstance(module, nn.Unflatten) or not type(module).__module__.startswith(
            "torch.nn"
        )
    return False
