"""Shapes of the values of a traced graph: `node.meta["tensor_meta"]`, written and read here."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn
from torch.fx.node import Argument, map_aggregate
from torch.fx.passes.shape_prop import TensorMetadata, _extract_tensor_metadata

from actpress.errors import ModelError
from actpress.graph.operators import human_name


def annotate_values(module: fx.GraphModule, inputs: tuple[Tensor, ...]) -> None:
    """Run the network once and note the shape and dtype of every tensor on its node.

    Buffers and random state are left as they were; no gradients are computed.

    Raises:
        ModelError: a layer rejects its input; names the layer, the shape and the reason.
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
        if _has_tensor(value):
            n.meta["tensor_meta"] = map_aggregate(value, _describe)
        return value

    def _rejection(self, node: fx.Node, error: Exception) -> str:
        operands = [self.env[operand] for operand in node.all_input_nodes if operand in self.env]
        tensors = tuple(x for x in operands if isinstance(x, Tensor))
        if (mixed := self._mixed_types(node, tensors)) is not None:
            return mixed
        got = shapes_text(tensors) or "no tensor"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return (
            f"the network cannot run on the example of shape {self._input_shapes}: "
            f"{human_name(node, self.module)} got {got} and failed with: {reason}; "
            "give an example with the batch axis, channels and size that the network was made for"
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


def _describe(value: Argument) -> Argument:
    return _extract_tensor_metadata(value) if isinstance(value, Tensor) else value


def _has_tensor(value: object) -> bool:
    if isinstance(value, Tensor | TensorMetadata):  # TensorMetadata is a tuple, too
        return True
    return isinstance(value, list | tuple) and any(_has_tensor(item) for item in value)


def shapes_text(tensors: tuple[Tensor, ...]) -> str:
    """Shapes for an error message, such as `(1, 3, 32, 32) and (1, 8)`."""
    return " and ".join(str(tuple(x.shape)) for x in tensors)


def holds_tensor(node: fx.Node) -> bool:
    """True when the value is a tensor or contains one; sizes and numbers are neither."""
    return _has_tensor(node.meta.get("tensor_meta"))


def tensor_meta(node: fx.Node) -> TensorMetadata | None:
    """Shape and dtype of a node whose value is one tensor."""
    meta = node.meta.get("tensor_meta")
    return meta if isinstance(meta, TensorMetadata) else None


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Shape with the batch axis, (n, c, ...); empty when the value is not one tensor."""
    meta = tensor_meta(node)
    return () if meta is None else tuple(meta.shape)


def dtype_of(node: fx.Node) -> torch.dtype:
    """Type of a node whose value is one tensor; float32 for others."""
    meta = tensor_meta(node)
    return torch.float32 if meta is None else meta.dtype


def is_float(node: fx.Node) -> bool:
    """True when the value is one tensor of a real floating type."""
    meta = tensor_meta(node)
    return meta is not None and meta.dtype.is_floating_point


@contextmanager
def buffers_restored(module: nn.Module) -> Iterator[None]:
    """On leaving, every buffer is the tensor it was, with the content it had."""
    before = [
        (owner, name, buffer, buffer.detach().clone())
        for owner in module.modules()
        for name, buffer in owner.named_buffers(recurse=False)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for owner, name, buffer, content in before:
                setattr(owner, name, buffer.copy_(content))


def copy_value_meta(source: fx.Node, target: fx.Node) -> None:
    """Let an inserted node say the same about its value as the node it stands for."""
    for key in ("tensor_meta", "nn_module_stack"):
        if key in source.meta:
            target.meta[key] = copy.copy(source.meta[key])
