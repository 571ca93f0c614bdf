"""The coder with contexts: an exact inverse, close to the ideal code, and hard to fool."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from actpress.bitstream import ContextCoder, FrequencyTables, RansCoder
from actpress.codec import Histogram, fit_network_tables
from actpress.errors import StreamError
from actpress.kernels import CONTEXTS, count_in_contexts
from tests.conftest import two_threads

Symbols = NDArray[np.int32]
Numbers = NDArray[np.int32] | NDArray[np.float32]


def smooth(shape: tuple[int, ...], seed: int = 0, widest: float = 6.0) -> Symbols:
    generator = torch.Generator().manual_seed(seed)
    blurred = torch.nn.functional.avg_pool2d(torch.randn(shape, generator=generator), 3, 1, 1)
    scale = torch.logspace(np.log10(widest), -0.5, shape[1])[None, :, None, None]
    return torch.round(blurred * scale).int().numpy()


def coder_of(symbols: Symbols, *, margin: int = 0) -> ContextCoder:
    """Fitted to symbols; `margin` symbols on either side were never seen."""
    q = torch.from_numpy(symbols)
    lowest = int(q.min()) - margin
    levels = int(q.max()) + margin - lowest + 1
    counts = torch.zeros(q.shape[1], CONTEXTS, levels, dtype=torch.int64)
    count_in_contexts(q, lowest, counts)
    fitted = fit_network_tables({"site": Histogram(counts, lowest)}, images=len(q))
    names = fitted.tables.table_of[fitted.class_of["site"].long()]
    return ContextCoder(fitted.tables.coder_tables, names.numpy())


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1, 1), (3, 5, 1, 1), (1, 7, 1, 13), (2, 16, 8, 8), (5, 9, 10, 3), (64, 12, 16, 16)],
)
def test_what_was_encoded_is_decoded(shape: tuple[int, ...]) -> None:
    coder = coder_of(smooth((8, shape[1], 16, 16)), margin=40)
    symbols = smooth(shape, 1, widest=30.0)
    payload = coder.encode(symbols)
    assert (coder.decode(payload, shape) == symbols).all()
    with two_threads():
        assert coder.encode(symbols) == payload, "threads change no byte"
        assert (coder.decode(payload, shape) == symbols).all()


SHAPES = [(3, 5, 1, 1), (2, 16, 8, 8), (5, 9, 10, 3), (3, 4, 1, 2), (64, 12, 16, 16), (9, 70, 7, 7)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@pytest.mark.parametrize("by_pixel", [False, True])
def test_symbols_are_read_and_written_as_they_lie_in_memory(
    shape: tuple[int, ...], dtype: type, *, by_pixel: bool
) -> None:
    coder = coder_of(smooth((8, shape[1], 16, 16)), margin=40)
    symbols = smooth(shape, 1, widest=30.0)

    def laid_out(values: Symbols) -> Numbers:
        if not by_pixel:
            return values.astype(dtype)
        return np.moveaxis(np.moveaxis(values, 1, -1).astype(dtype, "C"), -1, 1)

    payload = coder.encode(symbols)
    assert coder.encode(laid_out(symbols)) == payload
    out = laid_out(np.full_like(symbols, 77))
    assert coder.decode(payload, shape, out) is out
    assert (out == symbols).all()


def test_arrays_with_gaps_are_encoded_but_not_filled() -> None:
    symbols = smooth((4, 3, 8, 8))
    coder = coder_of(symbols)
    assert coder.encode(symbols[:, :, ::2]) == coder.encode(symbols[:, :, ::2].copy())
    payload = coder.encode(symbols[:, :, ::2])
    with pytest.raises(StreamError, match=r"`out` must be an array of shape \(4, 3, 4, 8\)"):
        coder.decode(payload, (4, 3, 4, 8), np.zeros_like(symbols)[:, :, ::2])


@given(st.data())
def test_any_symbols_survive(data: st.DataObject) -> None:
    n, k, h, w = (data.draw(st.integers(1, most)) for most in (3, 9, 5, 6))
    levels, tables = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 5))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    counts = generator.integers(0, 3, (tables, levels)) * generator.integers(
        0, 50, (tables, levels)
    )
    counts[:, generator.integers(0, levels)] += 1
    lowest = data.draw(st.integers(-50, 50))
    table_of = generator.integers(0, tables, (k, CONTEXTS)).astype(np.uint8)
    coder = ContextCoder(FrequencyTables.from_shared_counts(counts, lowest), table_of)
    symbols = (generator.integers(0, levels, (n, k, h, w)) + lowest).astype(np.int32)
    assert (coder.decode(coder.encode(symbols), symbols.shape) == symbols).all()


@pytest.mark.parametrize("levels", [3, 256, 700])
@pytest.mark.parametrize("shape", [(3, 5, 1, 1), (70, 9, 33, 17), (9, 70, 7, 7), (1, 3, 60, 700)])
def test_escapes_of_every_state_come_back(shape: tuple[int, ...], levels: int) -> None:
    """Among rows of every number, and with entries of one and two bytes."""
    generator = np.random.default_rng(levels)
    counts = np.zeros((4, levels), np.int64)
    counts[:, :2] = generator.integers(1, 900, (4, 2))
    table_of = generator.integers(0, 4, (shape[1], CONTEXTS)).astype(np.uint8)
    coder = ContextCoder(FrequencyTables.from_shared_counts(counts, -1), table_of)
    rare = generator.random(shape) < 0.05
    symbols = np.where(rare, generator.integers(0, levels, shape), 0).astype(np.int32) - 1
    assert (coder.decode(coder.encode(symbols), shape) == symbols).all()


def test_the_size_is_that_of_the_ideal_code() -> None:
    symbols = smooth((32, 16, 16, 16))
    q = torch.from_numpy(symbols)
    lowest = int(q.min())
    counts = torch.zeros(16, CONTEXTS, int(q.max()) - lowest + 1, dtype=torch.int64)
    count_in_contexts(q, lowest, counts)
    fitted = fit_network_tables({"site": Histogram(counts, lowest)}, images=len(q))
    names = fitted.tables.table_of[fitted.class_of["site"].long()]
    coder = ContextCoder(fitted.tables.coder_tables, names.numpy())
    bits = fitted.bits["site"]
    states_bits = 8 * 32 * 2
    assert 0.999 * bits < 8 * len(coder.encode(symbols)) < 1.004 * bits + states_bits


def test_symbols_of_no_table_are_refused() -> None:
    coder = coder_of(smooth((4, 3, 8, 8)))
    for wrong in (1000, -1000, np.nan, np.inf, -np.inf, 1e30):
        symbols = smooth((1, 3, 8, 8)).astype(np.float32)
        symbols[0, 1, 4, 4] = wrong
        with pytest.raises(StreamError, match="outside of the range"):
            coder.encode(symbols)
        if np.isfinite(wrong) and abs(wrong) < 2**31:
            with pytest.raises(StreamError, match="outside of the range"):
                coder.encode(symbols.astype(np.int32))
    with pytest.raises(StreamError, match="of 4 components for tables of 3"):
        coder.encode(smooth((1, 4, 8, 8)))


def test_every_truncation_and_flip_is_noticed_or_harmless() -> None:
    """Without a checksum a flip may give other symbols, but never a crash or ones out of range."""
    symbols = smooth((2, 6, 8, 8))
    coder = coder_of(symbols, margin=3)
    payload = coder.encode(symbols)
    for length in range(len(payload)):
        with pytest.raises(StreamError, match="damaged"):
            coder.decode(payload[:length], symbols.shape)
    low, high = coder.tables.q_min[0], coder.tables.q_min[0] + coder.tables.sizes[0]
    noticed = 0
    for byte in range(len(payload)):
        broken = bytearray(payload)
        broken[byte] ^= 0x41
        try:
            read = coder.decode(bytes(broken), symbols.shape)
        except StreamError:
            noticed += 1
        else:
            assert low <= read.min() <= read.max() < high
    assert noticed > 0.9 * len(payload)


def test_a_forged_shape_allocates_nothing() -> None:
    coder = coder_of(smooth((4, 3, 8, 8)))
    with pytest.raises(StreamError, match="damaged"):
        coder.decode(bytes(40), (1 << 20, 3, 1 << 10, 1 << 10))


def test_names_and_shapes_are_checked_before_compiled_loops_trust_them() -> None:
    coder = coder_of(smooth((4, 3, 8, 8)))
    with pytest.raises(StreamError, match="number 255, but there are"):
        ContextCoder(coder.tables, np.full_like(coder.table_of, 255))
    with pytest.raises(StreamError, match=r"25 names per component; got names of shape \(3, 1\)"):
        ContextCoder(coder.tables, coder.table_of[:, :1])
    mixed = FrequencyTables.from_counts(np.ones((2, 4), np.int64), np.zeros(2), np.array([3, 2]))
    with pytest.raises(StreamError, match="tables for one range"):
        ContextCoder(mixed, np.zeros((3, CONTEXTS), np.uint8))
    with pytest.raises(StreamError, match="number 255, but there are"):
        RansCoder(coder.tables, np.full(3, 255, np.uint8))
    with pytest.raises(StreamError, match=r"shape \(n, k, h, w\)"):
        coder.encode(np.zeros((2, 3), np.int32))
    symbols = smooth((2, 3, 8, 8))
    payload = coder.encode(symbols)
    with pytest.raises(StreamError, match="must be an array of shape"):
        coder.decode(payload, symbols.shape, np.empty((2, 3, 8, 16), np.int32)[..., ::2])
