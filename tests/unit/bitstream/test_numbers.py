"""Numbers of a stream: seven bits a byte, in exactly one way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actpress.bitstream.numbers import read_number, write_number
from actpress.errors import StreamError


def read(data: bytes) -> int:
    return read_number(iter(data).__next__)


@given(st.integers(0, 2**35 - 1))
def test_a_number_is_read_back_and_takes_what_it_needs(value: int) -> None:
    written = write_number(value)
    assert read(written) == value
    assert len(written) == max(-(-value.bit_length() // 7), 1)


def test_the_bytes_are_as_specified() -> None:
    assert write_number(0) == b"\x00"
    assert write_number(127) == b"\x7f"
    assert write_number(300) == b"\xac\x02"


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xff\x80\x00", b"\x80" * 5 + b"\x01"])
def test_a_second_way_to_write_a_number_is_damage(data: bytes) -> None:
    with pytest.raises(StreamError, match="more bytes than it needs"):
        read(data)


@pytest.mark.parametrize("value", [-1, 2**35])
def test_other_numbers_are_not_written(value: int) -> None:
    with pytest.raises(StreamError, match="up to 35 bits"):
        write_number(value)
