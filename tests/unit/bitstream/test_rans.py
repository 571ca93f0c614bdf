"""Entropy coding: exact, close to the ideal code length, and safe with damaged payloads."""

import multiprocessing
import tracemalloc

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actpress.bitstream import FrequencyTables, RansCoder
from actpress.bitstream.streams import STREAM_SYMBOLS, lanes_of, stream_edges
from actpress.errors import StreamError
from actpress.kernels.rans_format import PRECISION
from tests.conftest import two_threads

Symbols = NDArray[np.int32]


def laplace(shape: tuple[int, int, int], seed: int, widest: float = 3.0) -> Symbols:
    """Symbols of k components, the first ones wide, the last ones nearly always zero."""
    scale = np.geomspace(widest, 0.05, shape[1])[None, :, None]
    drawn = np.random.default_rng(seed).laplace(0, 1, shape)
    return np.rint(drawn * scale).astype(np.int32)


def fit(symbols: Symbols, *, margin: int = 0) -> FrequencyTables:
    """Tables of symbols; `margin` unseen symbols are allowed at either end."""
    q_min, q_max = symbols.min((0, 2)) - margin, symbols.max((0, 2)) + margin
    levels = int((q_max - q_min).max()) + 1
    rows = [
        np.bincount(symbols[:, j].ravel() - q_min[j], minlength=levels) for j in range(len(q_min))
    ]
    return FrequencyTables.from_counts(np.stack(rows), q_min, q_max)


def ideal_bits(tables: FrequencyTables, symbols: Symbols) -> float:
    total = 0.0
    for j in range(len(tables)):
        lengths = tables.code_lengths_bits(j)
        total += float(lengths[symbols[:, j].ravel() - tables.q_min[j]].sum())
    return total


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1),
        (3, 5, 1),
        (1, 7, 13),
        (2, 16, 64),
        (5, 8, 100),
        (64, 12, 256),
        (1, 1, 5000),
        (64, 65, 4),
        (41, 51, 9),
    ],
)
def test_what_was_encoded_is_decoded(shape: tuple[int, int, int]) -> None:
    symbols = laplace(shape, 0)
    coder = RansCoder(fit(laplace((8, shape[1], 64), 1), margin=30))
    payload = coder.encode(symbols)
    assert (coder.decode(payload, shape) == symbols).all()
    with two_threads():
        assert coder.encode(symbols) == payload, "threads change no byte"
        assert (coder.decode(payload, shape) == symbols).all()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_symbols_within_range_survive(data: st.DataObject) -> None:
    """Seen or not: what has no frequency is escaped."""
    n, k, p = (data.draw(st.integers(1, most)) for most in (3, 4, 40))
    levels = data.draw(st.integers(1, 300))
    q_min = np.array(data.draw(st.lists(st.integers(-500, 500), min_size=k, max_size=k)))
    seed = data.draw(st.integers(0, 999))
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 50, (k, levels)) * (generator.random((k, levels)) < 0.3)
    counts[:, 0] += 1
    counts[:, -1] += 1
    tables = FrequencyTables.from_counts(counts, q_min, q_min + levels - 1)
    symbols = (generator.integers(0, levels, (n, k, p)) + q_min[:, None]).astype(np.int32)
    coder = RansCoder(tables)
    assert (coder.decode(coder.encode(symbols), symbols.shape) == symbols).all()


def test_long_arrays_go_into_several_streams() -> None:
    assert stream_edges((100, STREAM_SYMBOLS // 100 - 1)).tolist() == [0, 100]
    assert stream_edges((64, STREAM_SYMBOLS // 8)).tolist() == list(range(0, 65, 8))
    assert [lanes_of((1, symbols)) for symbols in (1, 4095, 4096, 8191, 8192, 10**6)] == [
        1,
        1,
        2,
        2,
        4,
        8,
    ]


def test_a_forked_process_with_one_thread_codes_after_threads_were_used() -> None:
    """As the workers do that load data."""
    symbols = laplace((64, 16, 256), 2)
    coder = RansCoder(fit(symbols))
    with two_threads():
        payload = coder.encode(symbols)

    def in_child() -> None:
        assert coder.encode(symbols) == payload
        assert (coder.decode(payload, symbols.shape) == symbols).all()

    child = multiprocessing.get_context("fork").Process(target=in_child)
    child.start()
    child.join(60)
    assert child.exitcode == 0


def test_the_size_is_that_of_the_ideal_code() -> None:
    symbols = laplace((64, 16, 256), 2)
    tables = fit(symbols)
    payload = RansCoder(tables).encode(symbols)
    streams, lanes = len(stream_edges((64 * 16, 256))) - 1, 8
    fixed = 32 * streams * lanes + 32 * (streams - 1)
    ideal = ideal_bits(tables, symbols)
    assert ideal <= 8 * len(payload) <= 1.003 * ideal + fixed


def test_the_size_is_within_one_percent_of_constriction() -> None:
    """The oracle codes every component with the exact empirical distribution."""
    symbols = laplace((64, 6, 256), 3)
    tables = fit(symbols)
    ours = len(RansCoder(tables).encode(symbols))
    theirs = 0
    for j in range(6):
        column = np.ascontiguousarray(symbols[:, j].ravel() - tables.q_min[j])
        share = np.bincount(column).astype(np.float32)
        model = constriction.stream.model.Categorical(share / share.sum(), perfect=False)
        coder = constriction.stream.stack.AnsCoder()
        coder.encode_reverse(column, model)
        theirs += 4 * len(coder.get_compressed())
    assert ours <= 1.01 * theirs


def test_frequencies_sum_to_the_precision_and_name_all_that_was_seen() -> None:
    generator = np.random.default_rng(4)
    for levels in (1, 2, 100, 2000):
        counts = generator.integers(0, 3, (5, levels)) ** generator.integers(1, 20, (5, levels))
        counts[:, 0] = 1
        counts[:, -1] = 1
        tables = FrequencyTables.from_counts(counts, np.zeros(5), np.full(5, levels - 1))
        for j in range(5):
            entries = tables.frequencies[tables.offsets[j] : tables.offsets[j + 1]].astype(int)
            assert entries.sum() == 1 << PRECISION
            assert ((entries[:-1] > 0) == (counts[j] > 0)).all()
            assert entries[-1] > 0


def test_tables_refuse_what_they_cannot_hold() -> None:
    with pytest.raises(StreamError, match="has 5000 levels; entropy coding takes 1 to 2048"):
        FrequencyTables.from_counts(np.ones((1, 5000)), np.zeros(1), np.full(1, 4999))
    with pytest.raises(StreamError, match="no calibration symbols"):
        FrequencyTables.from_counts(np.zeros((1, 3), np.int64), np.zeros(1), np.full(1, 2))


def test_symbols_out_of_range_and_other_components_are_refused() -> None:
    coder = RansCoder(fit(laplace((8, 4, 64), 5)))
    symbols = laplace((2, 4, 8), 5)
    symbols[1, 2, 3] = 1000
    with pytest.raises(StreamError, match="outside of the range"):
        coder.encode(symbols)
    with pytest.raises(StreamError, match="got symbols of 3 components for tables of 4"):
        coder.encode(symbols[:, :3])
    with pytest.raises(StreamError, match="got symbols of 5 components for tables of 4"):
        coder.decode(b"", (2, 5, 8))


@pytest.mark.parametrize("shape", [(2, 4, 8), (3, 4, 1024), (16, 4, 4096)])
def test_no_truncation_is_believed(shape: tuple[int, int, int]) -> None:
    coder = RansCoder(fit(laplace((8, 4, 64), 6), margin=30))
    payload = coder.encode(laplace(shape, 7))
    for length in {*range(0, len(payload), max(len(payload) // 200, 1)), len(payload) - 1}:
        with pytest.raises(StreamError, match="damaged"):
            coder.decode(payload[:length], shape)
    with pytest.raises(StreamError, match="damaged"):
        coder.decode(payload + b"ab", shape)


def test_a_forged_shape_costs_no_memory() -> None:
    """Two gigasymbols declared for a few bytes: refused before they are allocated."""
    coder = RansCoder(fit(laplace((8, 4, 64), 6)))
    payload = coder.encode(laplace((2, 4, 8), 6))
    tracemalloc.start()
    with pytest.raises(StreamError, match=r"the payload is damaged: \d+ bytes for 2147483648"):
        coder.decode(payload, (1 << 13, 4, 1 << 16))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_flipped_bits_never_crash() -> None:
    """The checksum belongs to the container; here nothing else than an error may be raised."""
    shape = (4, 4, 512)
    coder = RansCoder(fit(laplace((8, 4, 64), 8), margin=30))
    payload = coder.encode(laplace(shape, 9))
    generator = np.random.default_rng(0)
    refused = 0
    for position, bit in zip(
        generator.integers(0, len(payload), 2000), generator.integers(0, 8, 2000), strict=True
    ):
        damaged = bytearray(payload)
        damaged[position] ^= 1 << bit
        try:
            coder.decode(bytes(damaged), shape)
        except StreamError:
            refused += 1
    assert refused > 1950, "a wrong state or a wrong length nearly always shows at the end"


def test_decoding_fills_the_array_it_is_given() -> None:
    symbols = laplace((2, 4, 16), 10)
    coder = RansCoder(fit(symbols))
    out = np.zeros_like(symbols)
    assert coder.decode(coder.encode(symbols), symbols.shape, out) is out
    assert (out == symbols).all()


def test_floats_and_neighbouring_components_are_the_same_symbols() -> None:
    symbols = laplace((2, 4, 16), 10)
    coder = RansCoder(fit(symbols))
    by_pixel = np.moveaxis(np.moveaxis(symbols, 1, -1).astype(np.float32, "C"), -1, 1)
    payload = coder.encode(symbols)
    assert coder.encode(by_pixel) == payload
    out = np.zeros_like(by_pixel)
    assert (coder.decode(payload, symbols.shape, out) == symbols).all()
    by_pixel[1, 2, 3] = np.nan
    with pytest.raises(StreamError, match="NaN or infinite values are no symbols"):
        coder.encode(by_pixel)


@pytest.mark.parametrize("levels", [3, 255, 256, 700])
@pytest.mark.parametrize(
    "shape",
    [
        (3, 5, 1),
        (300, 96, 1),
        (64, 24, 16),
        (70, 9, 561),
        (9, 70, 49),
        (64, 160, 2, 2),
        (1, 3, 42000),
    ],
)
def test_escapes_come_back_from_rows_of_every_length(shape: tuple[int, ...], levels: int) -> None:
    """From one stream and several, with tables of several sizes and entries of one or two bytes."""
    generator = np.random.default_rng(levels)
    counts = np.zeros((shape[1], levels), np.int64)
    counts[:, :2] = generator.integers(1, 900, (shape[1], 2))
    sizes = generator.integers(max(levels // 2, 2), levels + 1, shape[1])
    sizes[0] = levels
    q_min = generator.integers(-40, 5, shape[1])
    coder = RansCoder(FrequencyTables.from_counts(counts, q_min, q_min + sizes - 1))
    own = (slice(None), *[None] * (len(shape) - 2))
    rare = generator.random(shape) < 0.03
    indices = np.where(rare, generator.integers(0, 1 << 20, shape) % sizes[own], rare)
    symbols = (indices + q_min[own]).astype(np.int32)
    payload = coder.encode(symbols)
    assert (coder.decode(payload, shape) == symbols).all()
    with two_threads():
        assert (coder.decode(payload, shape) == symbols).all()
    with pytest.raises(StreamError, match="damaged"):
        coder.decode(payload[:-2], shape)


def test_slots_say_what_entries_and_ranges_do() -> None:
    tables = fit(laplace((8, 4, 64), 8), margin=3)
    _, slots = np.indices(tables.slots.shape)
    entries = tables.entries.astype(np.int64)
    ranges = tables.ranges[entries + tables.offsets[:-1, None]]
    assert (tables.slots & 0xFF == entries).all()
    assert (tables.slots >> 20 == ranges >> 16).all()
    assert ((tables.slots >> 8 & 0xFFF) + (ranges & 0xFFFF) == slots).all()
    wide = FrequencyTables.from_counts(np.ones((1, 256)), np.zeros(1), np.full(1, 255))
    assert not wide.slots.size
