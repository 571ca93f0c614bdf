"""How a map lies in memory: row by row, packed, or as a rANS stream where that is shorter.

```
row 0: [ symbols of the channels of b0 bits, pixel by pixel ][ those of b1 bits ] ... row 1: ...
```

A part begins at a whole byte; within it, the first symbol has the lowest bits. A row of a coded map
has a slot of a fixed size:

```
[ n, two bytes ][ free ][ rANS stream of n bytes ]     or     [ 0 ][ packed row ][ free ]
```

A row whose stream is longer than the slot is packed, without the lowest bits of its codes where all
of them would not fit: a map says how many it then drops, and they are read as zeros.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actpress.deploy.integer import IntegerMap
from actpress.deploy.integer.arithmetic import Array
from actpress.deploy.memory.rans import CodeTable, Streams, encode

BYTE = 8
HEADER_BYTES = 2


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
class CodedGroup:
    """Channels whose codes have one table.

    Attributes:
        table: of all of them; None where each has but one code, which takes nothing.
        members: channels, rising.
    """

    table: CodeTable | None
    members: tuple[int, ...]


@dataclass(frozen=True)
class Coding:
    """Of the rows of a coded map.

    Attributes:
        groups: in the order in which a row is decoded.
        slot_bytes: of a row, the header included.
        dropped_bits: of the codes of rows that do not fit as a stream.
    """

    groups: tuple[CodedGroup, ...]
    slot_bytes: int
    dropped_bits: int

    @property
    def room_bytes(self) -> int:
        """For a stream."""
        return self.slot_bytes - HEADER_BYTES

    def streams(self, rows: Array) -> Streams:
        """Streams of the codes of rows (r, w, c), whether they fit or not."""
        tables, columns, table_of = list[CodeTable](), list[Array](), list[Array]()
        for group in self.groups:
            if group.table is not None:
                columns.append(rows[:, :, list(group.members)].reshape(len(rows), -1))
                table_of.append(np.full(columns[-1].shape[1], len(tables)))
                tables.append(group.table)
        return encode(np.concatenate(columns, axis=1), tables, np.concatenate(table_of))


@dataclass(frozen=True)
class RowLayout:
    """Of one map.

    Attributes:
        groups: of a packed row, by rising width; those of no bits, too, which take no bytes.
        height: rows.
        coding: of a coded map; its groups then are those of rows that do not fit as a stream.
    """

    groups: tuple[Group, ...]
    height: int
    coding: Coding | None = None

    @property
    def row_bytes(self) -> int:
        """Of a row."""
        if self.coding is not None:
            return self.coding.slot_bytes
        return sum(group.row_bytes for group in self.groups)

    @property
    def size_bytes(self) -> int:
        """Of the map."""
        return self.row_bytes * self.height

    def kept(self, codes: Array) -> Array:
        """What is read back of codes (n, h, w, c) that are stored."""
        if self.coding is None or not self.coding.dropped_bits:
            return codes
        rows = codes.reshape(-1, *codes.shape[2:])
        fit = self.coding.streams(rows).lengths <= self.coding.room_bytes
        dropped = self.coding.dropped_bits
        kept: Array = np.where(fit[:, None, None], rows, rows >> dropped << dropped)
        return kept.reshape(codes.shape)

    def loaded_bytes(self, codes: Array) -> Array:
        """Bytes that reading every row of codes (h, w, c) takes, (h,)."""
        return self._moved_bytes(codes, tried=0)

    def stored_bytes(self, codes: Array) -> Array:
        """Bytes that storing every row of codes (h, w, c) takes, (h,).

        Of a row that does not fit, a slot full of its stream is stored before that is noticed.
        """
        return self._moved_bytes(codes, tried=0 if self.coding is None else self.coding.room_bytes)

    def _moved_bytes(self, codes: Array, *, tried: int) -> Array:
        if self.coding is None:
            return np.full(len(codes), self.row_bytes)
        lengths = self.coding.streams(codes).lengths
        packed_bytes = sum(group.row_bytes for group in self.groups)
        fit = lengths <= self.coding.room_bytes
        return HEADER_BYTES + np.where(fit, lengths, tried + packed_bytes)


def layout_of(stored: IntegerMap, *, whole_bytes: bool = False) -> RowLayout:
    """The layout of a packed map.

    Args:
        stored: the map.
        whole_bytes: a byte for every code, as a network of int8 maps has.
    """
    widths = np.full(stored.channels, BYTE) if whole_bytes else stored.bits
    return RowLayout(grouped(widths, stored.width), stored.height)


def grouped(widths: Array, width: int) -> tuple[Group, ...]:
    """Channels of rows of `width` pixels by the widths of their codes, (c,)."""
    groups = []
    for bits in sorted({int(each) for each in widths}):
        members = tuple(int(channel) for channel in np.flatnonzero(widths == bits))
        groups.append(Group(bits, members, -(-width * len(members) * bits // BYTE)))
    return tuple(groups)


def packed(codes: Array, layout: RowLayout) -> bytes:
    """Codes (h, w, c) of one image as they lie in memory, free bytes of slots as zeros."""
    if layout.coding is None:
        return b"".join(_packed_row(row, layout.groups) for row in codes)
    coding = layout.coding
    streams = coding.streams(codes)
    rows = []
    for at, row in enumerate(codes):
        if streams.lengths[at] <= coding.room_bytes:
            stream = streams.row(at)
            header = len(stream).to_bytes(HEADER_BYTES, "little")
            rows.append(header + stream.rjust(coding.room_bytes, b"\0"))
        else:
            raw = _packed_row(row >> coding.dropped_bits, layout.groups)
            rows.append((bytes(HEADER_BYTES) + raw).ljust(coding.slot_bytes, b"\0"))
    return b"".join(rows)


def unpacked(data: bytes, stored: IntegerMap) -> Array:
    """Codes (h, w, c) of a packed map."""
    layout = layout_of(stored)
    codes = np.zeros(stored.shape[1:] + stored.shape[:1], np.int64)
    rows = np.frombuffer(data, np.uint8).reshape(stored.height, layout.row_bytes)
    begin = 0
    for group in layout.groups:
        own = rows[:, begin : begin + group.row_bytes]
        begin += group.row_bytes
        if group.bits:
            count = stored.width * len(group.members)
            bits = np.unpackbits(own, axis=1, bitorder="little", count=count * group.bits)
            weights = 1 << np.arange(group.bits)
            values = bits.reshape(stored.height, stored.width, -1, group.bits) @ weights
            codes[:, :, list(group.members)] = values
    return codes


def _packed_row(row: Array, groups: tuple[Group, ...]) -> bytes:
    return b"".join(
        _packed_bits(row[:, list(group.members)].ravel(), group.bits)
        for group in groups
        if group.bits
    )


def _packed_bits(codes: Array, width: int) -> bytes:
    bits: NDArray[np.uint8] = ((codes[:, None] >> np.arange(width)) & 1).astype(np.uint8)
    return np.packbits(bits.ravel(), bitorder="little").tobytes()
