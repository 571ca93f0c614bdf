"""Components that share a type in a file, and where their symbols are found in it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from actpress.deploy.affine import AffineCodec, FloatArray, IntArray
from actpress.errors import ExportError

WIDEST_BITS = 8


@dataclass(frozen=True)
class Group:
    """Components that are stored in one tensor.

    Attributes:
        bits: of a stored symbol.
        members: positions among the codec's components, shape (m,).
    """

    bits: int
    members: IntArray


@dataclass(frozen=True)
class SymbolTensor:
    """A float tensor of the file in which symbols can be read: q = round(value / scale).

    Attributes:
        name: of the tensor, (n, m, ...).
        group: whose symbols.
        scale: of each member, shape (m,).
    """

    name: str
    group: Group
    scale: FloatArray


def groups_of(affine: AffineCodec, site: str, container: Callable[[int], int]) -> tuple[Group, ...]:
    """Components by type; those with a single symbol are in none, as nothing of them is stored.

    Args:
        affine: of the codec.
        site: for messages.
        container: bits of the type that holds a symbol of so many bits.

    Raises:
        ExportError: a component has more than 8 bits.
    """
    widths = affine.widths
    if widths.max(initial=0) > WIDEST_BITS:
        raise ExportError(
            f"site {site} has symbols of {widths.max()} bits; ONNX files hold at most "
            f"{WIDEST_BITS}; plan at most {WIDEST_BITS} bits there"
        )
    bits = np.array([container(int(width)) if width else 0 for width in widths])
    return tuple(Group(int(each), np.flatnonzero(bits == each)) for each in np.unique(bits) if each)
