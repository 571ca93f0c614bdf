"""Run a file where it is to run, and compare every symbol and every prediction.

A value that lies within rounding of a tie may become either symbol. From there on two computations
differ for good, so PyTorch goes on with the file's symbols: each site is compared by itself.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actpress.codec import SiteCodec, carried_by
from actpress.deploy.affine import components
from actpress.deploy.onnx.network import OUTPUT, OnnxNetwork, SiteInFile
from actpress.errors import ExportError
from actpress.pressing import CompressedModel

TIE_STEPS = 1e-4
"""How far from a tie a value may be that became another symbol."""

FLOAT_TOLERANCE = 1e-3
"""Of outputs, relative to the largest: what another order of summation does."""

BATCH = 8
"""Images that are compared together; all of their maps are in memory."""

Tensors = Mapping[str, NDArray[np.float32]]
Execute = Callable[[NDArray[np.float32]], Tensors]
"""Images -> tensors of the file by name: its output, and those in which symbols are."""


@dataclass(frozen=True)
class Agreement:
    """How a file and the network in PyTorch agree.

    Attributes:
        images: that were looked at.
        symbols: of all sites and images.
        ties: symbols that differ; each was within `TIE_STEPS` of a tie.
        other_predictions: images that PyTorch, with symbols of its own, classifies otherwise;
            without ties there are none.
    """

    images: int
    symbols: int
    ties: int
    other_predictions: int


def verify(
    pressed: CompressedModel, network: OnnxNetwork, images: Tensor, execute: Execute
) -> Agreement:
    """Compare a file with the network that it was made of.

    Args:
        pressed: the network, in eval mode.
        network: the file.
        images: shape (n, c, h, w).
        execute: runs the file.

    Raises:
        ExportError: a symbol differs that is no tie, or an output; names the site.
    """
    parts = [_verify(pressed, network, batch, execute) for batch in images.split(BATCH)]
    return Agreement(
        images=len(images),
        symbols=sum(part.symbols for part in parts),
        ties=sum(part.ties for part in parts),
        other_predictions=sum(part.other_predictions for part in parts),
    )


@torch.no_grad()
def _verify(
    pressed: CompressedModel, network: OnnxNetwork, images: Tensor, execute: Execute
) -> Agreement:
    tensors = execute(images.numpy())
    symbols = {name: symbols_of(site, tensors) for name, site in network.sites.items()}
    own = pressed(images)
    with _carried(pressed, symbols) as comparison:
        expected = pressed(images)
    found = torch.from_numpy(np.asarray(tensors[OUTPUT]))
    _check_output(found, expected)
    different = own.flatten(1).argmax(1) != found.flatten(1).argmax(1)
    return Agreement(len(images), comparison.symbols, comparison.ties, int(different.sum()))


def symbols_of(site: SiteInFile, tensors: Tensors) -> Tensor:
    """All symbols of a site, shape (n, k, ...), float32; what is not stored is its only symbol."""
    images = len(tensors[OUTPUT])
    shape = (images, *site.shape)
    lowest = torch.from_numpy(site.affine.q_min).float()
    q = lowest.reshape(1, -1, *[1] * (len(shape) - 2)).expand(shape).clone()
    for part in site.symbols:
        scale = part.scale.reshape(1, -1, *[1] * (len(shape) - 2))
        q[:, part.group.members] = torch.from_numpy(np.rint(tensors[part.name] / scale))
    return q


@dataclass
class _Carrier:
    """Goes on with the file's symbols, and compares them; a `Transport`.

    Attributes:
        site: name.
        q: the file's symbols.
        symbols, ties: as of `Agreement`.
    """

    site: str
    q: Tensor
    symbols: int = 0
    ties: int = 0

    def carry(self, codec: SiteCodec, x: Tensor, q: Tensor) -> Tensor:
        """See `Transport.carry`."""
        differ = self.q != q
        z = components(codec, x)[differ]
        between = torch.minimum(self.q, q)[differ] + 0.5
        far = ((z - between).abs() > TIE_STEPS) | ((self.q - q)[differ].abs() > 1)
        if far.any():
            raise ExportError(
                f"site {self.site}: {int(far.sum())} of {q.numel()} symbols of the file are not "
                f"those of PyTorch, first {self.q[differ][far][0]:.0f} where {z[far][0]:.5f} "
                f"becomes {q[differ][far][0]:.0f}; nothing was written; please report this"
            )
        self.symbols, self.ties = q.numel(), int(differ.sum())
        return self.q


@dataclass(frozen=True)
class _Comparison:
    carriers: tuple[_Carrier, ...]

    @property
    def symbols(self) -> int:
        return sum(each.symbols for each in self.carriers)

    @property
    def ties(self) -> int:
        return sum(each.ties for each in self.carriers)


@contextmanager
def _carried(pressed: CompressedModel, symbols: Mapping[str, Tensor]) -> Iterator[_Comparison]:
    carriers = {name: _Carrier(name, q) for name, q in symbols.items()}
    codecs = pressed.codecs
    with carried_by({codecs[name]: carrier for name, carrier in carriers.items()}):
        yield _Comparison(tuple(carriers.values()))


def _check_output(found: Tensor, expected: Tensor) -> None:
    largest = float(expected.abs().max())
    error = float((found - expected).abs().max())
    if not error <= FLOAT_TOLERANCE * largest:
        raise ExportError(
            f"the file's outputs differ from PyTorch's by up to {error:.3g}, which are as large as "
            f"{largest:.3g}, although all symbols are equal; nothing was written; please report it"
        )
