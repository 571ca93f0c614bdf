"""The hardware coders: exact, of the size that their tables say, and safe with damage."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actpress.bitstream.baselines import (
    Coder,
    ExtendedBitPlaneCoder,
    ZeroRunCoder,
    ZeroValueCoder,
    size_bits,
    word_bits_of,
)
from actpress.errors import StreamError

CODERS = [ZeroValueCoder, ZeroRunCoder, ExtendedBitPlaneCoder]
coders = pytest.mark.parametrize("coder", CODERS)


def words(*values: int) -> NDArray[np.int32]:
    return np.array(values, np.int32)


@coders
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_words_survive(coder: type, data: st.DataObject) -> None:
    bits = data.draw(st.integers(2, 16))
    word = st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
    smooth = st.sampled_from([0, 0, 0, 1, -1, 2])
    values = data.draw(st.lists(st.one_of(smooth, st.just(0), word), max_size=200))
    symbols = np.clip(np.array(values, np.int32), -(1 << bits - 1), (1 << bits - 1) - 1)
    made: Coder = coder(bits)
    assert (made.decode(made.encode(symbols), symbols.shape) == symbols).all()


@coders
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5, 7), (2, 16, 64, 64)])
def test_any_shape_survives(coder: type, shape: tuple[int, ...]) -> None:
    symbols = np.rint(np.random.default_rng(0).laplace(0, 2, shape)).astype(np.int32)
    made: Coder = coder(word_bits_of(symbols))
    decoded = made.decode(made.encode(symbols), shape)
    assert decoded.shape == shape
    assert (decoded == symbols).all()


def test_words_are_as_short_as_their_symbols_allow() -> None:
    assert [word_bits_of(words(value)) for value in (0, 1, -1, -2, 2, 127, -128, 128)] == [
        *(2, 2, 2, 2, 3, 8, 8, 9)
    ]


def test_zero_values_cost_a_bit() -> None:
    symbols = words(*[0] * 30, 5, -8)
    assert size_bits(ZeroValueCoder(4), symbols) == 32 + 2 * 4


def test_runs_of_zeros_cost_five_bits() -> None:
    """Twenty zeros are a run of 16 and one of 4."""
    payload = ZeroRunCoder(6).encode(words(*[0] * 20, -3))
    expected = "0" + "1111" + "0" + "0011" + "1" + "111101"
    assert f"{int.from_bytes(payload):0{8 * len(payload)}b}".startswith(expected)


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([7] * 8, "00111" + "001" + "100"),  # six zero planes in a row: 4 + 2
        (range(1, 9), "00001" + "001" + "011" + "00000"),  # differences of one: the last plane
        ([1, 2, 2, 2, 2, 2, 2, 2], "00001" + "001" + "011" + "00011" + "000"),
        ([1, 1, 1, 1, 1, 1, 1, 2], "00001" + "001" + "011" + "00011" + "110"),
        ([3, 4, 3, 4, 3, 4, 3, 4], "00011" + "1" + "0101010" + "001" + "010" + "1" + "1010101"),
        ([1, 1, 1, 1, 1, 2, 3, 3], "00001" + "001" + "011" + "00010" + "100"),
        ([1, 3, 3, 3, 3, 3, 3, 3], "00001" + "001" + "010" + "00011" + "000" + "00001"),
        ([1, 2, 4, 4, 4, 4, 4, 4], "00001" + "001" + "010" + "00011" + "001" + "00010" + "000"),
        (
            [1, 9, 1, 1, 1, 1, 1, 1],
            "00001" + "00011" + "001" + "01" + "00011" + "000" + "00001" + "001" + "000",
        ),
    ],
)
def test_bit_planes_are_coded_as_published(values: list[int], codes: str) -> None:
    """Words of five bits: six planes of seven differences, after eight flags and the base."""
    payload = ExtendedBitPlaneCoder(5).encode(words(*values))
    bits = f"{int.from_bytes(payload):0{8 * len(payload)}b}"
    assert bits[:8] == "11111111"
    assert bits[8:].rstrip("0") == codes.rstrip("0")


@coders
def test_damage_never_crashes(coder: type) -> None:
    symbols = np.rint(np.random.default_rng(1).laplace(0, 2, (4, 8, 30))).astype(np.int32)
    made: Coder = coder(8)
    payload = made.encode(symbols)
    for length in range(0, len(payload), 7):
        with pytest.raises(StreamError, match="the payload is damaged"):
            made.decode(payload[:length], symbols.shape)
    with pytest.raises(StreamError, match="the payload is damaged"):
        made.decode(payload + b"x", symbols.shape)
    for position in range(len(payload)):
        damaged = bytearray(payload)
        damaged[position] ^= 1 << position % 8
        with suppress(StreamError):  # there is no checksum: that belongs to the record
            assert made.decode(bytes(damaged), symbols.shape).shape == symbols.shape


@coders
def test_a_symbol_that_no_word_holds_is_refused(coder: type) -> None:
    with pytest.raises(StreamError, match="needs 9 bits, the coder's words have 8"):
        coder(8).encode(words(0, 128))
