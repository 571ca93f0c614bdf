"""Whole numbers in as few bytes as they need: seven bits each, the low ones first (LEB128)."""

from collections.abc import Callable

from actpress.errors import StreamError

MAX_BYTES = 5
"""Enough for 2^35 - 1, above every length and axis of a stream."""


def write_number(value: int) -> bytes:
    """Bytes of a number, 0 to 2^35 - 1."""
    if not 0 <= value < 1 << 7 * MAX_BYTES:
        raise StreamError(f"a stream holds numbers of up to {7 * MAX_BYTES} bits; got {value}")
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*written, value))


def read_number(next_byte: Callable[[], int]) -> int:
    """The next number.

    Args:
        next_byte: takes a byte; its error is passed on.

    Raises:
        StreamError: more bytes than a number needs.
    """
    value = 0
    for position in range(MAX_BYTES):
        byte = next_byte()
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            if byte == 0 and position:
                break
            return value
    raise StreamError("the stream is damaged: a number has more bytes than it needs")
