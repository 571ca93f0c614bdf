"""Vectors in compiled loops do what numpy does to eight elements."""

from typing import Any

import numba
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actpress.kernels import vectors as v

LANES = v.LANES
Array = NDArray[Any]


@numba.njit
def arithmetic(a: Array, b: Array, integer: int, out: Array) -> int:
    x, y = v.load(a, 0), v.load(b, 0)
    v.store(out, 0, x + y)
    v.store(out, 8, x - integer)
    v.store(out, 16, x * y)
    v.store(out, 24, (x & y) | (y >> np.uint32(3)))
    v.store(out, 32, x << np.uint32(5))
    v.store(out, 40, v.select(x >= y, x, y))
    v.store(out, 48, v.largest(x, y))
    v.store(out, 56, v.clamp(x, np.int32(-7), np.int32(9)))
    v.store(out, 64, v.quotient(x, y))
    bits: int = v.bits_of(v.both(x < y, v.everywhere(integer) < x))
    return bits


@settings(deadline=None)  # the first run compiles
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1), st.sampled_from((1, 2**12, 2**32)))
def test_arithmetic_wraps_around(seed: int, integer: int, most: int) -> None:
    generator = np.random.default_rng(seed)
    a = generator.integers(0, 2**32, LANES, dtype=np.uint32)
    b = generator.integers(1, most + 1, LANES).astype(np.uint32)
    b = np.maximum(b, 1)
    out = np.empty(9 * LANES, np.uint32)
    bits = arithmetic(a, b, np.uint32(integer), out)
    wanted = [
        a + b,
        a - np.uint32(integer),
        a * b,
        a & b | b >> 3,
        a << np.uint32(5),
        np.maximum(a, b),
        np.maximum(a, b),
        a.view(np.int32).clip(-7, 9).view(np.uint32),
        a // b,
    ]
    assert (out.reshape(9, LANES) == np.stack(wanted)).all()
    assert bits == sum(int(holds) << i for i, holds in enumerate((a < b) & (integer < a)))


@numba.njit
def memory(table: Array, small: Array, indices: Array, out: Array) -> None:
    v.store(out, 0, v.gather(table, v.load(indices, 0)))
    v.store(out, 8, v.gather(small, v.load(indices, 0)))
    v.store(out, 16, v.load(small, 1))
    v.store(out, 24, v.gather_together(table, v.load(indices, 0)))


def test_gather_takes_what_is_asked_for() -> None:
    generator = np.random.default_rng(0)
    indices = generator.integers(0, 100, LANES).astype(np.uint32)
    for dtype in (np.uint8, np.uint16):
        table = generator.integers(0, 2**32, 100, dtype=np.uint32)
        small = generator.integers(0, 256, 100).astype(dtype)
        out = np.empty(4 * LANES, np.uint32)
        memory(table, small, indices, out)
        wanted = [table[indices], small[indices], small[1:9], table[indices]]
        assert (out == np.concatenate(wanted)).all()


@numba.njit
def converted(bits: Array, out: Array) -> None:
    v.store(out, 0, v.whole_numbers(v.load(bits, 0)))
    v.store(out, 8, v.as_floats(v.load(out, 0)))


def test_whole_numbers_in_float32_become_integers_and_come_back() -> None:
    floats = np.array([0.0, -0.0, 1.0, -1.0, 2047.0, -2048.0, 2.0**24, -(2.0**30)], np.float32)
    out = np.empty(2 * LANES, np.int32)
    converted(floats.view(np.int32), out)
    assert (out[:LANES] == floats).all()
    assert (out[LANES:].view(np.float32) == floats).all()


def test_what_no_integer_holds_becomes_the_smallest() -> None:
    floats = np.array([np.nan, np.inf, -np.inf, 2.0**31, -(2.0**31), 1e30, -1e30, 0], np.float32)
    out = np.empty(2 * LANES, np.int32)
    converted(floats.view(np.int32), out)
    assert out[:LANES].tolist() == [*[-(2**31)] * 7, 0]


@numba.njit
def moved(words: Array, at: int, rows: Array, row: int, out: Array) -> None:
    v.store(out, 0, v.load_where(words, at, rows, row))


def test_words_go_where_bytes_say() -> None:
    generator = np.random.default_rng(0)
    words = generator.integers(0, 2**16, 20).astype(np.uint16)
    places = generator.integers(0, LANES, (5, LANES))
    rows = np.stack([2 * places, 2 * places + 1], 2).astype(np.uint8).reshape(-1)
    for row in range(5):
        out = np.empty(LANES, np.uint32)
        moved(words, 7, rows, np.uint64(row), out)
        assert (out == words[7 + places[row]]).all()


@numba.njit
def put(words: Array, at: int, vector: Array, rows: Array, row: int) -> None:
    v.store_where(words, at, v.load(vector, 0), rows, row)


def test_low_halves_go_where_bytes_say() -> None:
    generator = np.random.default_rng(0)
    vector = generator.integers(0, 2**32, LANES, dtype=np.uint32)
    places = generator.integers(0, LANES, (5, LANES))
    rows = np.stack([2 * places, 2 * places + 1], 2).astype(np.uint8).reshape(-1)
    for row in range(5):
        words = np.zeros(20, np.uint16)
        put(words, 7, vector, rows, np.uint64(row))
        assert (words[7:15] == vector[places[row]].astype(np.uint16)).all()
        assert not words[:7].any()
        assert not words[15:].any()


@numba.njit
def there_and_back(rows: Array, begins: Array, lines: Array, again: Array) -> None:
    v.interleave(rows, v.load(begins, 0), lines, 3)
    v.separate(lines, 3, again, v.load(begins, 0))


def test_rows_are_transposed_and_come_back() -> None:
    rows = np.random.default_rng(0).integers(-(2**31), 2**31, 400).astype(np.int32)
    begins = np.array([5, 300, 40, 13, 80, 100, 27, 150], np.uint32)
    lines, again = np.zeros(3 + 64, np.int32), np.zeros_like(rows)
    there_and_back(rows, begins, lines, again)
    taken = begins[:, None] + np.arange(8)
    assert (lines[3:].reshape(8, 8) == rows[taken].T).all()
    assert (again[taken] == rows[taken]).all()
    assert np.count_nonzero(again) == 64
