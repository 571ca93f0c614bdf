"""A record: the coded symbols of one site for one batch, with their shape and a checksum."""

import math
import struct
import zlib
from dataclasses import dataclass

from actpress.bitstream.numbers import read_number, write_number
from actpress.errors import StreamError

MAX_AXES = 8
MAX_SYMBOLS = 1 << 31
"""A record never declares more: what a reader may have to allocate is bounded."""

_HEAD = struct.Struct("<IBB")


@dataclass(frozen=True)
class Record:
    """One record, checked.

    Attributes:
        coder: number of the coder, see FORMAT.md.
        shape: of the symbols, (n, k, ...).
        payload: what the coder wrote.
    """

    coder: int
    shape: tuple[int, ...]
    payload: memoryview


def write_record(coder: int, shape: tuple[int, ...], payload: bytes) -> bytes:
    """Bytes of a record.

    Raises:
        StreamError: more axes or symbols than a record holds.
    """
    if not 2 <= len(shape) <= MAX_AXES or math.prod(shape) > MAX_SYMBOLS:
        raise StreamError(
            f"a record holds symbols of 2 to {MAX_AXES} axes, at most {MAX_SYMBOLS} of them; got "
            f"shape {shape}; encode smaller batches"
        )
    body = bytes((coder, len(shape))) + b"".join(map(write_number, shape)) + payload
    return struct.pack("<I", zlib.crc32(body)) + body


def read_record(data: bytes | memoryview) -> Record:
    """Check a record and take it apart, without copying its payload.

    Raises:
        StreamError: too short, a wrong checksum, or a header out of bounds.
    """
    view = memoryview(data).cast("B")
    if len(view) < _HEAD.size:
        raise StreamError(f"a record of {len(view)} bytes is damaged: its header is incomplete")
    checksum, coder, axes = _HEAD.unpack_from(view)
    if zlib.crc32(view[4:]) != checksum:
        raise StreamError("a record is damaged: its checksum does not match; encode it again")
    if not 2 <= axes <= MAX_AXES:
        raise StreamError(f"a record is damaged: it declares {axes} axes")
    shape, start = _read_shape(view, axes)
    if math.prod(max(size, 1) for size in shape) > MAX_SYMBOLS:
        raise StreamError(f"a record declares the shape {shape}, above {MAX_SYMBOLS} symbols")
    return Record(coder, shape, view[start:])


def _read_shape(view: memoryview, axes: int) -> tuple[tuple[int, ...], int]:
    """The shape, and where the payload begins."""
    position = _HEAD.size

    def next_byte() -> int:
        nonlocal position
        if position == len(view):
            raise StreamError("a record is damaged: its header is incomplete")
        position += 1
        return view[position - 1]

    shape = tuple(read_number(next_byte) for _ in range(axes))
    return shape, position
