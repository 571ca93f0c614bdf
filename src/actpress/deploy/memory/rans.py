"""Rows of codes as rANS streams, for many rows at a time: what the C code does, in numpy.

A state x of 24 bits, `LOW` <= x < 256 * `LOW`, takes a symbol in that has `frequency` of the 2^10
slots, the first of them `first` (Duda 2013, arXiv 1311.2540):

    while x >= frequency << 14: give off the low byte of x, x >>= 8
    x = (x // frequency << 10) + x % frequency + first

The encoder begins with `LOW` and the last symbol, and a row's stream is its bytes from the last to
the first: the three of the final state come first, the high one before the low ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actpress.deploy.integer.arithmetic import Array

PRECISION = 10
SLOTS = 1 << PRECISION
LOW = 1 << 16
STATE_BYTES = 3
BYTE, BYTE_MASK = 8, 0xFF
FULL = BYTE + LOW.bit_length() - 1 - PRECISION
"""A state of at least frequency << FULL gives off a byte first."""
MOST_BYTES_A_SYMBOL = 2


@dataclass(frozen=True)
class CodeTable:
    """How many of the 2^10 slots each code has, at least one.

    Attributes:
        frequencies: by code, from 0.
    """

    frequencies: tuple[int, ...]

    def __post_init__(self) -> None:
        assert sum(self.frequencies) == SLOTS, "frequencies must fill all slots"
        assert min(self.frequencies) > 0, "every code must have a slot"

    @property
    def firsts(self) -> tuple[int, ...]:
        """First slot of each code."""
        return tuple(np.cumsum((0, *self.frequencies[:-1])).tolist())

    @property
    def code_at(self) -> Array:
        """Code of each slot, shape (2^10,)."""
        return np.repeat(np.arange(len(self.frequencies)), self.frequencies)

    @property
    def bits(self) -> NDArray[np.float64]:
        """That each code takes, shape (levels,)."""
        return PRECISION - np.log2(self.frequencies)

    @classmethod
    def of(cls, counts: NDArray[np.float64]) -> "CodeTable":
        """A table for counted codes, shape (levels,), 1 to 256 of them.

        Every code has a slot, also if it was not counted. The others are shared out one by one to
        where they save the most bits.
        """
        weights = counts.astype(np.float64) + 1e-9
        given = np.maximum(np.floor(weights / weights.sum() * SLOTS), 1).astype(np.int64)
        while (missing := SLOTS - int(given.sum())) != 0:
            if missing > 0:
                given[int(np.argmax(weights * np.log2((given + 1) / given)))] += 1
            else:
                spare = np.maximum(given - 1, 1)
                loss = np.where(given > 1, weights * np.log2(given / spare), np.inf)
                given[int(np.argmin(loss))] -= 1
        return cls(tuple(given.tolist()))


@dataclass(frozen=True)
class Streams:
    """Streams of rows.

    Attributes:
        reversed_bytes: of each row, from its last byte on, shape (rows, most), uint8.
        lengths: bytes of each row, shape (rows,).
    """

    reversed_bytes: NDArray[np.uint8]
    lengths: Array

    def row(self, at: int) -> bytes:
        """The stream of one row."""
        return self.reversed_bytes[at, : self.lengths[at]][::-1].tobytes()


def encode(codes: Array, tables: Sequence[CodeTable], table_of: Array) -> Streams:
    """Streams of rows.

    Args:
        codes: shape (rows, symbols), in the order in which they are decoded.
        tables: that are used.
        table_of: table of each column, shape (symbols,).
    """
    rows, symbols = codes.shape
    levels = max(len(table.frequencies) for table in tables)
    frequencies, firsts = np.ones((2, len(tables), levels), np.int64)
    for at, table in enumerate(tables):
        frequencies[at, : len(table.frequencies)] = table.frequencies
        firsts[at, : len(table.frequencies)] = table.firsts
    state = np.full(rows, LOW, np.int64)
    given = np.zeros((rows, MOST_BYTES_A_SYMBOL * symbols + STATE_BYTES), np.uint8)
    lengths = np.zeros(rows, np.int64)
    for column in range(symbols - 1, -1, -1):
        frequency = frequencies[table_of[column], codes[:, column]]
        for _ in range(MOST_BYTES_A_SYMBOL):
            full = np.flatnonzero(state >= frequency << FULL)
            given[full, lengths[full]] = state[full] & BYTE_MASK
            lengths[full] += 1
            state[full] >>= BYTE
        whole, rest = np.divmod(state, frequency)
        state = (whole << PRECISION) + rest + firsts[table_of[column], codes[:, column]]
    every = np.arange(rows)
    for _ in range(STATE_BYTES):
        given[every, lengths] = state & BYTE_MASK
        lengths += 1
        state >>= BYTE
    return Streams(given, lengths)


def decode(stream: bytes, tables: Sequence[CodeTable], table_of: Array) -> Array:
    """Codes of one row, shape (symbols,); of a damaged stream any codes of the tables."""
    code_at = [table.code_at for table in tables]
    state = int.from_bytes(stream[:STATE_BYTES].ljust(STATE_BYTES, b"\0"), "big")
    taken = STATE_BYTES
    codes = np.zeros(len(table_of), np.int64)
    for column, number in enumerate(table_of.tolist()):
        table, slot = tables[number], state % SLOTS
        code = int(code_at[number][slot])
        codes[column] = code
        state = table.frequencies[code] * (state >> PRECISION) + slot - table.firsts[code]
        while state < LOW and taken < len(stream):
            state = state << BYTE | stream[taken]
            taken += 1
    return codes
