"""A network through torch.export: operators of ATen, as the shapes of an example decide them."""

import copy
import io
import logging
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, ShapesCollection

from actpress.errors import ModelError
from actpress.graph.tracing import user_line

FIRST_SPATIAL = 2
"""Axis of an input behind images and channels."""

FIXED_BATCH = "Constraints violated"
"""How torch.export begins its complaint that a network works for one number of images only."""


Shape = tuple[int | None, ...]
"""Without numbers for axes that are left open."""


@dataclass(frozen=True)
class Exported:
    """What torch.export found.

    Attributes:
        program: without operations in place; the number of images is open.
        simple: paths of modules each call of which took one tensor and gave one, with the shapes
            that these tensors had.
    """

    program: ExportedProgram
    simple: Mapping[str, Collection[Shape]]


class NotExportableError(ModelError):
    """torch.export cannot say what the network computes.

    Attributes:
        where: line of the network's code, and what was the matter there.
    """

    def __init__(self, where: str) -> None:
        super().__init__(
            f"torch.export cannot capture the network, at {where}; expected lines that shapes "
            f"alone decide; rewrite that one, or keep its module whole with leaves=[PATH] and "
            f"capture='fx' (`--leaf PATH --capture fx`)"
        )
        self.where = where

    def __reduce__(self) -> tuple[type["NotExportableError"], tuple[str]]:
        """To be made again in another process."""
        return type(self), (self.where,)


def known_shape(x: Tensor) -> Shape:
    """The shape of a tensor while it is exported."""
    sizes: tuple[object, ...] = tuple(x.shape)
    return tuple(size if isinstance(size, int) else None for size in sizes)


def export(root: nn.Module, inputs: tuple[Tensor, ...], *, any_size: bool = False) -> Exported:
    """Export a network in the mode it is in; it stays as it is.

    Args:
        root: the network.
        inputs: the example; inputs as long as the first one have the images of the batch.
        any_size: leave height and width open too, and whatever axes there are behind the channels.

    Raises:
        NotExportableError: names the line.
    """
    network = _with_the_same_tensors(root)
    images = len(inputs[0])
    given = tuple(_at_least_two(x) if len(x) == images else x for x in inputs)
    shapes, batch = ShapesCollection(), Dim("images")
    for x, original in zip(given, inputs, strict=True):
        axes: dict[int, Any] = {0: batch} if len(original) == images else {}
        if any_size:
            axes |= dict.fromkeys(range(FIRST_SPATIAL, x.ndim), Dim.AUTO)
        if axes:
            shapes[x] = axes
    form = shapes.dynamic_shapes(network, given)
    with _calls_watched(network) as simple, _quiet(), torch.no_grad():
        try:
            program = torch.export.export(network, given, dynamic_shapes=form, strict=False)
            program = program.run_decompositions({})
        except Exception as error:
            where = f"{user_line(error)}: {_reason(error)}"
            open_too = " where height and width are left open (any_size)" if any_size else ""
            raise NotExportableError(f"{where}{open_too}") from error
    return Exported(program, simple)


def _with_the_same_tensors(root: nn.Module) -> nn.Module:
    """A copy for forward to leave things in; its parameters and buffers are those of `root`."""
    owned = chain(root.parameters(), root.buffers())
    return copy.deepcopy(root, {id(tensor): tensor for tensor in owned})


def _at_least_two(x: Tensor) -> Tensor:
    """torch.export takes an axis of length 1 for one that never has another length."""
    return torch.cat([x, x]) if len(x) == 1 else x.clone()


def _reason(error: Exception) -> str:
    text = str(error).strip()
    if text.startswith(FIXED_BATCH):
        return "the network fixes the number of images, as len(x) or a constant in a reshape does"
    return text.splitlines()[0] if text else type(error).__name__


@contextmanager
def _calls_watched(network: nn.Module) -> Iterator[Mapping[str, Collection[Shape]]]:
    """Hand out modules that are called with one tensor and give one, each time; see `Exported`."""
    simple, other = defaultdict[str, set[Shape]](set), set[str]()

    def watch(path: str, watched: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(
            _: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], output: object
        ) -> None:
            if kwargs or len(args) != 1 or not isinstance(output, Tensor):
                other.add(path)
            elif isinstance(args[0], Tensor):
                simple[path].add(known_shape(args[0]))
            else:
                other.add(path)

        return watched.register_forward_hook(note, with_kwargs=True)

    handles = [watch(path, module) for path, module in network.named_modules()]
    try:
        yield simple
    finally:
        for path in other & simple.keys():
            del simple[path]
        for handle in handles:
            handle.remove()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch.export tells about itself; where it fails it prints its graph so far."""
    log = logging.getLogger("torch")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
