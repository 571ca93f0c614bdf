"""One run of a traced network on its example notes what its values are."""

from functools import partial

import torch
from torch import Tensor, fx
from torch.fx.node import Argument, map_aggregate, map_arg
from torch.fx.passes.shape_prop import _extract_tensor_metadata

from actpress.errors import ModelError, is_out_of_memory
from actpress.graph.channels import note_channel_axis
from actpress.graph.operators import human_name
from actpress.graph.state import buffers_restored
from actpress.graph.values import has_tensor, shapes_text


def annotate_values(module: fx.GraphModule, inputs: tuple[Tensor, ...]) -> None:
    """Run the network once and note shape, type and channel axis of every tensor on its node.

    Buffers and random state are left as they were; no gradients are computed.

    Raises:
        ModelError: a layer rejects its input; names the layer, the shape and the reason. Or the
            network is quantized.
    """
    devices = sorted({x.device.index for x in inputs if x.device.type == "cuda"})
    recorder = _ShapeRecorder(module, inputs)
    with torch.no_grad(), torch.random.fork_rng(devices), buffers_restored(module):
        recorder.run(*(x.clone() for x in inputs))


class _ShapeRecorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, inputs: tuple[Tensor, ...]) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self._inputs, self._input_shapes = inputs, shapes_text(inputs)

    def run_node(self, n: fx.Node) -> object:
        try:
            value: Argument = super().run_node(n)
        except Exception as error:
            raise ModelError(self._rejection(n, error)) from error
        if isinstance(value, Tensor) and value.is_quantized:
            raise ModelError(
                f"{human_name(n, self.module)} gives {value.dtype}: the network stores integers "
                f"already; expected floating values; give the network before it was quantized"
            )
        if has_tensor(value):
            n.meta["tensor_meta"] = map_aggregate(value, describe)
            note_channel_axis(n, self.module, partial(self._rerun, n))
        return value

    def _rerun(self, node: fx.Node, operand: fx.Node, x: Tensor) -> object:
        """Compute a node with another tensor in the place of one operand."""
        arguments = map_arg((node.args, node.kwargs), lambda n: x if n is operand else self.env[n])
        return getattr(self, node.op)(node.target, *arguments)

    def _rejection(self, node: fx.Node, error: Exception) -> str:
        operands = [self.env[operand] for operand in node.all_input_nodes if operand in self.env]
        tensors = tuple(x for x in operands if isinstance(x, Tensor))
        if (mixed := self._mixed_types(node, tensors)) is not None:
            return mixed
        got = shapes_text(tensors) or "no tensor"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        mend = (
            "give an example with the batch axis, channels and size that the network was made for"
        )
        if is_out_of_memory(error):
            mend = "there is not enough memory; give a smaller example"
        return (
            f"the network cannot run on the example of shape {self._input_shapes}: "
            f"{human_name(node, self.module)} got {got} and failed with: {reason}; {mend}"
        )

    def _mixed_types(self, node: fx.Node, operands: tuple[Tensor, ...]) -> str | None:
        """What to say where an operation is given several floating types."""
        owned: tuple[Tensor, ...] = ()
        if node.op == "call_module":
            owned = tuple(self.fetch_attr(str(node.target)).parameters())
        types = dict.fromkeys(x.dtype for x in (*operands, *owned) if x.is_floating_point())
        if len(types) < 2:
            return None
        given = ", ".join(sorted({str(x.dtype) for x in self._inputs}))
        return (
            f"the network cannot run on an example of type {given}: "
            f"{human_name(node, self.module)} is given {' and '.join(map(str, types))}; expected "
            f"one type; images are torch.float32, so convert the network with model.float()"
        )


def describe(value: Argument) -> Argument:
    """What is noted of a tensor; other values are noted as they are."""
    return _extract_tensor_metadata(value) if isinstance(value, Tensor) else value
