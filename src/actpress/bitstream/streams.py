"""A payload of several streams that know nothing of each other, for threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np

from actpress.errors import StreamError
from actpress.kernels.rans_format import LEFTOVER, MAX_LANES, OK, OVERRUN

STREAM_SYMBOLS = 1 << 16
"""Symbols from which a second stream pays: about so many go into each."""

MAX_STREAMS = 64
T = TypeVar("T")


def stream_bounds(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """First and last row of every stream of an array of rows, shape (rows, p)."""
    rows, pixels = shape
    streams = max(min(rows, MAX_STREAMS, rows * pixels // STREAM_SYMBOLS), 1)
    edges = [rows * index // streams for index in range(streams + 1)]
    return list(pairwise(edges))


def lanes_of(shape: tuple[int, int]) -> int:
    """States of a stream, a power of two: few where four bytes each would show."""
    symbols = shape[0] * shape[1]
    return min(1 << max((symbols // 2048).bit_length() - 1, 0), MAX_LANES)


def write_streams(
    shape: tuple[int, int], encode: Callable[[int, int, int], bytes], *, threads: int
) -> bytes:
    """The payload of an array of rows.

    Args:
        shape: (rows, p), not empty.
        encode: bytes of the rows from .. to, with so many lanes: their states, then their words.
        threads: streams coded at a time.
    """
    lanes = lanes_of(shape)
    tasks = [lambda a=a, b=b: encode(a, b, lanes) for a, b in stream_bounds(shape)]
    parts = _each(tasks, threads)
    lengths = [(len(part) - 4 * lanes) // 2 for part in parts[:-1]]
    return np.array(lengths, "<u4").tobytes() + b"".join(parts)


def read_streams(
    payload: bytes | memoryview,
    shape: tuple[int, int],
    decode: Callable[[memoryview, int, int, int], int],
    *,
    threads: int,
) -> None:
    """Decode what `write_streams` wrote.

    Args:
        payload: see there.
        shape: see there.
        decode: decodes a part, the rows from .. to, with so many lanes; returns how that went, as a
            constant of `kernels.rans_format`.
        threads: streams decoded at a time.

    Raises:
        StreamError: the payload is damaged.
    """
    lanes, bounds = lanes_of(shape), stream_bounds(shape)
    parts = _split(memoryview(payload).cast("B"), len(bounds), lanes)
    tasks = [
        lambda a=a, b=b, part=part: decode(part, a, b, lanes)
        for (a, b), part in zip(bounds, parts, strict=True)
    ]
    outcome = next((outcome for outcome in _each(tasks, threads) if outcome != OK), OK)
    if outcome != OK:
        what = {OVERRUN: "it ends too early", LEFTOVER: "it does not end where it should"}
        raise StreamError(
            f"the payload is damaged: {what.get(outcome, 'a symbol is out of its range')}"
        )


def _each(tasks: Sequence[Callable[[], T]], threads: int) -> list[T]:
    if threads == 1 or len(tasks) == 1:
        return [task() for task in tasks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda task: task(), tasks))


def _split(payload: memoryview, streams: int, lanes: int) -> list[memoryview]:
    """The bytes of each stream; lengths are checked before anything is read."""
    head = 4 * (streams - 1)
    if len(payload) < head + 4 * lanes * streams or (len(payload) - head) % 2:
        raise StreamError(f"the payload is damaged: it has {len(payload)} bytes, too few or odd")
    lengths = np.frombuffer(payload[:head], "<u4").astype(np.int64) * 2 + 4 * lanes
    ends = head + np.cumsum(lengths)
    last = int(ends[-1]) if streams > 1 else head
    if last + 4 * lanes > len(payload):
        raise StreamError("the payload is damaged: its streams reach beyond its end")
    edges = [head, *ends.tolist(), len(payload)]
    return [payload[a:b] for a, b in pairwise(edges)]
