"""Shapes of the values of a traced graph: `node.meta["tensor_meta"]`, which annotate.py writes."""

import copy

import torch
from torch import Tensor, fx
from torch.fx.passes.shape_prop import TensorMetadata


def has_tensor(value: object) -> bool:
    """True for a tensor, what was noted of one, and a list or tuple that holds either."""
    if isinstance(value, Tensor | TensorMetadata):  # TensorMetadata is a tuple, too
        return True
    return isinstance(value, list | tuple) and any(has_tensor(item) for item in value)


def shapes_text(tensors: tuple[Tensor, ...]) -> str:
    """Shapes for an error message, such as `(1, 3, 32, 32) and (1, 8)`."""
    return " and ".join(str(tuple(x.shape)) for x in tensors)


def holds_tensor(node: fx.Node) -> bool:
    """True when the value is a tensor or contains one; sizes and numbers are neither."""
    return has_tensor(node.meta.get("tensor_meta"))


def tensor_meta(node: fx.Node) -> TensorMetadata | None:
    """Shape and dtype of a node whose value is one tensor."""
    meta = node.meta.get("tensor_meta")
    return meta if isinstance(meta, TensorMetadata) else None


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Shape with the batch axis, (n, c, ...); empty when the value is not one tensor."""
    meta = tensor_meta(node)
    return () if meta is None else tuple(meta.shape)


def rank_of(node: fx.Node) -> int:
    """Number of axes of a node's value, or of its first tensor; 0 without any."""
    meta = node.meta.get("tensor_meta")
    if not isinstance(meta, TensorMetadata) and isinstance(meta, list | tuple):
        meta = next((part for part in meta if isinstance(part, TensorMetadata)), None)
    return len(meta.shape) if isinstance(meta, TensorMetadata) else 0


def dtype_of(node: fx.Node) -> torch.dtype:
    """Type of a node whose value is one tensor; float32 for others."""
    meta = tensor_meta(node)
    return torch.float32 if meta is None else meta.dtype


def is_float(node: fx.Node) -> bool:
    """True when the value is one tensor of a real floating type."""
    meta = tensor_meta(node)
    return meta is not None and meta.dtype.is_floating_point


def copy_value_meta(source: fx.Node, target: fx.Node) -> None:
    """Let an inserted node say the same about its value as the node it stands for."""
    for key in ("tensor_meta", "nn_module_stack"):
        if key in source.meta:
            target.meta[key] = copy.copy(source.meta[key])
