"""Outputs and targets of any form: a tensor, or tuples, lists and dicts of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def leaves(nest: Any) -> Iterator[Tensor]:
    """The tensors of a nest, in order; what is none of them is passed over.

    >>> [x.item() for x in leaves({"a": torch.tensor(1), "b": [torch.tensor(2), "name"]})]
    [1, 2]
    """
    if isinstance(nest, Tensor):
        yield nest
    elif isinstance(nest, Mapping):
        for value in nest.values():
            yield from leaves(value)
    elif isinstance(nest, list | tuple):
        for value in nest:
            yield from leaves(value)


def mapped(nest: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same nest of other tensors."""
    if isinstance(nest, Tensor):
        return change(nest)
    if isinstance(nest, Mapping):
        return {key: mapped(value, change) for key, value in nest.items()}
    if isinstance(nest, list):
        return [mapped(value, change) for value in nest]
    if isinstance(nest, tuple):
        return _tuple_like(nest, [mapped(value, change) for value in nest])
    return nest


def joined(batches: Sequence[Any]) -> Any:
    """Nests of one form as one, their tensors joined along the first axis.

    A list holds one entry for each image, as a loader's targets of detection do.
    """
    first = batches[0]
    if isinstance(first, Tensor):
        return torch.cat(tuple(batches))
    if isinstance(first, Mapping):
        return {key: joined([batch[key] for batch in batches]) for key in first}
    if isinstance(first, list):
        return [entry for batch in batches for entry in batch]
    if isinstance(first, tuple):
        return _tuple_like(first, [joined(values) for values in zip(*batches, strict=True)])
    return first


def floats(outputs: Any) -> Any:
    """Outputs in float32 where they are floating point; their lists become tuples."""
    if isinstance(outputs, list):
        outputs = tuple(outputs)
    if isinstance(outputs, tuple):
        return _tuple_like(outputs, [floats(value) for value in outputs])
    if isinstance(outputs, Mapping):
        return {key: floats(value) for key, value in outputs.items()}
    is_real = isinstance(outputs, Tensor) and outputs.is_floating_point()
    return outputs.float() if is_real else outputs


def _tuple_like(nest: tuple[Any, ...], values: list[Any]) -> Any:
    return type(nest)(*values) if hasattr(nest, "_fields") else tuple(values)


def described(value: Any) -> str:
    """What a value is, in words: `torch.float32 of shape (2, 3)`, or its type."""
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
