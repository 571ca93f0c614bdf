"""A network in the mode it is in as a graph with notes on its values."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, fx, nn

from actpress.errors import ModelError
from actpress.graph.annotate import annotate_values
from actpress.graph.batch import note_batch
from actpress.graph.exported import NotExportableError, export
from actpress.graph.functionalize import functionalize, inplace_paths, set_inplace
from actpress.graph.recovery import recovered
from actpress.graph.sizes import FixedSizeError, OtherSize, check_same
from actpress.graph.state import (
    attributes_restored,
    buffers_restored,
    check_written_buffers,
    graph_module,
)
from actpress.graph.tracing import NotTraceableError, trace
from actpress.graph.whole import NOTHING, Whole, listed_by_timm
from actpress.settings import Capture


@dataclass(frozen=True)
class Wanted:
    """How to capture a network.

    Attributes:
        leaves: paths of modules to keep whole.
        how: to find what it computes; `AUTO` exports what torch.fx cannot trace.
        other: what the network gives for another size, where it has to be captured for any.
    """

    leaves: tuple[str, ...]
    how: Capture
    other: OtherSize | None = None


def program_of(
    root: nn.Module, inputs: tuple[Tensor, ...], wanted: Wanted
) -> tuple[fx.GraphModule, Capture]:
    """What a network computes, and how that was found: `FX` or `EXPORT`.

    What timm lists is kept whole where torch.fx cannot look into it and nothing else is left:
    torch.export looks into it, so that nothing there is hidden. Of paddings that depend on the size
    it makes formulas for any size, though, which take it minutes; there the lists come first.

    Args:
        root: the network; modules of an exported one lose their flags `inplace`.
        inputs: the example.
        wanted: how.

    Raises:
        ModelError: it cannot be found, or the network rejects the example.
    """
    whole = listed_by_timm()
    if wanted.how is Capture.FX:
        return _traced(root, inputs, wanted, whole), Capture.FX
    if wanted.how is Capture.EXPORT:
        return _exported(root, inputs, wanted), Capture.EXPORT
    flags, first = inplace_paths(root), whole if wanted.other is not None else NOTHING
    try:
        return _traced(root, inputs, wanted, first), Capture.FX
    except (NotTraceableError, FixedSizeError) as traced:
        try:
            return _exported(root, inputs, wanted), Capture.EXPORT
        except (NotExportableError, FixedSizeError) as second:
            if whole == first:
                raise ModelError(f"{traced}; {_nor(second)}") from traced
            set_inplace(root, flags, flag=True)
            try:
                return _traced(root, inputs, wanted, whole), Capture.FX
            except (NotTraceableError, FixedSizeError) as last:
                raise ModelError(f"{last}; {_nor(second)}") from last


def _nor(second: ModelError) -> str:
    if isinstance(second, NotExportableError):
        return f"nor can torch.export, at {second.where}"
    return str(second)


def _traced(
    root: nn.Module, inputs: tuple[Tensor, ...], wanted: Wanted, whole: Whole = NOTHING
) -> fx.GraphModule:
    module = traced_program(root, inputs, wanted.leaves, whole)
    if wanted.other is not None:
        flags = inplace_paths(root)
        set_inplace(root, flags, flag=False)
        try:
            check_same(module, wanted.other, "torch.fx")
        finally:
            set_inplace(root, flags, flag=True)
    return module


def _exported(root: nn.Module, inputs: tuple[Tensor, ...], wanted: Wanted) -> fx.GraphModule:
    module = exported_program(root, inputs, wanted.leaves, any_size=wanted.other is not None)
    if wanted.other is not None:
        check_same(module, wanted.other, "torch.export")
    return module


def traced_program(
    root: nn.Module, inputs: tuple[Tensor, ...], leaves: Sequence[str], whole: Whole = NOTHING
) -> fx.GraphModule:
    """What torch.fx finds; see `trace`.

    Raises:
        NotTraceableError: it cannot.
        ModelError: the network rejects the example, or its outputs depend on earlier calls.
    """
    with attributes_restored(root), buffers_restored(root) as before:
        graph = trace(root, inputs=len(inputs), leaves=leaves, whole=whole)
        check_written_buffers(graph, root, before)
    module = graph_module(root, graph)
    module.eval()
    annotate_values(module, inputs)
    functionalize(module.graph, root)
    module.recompile()
    note_batch(module, inputs)
    return module


def exported_program(
    root: nn.Module, inputs: tuple[Tensor, ...], leaves: Sequence[str], *, any_size: bool = False
) -> fx.GraphModule:
    """What torch.export finds; see `export`.

    Raises:
        NotExportableError: it cannot.
        ModelError: as `traced_program`.
    """
    graph = recovered(export(root, inputs, any_size=any_size), root, leaves)
    set_inplace(root, inplace_paths(root), flag=False)
    module = graph_module(root, graph)
    module.eval()
    annotate_values(module, inputs)
    note_batch(module, inputs)
    return module
