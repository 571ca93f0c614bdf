"""A payload of several streams that know nothing of each other, for threads."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Self

import numpy as np
from numpy.typing import NDArray

from actpress.errors import StreamError
from actpress.kernels.rans_format import LEFTOVER, LOW, MAX_LANES, OK, OVERRUN, WRITING_ROOM

STREAM_SYMBOLS = 1 << 16
"""Symbols from which a second stream pays: about so many go into each."""

MAX_STREAMS = 64

WORDS_PER_SYMBOL = 2
"""At most: an escape and its plain index emit one word each."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Streams:
    """The streams of an array of rows, side by side, for loops that take all of them at once.

    Their numbers follow from the shape alone. Compiled loops read and write a little past the words
    that are valid, so that every stream has room of its own.

    Attributes:
        edges: first row of every stream, and the number of rows, shape (s + 1,).
        words: of all streams, uint16.
        word_edges: where the room of every stream begins, and where the last one ends, shape
            (s + 1,).
        states: of all streams, shape (s, lanes), uint64.
    """

    edges: Ints
    words: NDArray[np.uint16]
    word_edges: Ints
    states: NDArray[np.uint64]

    @classmethod
    def to_fill(cls, shape: tuple[int, int]) -> Self:
        """Room to encode rows, shape (rows, p), not empty."""
        edges, lanes = stream_edges(shape), lanes_of(shape)
        word_edges = WORDS_PER_SYMBOL * shape[1] * edges + WRITING_ROOM * np.arange(len(edges))
        words = np.empty(word_edges[-1], "<u2")
        return cls(edges, words, word_edges, np.empty((len(edges) - 1, lanes), np.uint64))

    def payload(self, begins: Ints) -> bytes:
        """The bytes of streams whose words stand from `begins`, shape (s,), to their ends.

        Raises:
            StreamError: a stream begins at -1, as the loops say of a symbol that no table has.
        """
        if (begins < 0).any():
            raise StreamError("a symbol is outside of the range of its component's table")
        states = self.states.astype("<u4")
        lengths = self.word_edges[1:] - begins
        parts = [lengths[:-1].astype("<u4").tobytes()]
        for state, begin, end in zip(states, begins, self.word_edges[1:], strict=True):
            parts += [state.tobytes(), self.words[begin:end].tobytes()]
        return b"".join(parts)

    @classmethod
    def opened(cls, payload: bytes | memoryview, shape: tuple[int, int], *, room: int) -> Self:
        """The streams of a payload, with `room` to read past the words of each.

        Raises:
            StreamError: the payload is damaged.
        """
        edges, lanes = stream_edges(shape), lanes_of(shape)
        parts = _split(memoryview(payload).cast("B"), len(edges) - 1, lanes)
        lengths = [(len(part) - 4 * lanes) // 2 + room for part in parts]
        word_edges = np.concatenate([[0], np.cumsum(lengths)])
        words = np.zeros(word_edges[-1], np.uint16)
        states = np.empty((len(parts), lanes), np.uint64)
        for index, part in enumerate(parts):
            states[index] = np.frombuffer(part[: 4 * lanes], "<u4")
            begin, end = word_edges[index], word_edges[index + 1] - room
            words[begin:end] = np.frombuffer(part[4 * lanes :], "<u2")
        if (states < LOW).any():
            raise StreamError("the payload is damaged: a coder state is out of bounds")
        return cls(edges, words, word_edges, states)


def check_outcomes(outcomes: NDArray[np.int64]) -> None:
    """Raise what went wrong in a stream: constants of `kernels.rans_format`, shape (s,)."""
    wrong = outcomes[outcomes != OK]
    if len(wrong):
        what = {OVERRUN: "it ends too early", LEFTOVER: "it does not end where it should"}
        raise StreamError(
            f"the payload is damaged: {what.get(int(wrong[0]), 'a symbol is out of its range')}"
        )


def stream_edges(shape: tuple[int, int]) -> Ints:
    """First row of every stream of an array of rows, shape (rows, p), and the number of rows."""
    rows = shape[0]
    streams = max(min(rows, MAX_STREAMS, prod(shape) // STREAM_SYMBOLS), 1)
    return rows * np.arange(streams + 1) // streams


def lanes_of(shape: tuple[int, int]) -> int:
    """States of a stream, a power of two: few where four bytes each would show."""
    return min(1 << max((prod(shape) // 2048).bit_length() - 1, 0), MAX_LANES)


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
