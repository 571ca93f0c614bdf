"""Which axis of a value grows with the batch, and by how many rows for each image."""

import copy

import torch
from torch import Tensor, fx

from actpress.errors import ModelError
from actpress.graph.annotate import annotate_values
from actpress.graph.values import is_float, shape_of

_KEY = "batch"


def rows_of(node: fx.Node) -> tuple[int, int] | None:
    """Axis of the images and its rows for each of them; None where no axis is of images."""
    found: tuple[int, int] | None = node.meta.get(_KEY)
    return found


def note_batch(module: fx.GraphModule, inputs: tuple[Tensor, ...]) -> None:
    """Note for every value where images are; needs the notes of `annotate_values`.

    The first axis, if it is as long as the batch. Where values have others, the network is run once
    more with one image more.
    """
    images = len(inputs[0])
    nodes = [node for node in module.graph.nodes if node.op != "get_attr" and is_float(node)]
    unclear = [node for node in nodes if len(shape_of(node)) > 1 and shape_of(node)[0] != images]
    grown = _shapes_with_one_more(module, inputs) if unclear else {}
    for node in nodes:
        shape = shape_of(node)
        if shape and shape[0] == images:
            node.meta[_KEY] = 0, 1
        elif (found := _grown_axis(shape, grown.get(node.name, ()), images)) is not None:
            node.meta[_KEY] = found


def _shapes_with_one_more(
    module: fx.GraphModule, inputs: tuple[Tensor, ...]
) -> dict[str, tuple[int, ...]]:
    images = len(inputs[0])
    more = tuple(torch.cat([x, x[:1]]) if len(x) == images else x for x in inputs)
    again = fx.GraphModule(module, copy.deepcopy(module.graph))
    try:
        annotate_values(again, more)
    except ModelError:  # it takes this batch only
        return {}
    return {node.name: shape_of(node) for node in again.graph.nodes}


def _grown_axis(
    shape: tuple[int, ...], grown: tuple[int, ...], images: int
) -> tuple[int, int] | None:
    for axis, (size, larger) in enumerate(zip(shape, grown, strict=False)):
        rows = larger - size
        if rows > 0 and size == rows * images:
            return axis, rows
    return None
