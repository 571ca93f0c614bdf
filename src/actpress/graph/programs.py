"""A network in the mode it is in as a graph with notes on its values."""

from collections.abc import Sequence

from torch import Tensor, fx, nn

from actpress.errors import ModelError
from actpress.graph.annotate import annotate_values
from actpress.graph.batch import note_batch
from actpress.graph.exported import NotExportableError, export
from actpress.graph.functionalize import functionalize, inplace_paths, set_inplace
from actpress.graph.recovery import recovered
from actpress.graph.state import (
    attributes_restored,
    buffers_restored,
    check_written_buffers,
    graph_module,
)
from actpress.graph.tracing import NotTraceableError, trace
from actpress.graph.whole import NOTHING, Whole, listed_by_timm
from actpress.settings import Capture


def program_of(
    root: nn.Module, inputs: tuple[Tensor, ...], leaves: Sequence[str], how: Capture
) -> tuple[fx.GraphModule, Capture]:
    """What a network computes, and how that was found: `FX` or `EXPORT`.

    What timm lists is kept whole where torch.fx cannot look into it and nothing else is left:
    torch.export looks into it, so that nothing there is hidden.

    Args:
        root: the network; modules of an exported one lose their flags `inplace`.
        inputs: the example.
        leaves: paths of modules to keep whole.
        how: to find it; `AUTO` exports what torch.fx cannot trace.

    Raises:
        ModelError: it cannot be found, or the network rejects the example.
    """
    if how is Capture.EXPORT:
        return exported_program(root, inputs, leaves), Capture.EXPORT
    whole = listed_by_timm()
    if how is Capture.FX:
        return traced_program(root, inputs, leaves, whole), Capture.FX
    try:
        return traced_program(root, inputs, leaves), Capture.FX
    except NotTraceableError:
        try:
            return exported_program(root, inputs, leaves), Capture.EXPORT
        except NotExportableError as second:
            try:
                return traced_program(root, inputs, leaves, whole), Capture.FX
            except NotTraceableError as last:
                raise ModelError(f"{last}; nor can torch.export, at {second.where}") from last


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
    root: nn.Module, inputs: tuple[Tensor, ...], leaves: Sequence[str]
) -> fx.GraphModule:
    """What torch.export finds.

    Raises:
        NotExportableError: it cannot.
        ModelError: as `traced_program`.
    """
    graph = recovered(export(root, inputs), root, leaves)
    set_inplace(root, inplace_paths(root), flag=False)
    module = graph_module(root, graph)
    module.eval()
    annotate_values(module, inputs)
    note_batch(module, inputs)
    return module
