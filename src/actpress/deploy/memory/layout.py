"""How a map lies in memory: row by row, within a row the channels of each width together.

```
row 0: [ symbols of the channels of b0 bits, pixel by pixel ][ those of b1 bits ] ... row 1: ...
```

A part begins at a whole byte; within it, the first symbol has the lowest bits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actpress.deploy.integer import IntegerMap
from actpress.deploy.integer.arithmetic import Array

BYTE = 8


@dataclass(frozen=True)
class Group:
    """Channels of one width.

    Attributes:
        bits: of a code.
        members: channels, rising.
        row_bytes: of their part of a row.
    """

    bits: int
    members: tuple[int, ...]
    row_bytes: int


@dataclass(frozen=True)
class RowLayout:
    """Of one map.

    Attributes:
        groups: by rising width; those of no bits, too, which take no bytes.
        height: rows.
    """

    groups: tuple[Group, ...]
    height: int

    @property
    def row_bytes(self) -> int:
        """Of a row."""
        return sum(group.row_bytes for group in self.groups)

    @property
    def size_bytes(self) -> int:
        """Of the map."""
        return self.row_bytes * self.height


def layout_of(stored: IntegerMap, *, whole_bytes: bool = False) -> RowLayout:
    """The layout of a map.

    Args:
        stored: the map.
        whole_bytes: a byte for every code, as a network of int8 maps has.
    """
    widths = np.full(stored.channels, BYTE) if whole_bytes else stored.bits
    groups = []
    for bits in sorted({int(width) for width in widths}):
        members = tuple(int(channel) for channel in np.flatnonzero(widths == bits))
        groups.append(Group(bits, members, -(-stored.width * len(members) * bits // BYTE)))
    return RowLayout(tuple(groups), stored.height)


def packed(codes: Array, layout: RowLayout) -> bytes:
    """Codes (h, w, c) of one image as they lie in memory."""
    return b"".join(
        _packed_bits(row[:, list(group.members)].ravel(), group.bits)
        for row in codes
        for group in layout.groups
        if group.bits
    )


def _packed_bits(codes: Array, width: int) -> bytes:
    bits: NDArray[np.uint8] = ((codes[:, None] >> np.arange(width)) & 1).astype(np.uint8)
    return np.packbits(bits.ravel(), bitorder="little").tobytes()
