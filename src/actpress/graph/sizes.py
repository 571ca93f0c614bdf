"""Networks that take images of other heights and widths than the example's."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from actpress.errors import ModelError
from actpress.graph.annotate import annotate_values
from actpress.graph.exported import FIRST_SPATIAL
from actpress.graph.sites import Site
from actpress.graph.state import buffers_restored
from actpress.graph.values import shape_of, shapes_text

MORE = 32
"""Pixels that an image grows by: networks halve it up to five times."""


class FixedSizeError(ModelError):
    """What was captured works for the example's size alone."""


@dataclass(frozen=True)
class OtherSize:
    """What a network gives for images of another size than the example's.

    Attributes:
        inputs: of that size, one tensor per input.
        outputs: in the network's own form.
    """

    inputs: tuple[Tensor, ...]
    outputs: object


def at_other_size(root: nn.Module, inputs: tuple[Tensor, ...]) -> OtherSize:
    """Run a network, in eval mode, on images that are larger than the example.

    Raises:
        ModelError: it takes the example's size alone.
    """
    reason: Exception | None = None
    for larger in _larger(inputs):
        try:
            return OtherSize(larger, _output(root, larger))
        except Exception as error:  # noqa: BLE001 - networks raise what they like
            reason = error
    if reason is None:
        raise ModelError(
            f"an example of shape {shapes_text(inputs)} has no height and width, so there are no "
            f"other ones; leave any_size (`--any-size`) out"
        )
    text = (str(reason).splitlines() or [type(reason).__name__])[0]
    raise ModelError(
        f"the network itself takes no other size than that of the example, {shapes_text(inputs)}: "
        f"{text}; leave any_size (`--any-size`) out"
    ) from reason


def check_same(module: nn.Module, other: OtherSize, way: str) -> None:
    """Compare what was captured with the network, to the bit.

    Raises:
        FixedSizeError: it does not take the other size, or gives something else.
    """
    told = f"what {way} captured of the network has the example's size fixed: on images of shape"
    try:
        found = _output(module, other.inputs)
    except Exception as error:
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise FixedSizeError(f"{told} {shapes_text(other.inputs)} it fails with: {text}") from error
    own, ours = (pytree.tree_leaves(each) for each in (other.outputs, found))
    if len(own) != len(ours) or not all(map(_same, own, ours)):
        raise FixedSizeError(
            f"{told} {shapes_text(other.inputs)} it does not give what the network gives"
        )


def check_sites(module: fx.GraphModule, sites: Sequence[Site], other: OtherSize) -> None:
    """Refuse sites whose channels, or rows for each image, depend on the size.

    Raises:
        ModelError: names one.
    """
    again = fx.GraphModule(module, copy.deepcopy(module.graph))
    annotate_values(again, other.inputs)
    shapes = {node.name: shape_of(node) for node in again.graph.nodes}
    images = len(other.inputs[0])
    for site in sites:
        stored = site.arrangement.shape(shapes[site.post_node])
        if stored[:2] != (images, site.channels):
            raise ModelError(
                f"site {site.name!r} stores {site.channels} channels for each image of the example "
                f"and other ones for each of another size, so one codec cannot serve both; leave "
                f"any_size (`--any-size`) out"
            )


def _larger(inputs: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    """Examples of larger images: by different amounts for height and width, then by the same."""
    if any(x.ndim > FIRST_SPATIAL for x in inputs):
        for per_axis, factor in ((1, 1), (0, 1), (0, 2)):
            yield tuple(_grown(x, per_axis, factor) for x in inputs)


def _grown(x: Tensor, per_axis: int, factor: int) -> Tensor:
    for axis in range(FIRST_SPATIAL, x.ndim):
        size = x.shape[axis]
        more = size if factor > 1 else MORE * (1 + per_axis * (axis - FIRST_SPATIAL))
        x = x.index_select(axis, torch.arange(size + more, device=x.device) % size)
    return x


def _output(module: nn.Module, inputs: tuple[Tensor, ...]) -> object:
    devices = sorted({x.device.index for x in inputs if x.device.type == "cuda"})
    with torch.no_grad(), torch.random.fork_rng(devices), buffers_restored(module):
        torch.manual_seed(0)
        return module(*(x.clone() for x in inputs))


def _same(x: object, y: object) -> bool:
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        return type(x) is type(y) and x == y
    if x.shape != y.shape or x.dtype is not y.dtype:
        return False
    return bool(((x == y) | ((x != x) & (y != y))).all())  # noqa: PLR0124 - NaN
