"""Records and the container: whatever is damaged is refused, with the right words."""

import io
import struct
import tracemalloc
import zlib

import pytest

from actpress.bitstream import (
    Frame,
    Header,
    StreamReader,
    StreamWriter,
    read_record,
    select,
    write_record,
)
from actpress.bitstream.container import MAGIC
from actpress.errors import StreamError

HEADER = Header(b"m" * 16, b"c" * 16, (0, 2, 5))


def stream(*batches: int) -> bytes:
    file = io.BytesIO()
    writer = StreamWriter(file, HEADER)
    for images in batches:
        writer.write(Frame(images, (b"one", b"", b"three" * images)))
    writer.close()
    return file.getvalue()


def read(content: bytes) -> list[Frame]:
    return list(StreamReader(io.BytesIO(content)))


def test_what_was_written_is_read() -> None:
    content = stream(2, 1)
    reader = StreamReader(io.BytesIO(content))
    assert reader.header == HEADER
    assert list(reader) == [
        Frame(2, (b"one", b"", b"threethree")),
        Frame(1, (b"one", b"", b"three")),
    ]
    assert read(stream()) == []


def test_every_truncation_is_refused() -> None:
    content = stream(2, 1)
    for length in range(len(content)):
        with pytest.raises(StreamError, match=r"ends in its|no actpress stream"):
            read(content[:length])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(StreamError, match="bytes follow the end mark at byte"):
        read(stream(1) + b"x")


def test_every_flipped_bit_outside_of_records_is_refused() -> None:
    """Records have checksums of their own."""
    content = stream(1)
    inside = content.index(b"one"), content.index(b"three") + len(b"three")
    for position in range(len(content)):
        if inside[0] <= position < inside[1]:
            continue
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            with pytest.raises(StreamError):
                read(bytes(damaged))


def test_newer_and_foreign_files_are_named() -> None:
    content = bytearray(stream(1))
    content[8:10] = struct.pack("<H", 2)
    with pytest.raises(StreamError, match="version 2, but this actpress reads version 1; upgrade"):
        read(bytes(content))
    with pytest.raises(StreamError, match="no actpress stream"):
        read(b"PK" + bytes(100))
    assert stream()[:8] == MAGIC


def test_a_forged_length_costs_no_memory() -> None:
    """The checksum is right, the length is a lie of 16 GiB."""
    lengths = b"\x80\x80\x80\x80\x40" + bytes(2)
    checksum = zlib.crc32(struct.pack("<I", 1) + lengths)
    forged = HEADER.to_bytes() + struct.pack("<II", 1, checksum) + lengths + b"few"
    tracemalloc.start()
    with pytest.raises(StreamError, match="17179869181 of 17179869184 bytes are missing"):
        read(forged)
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()
    lengths = b"\x80\x80\x80\x80\x41" + bytes(2)
    checksum = zlib.crc32(struct.pack("<I", 1) + lengths)
    with pytest.raises(StreamError, match="declares a record of 17448304640 bytes"):
        read(HEADER.to_bytes() + struct.pack("<II", 1, checksum) + lengths)


def test_missing_frames_are_noticed() -> None:
    whole, one = stream(1, 1), stream(1)
    size = len(one) - len(stream())
    head = len(HEADER.to_bytes())
    with pytest.raises(StreamError, match="2 frames declared, 1 read"):
        read(whole[:head] + whole[head + size :])


@pytest.mark.parametrize("frame", [Frame(0, (b"", b"", b"")), Frame(1, (b"",))])
def test_a_frame_must_fit_the_header(frame: Frame) -> None:
    with pytest.raises(StreamError, match="at least one image and 3 records"):
        StreamWriter(io.BytesIO(), HEADER).write(frame)


def test_sites_are_named_by_their_place_in_the_plan() -> None:
    assert select(HEADER, list("abcdef")) == ("a", "c", "f")
    with pytest.raises(StreamError, match="names site 5, but the plan has 3 sites"):
        select(HEADER, list("abc"))


def test_a_record_is_read_back() -> None:
    record = read_record(write_record(1, (2, 3, 4, 5), b"payload"))
    assert (record.coder, record.shape, bytes(record.payload)) == (1, (2, 3, 4, 5), b"payload")
    assert read_record(write_record(1, (0, 3), b"")).shape == (0, 3)


def test_every_damaged_record_is_refused() -> None:
    record = write_record(1, (2, 3, 4), b"payload")
    for length in range(len(record)):
        with pytest.raises(StreamError, match="damaged"):
            read_record(record[:length])
    for position in range(len(record)):
        damaged = bytearray(record)
        damaged[position] ^= 0x10
        with pytest.raises(StreamError, match="checksum"):
            read_record(bytes(damaged))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"\1\2" + 2 * b"\x80\x80\x40", "declares the shape"),
        (b"\1\4\0\2" + 2 * b"\xff\xff\xff\xff\x7f", "declares the shape"),
        (b"\1\2", "its header is incomplete"),
        (b"\1\2\5\x80", "its header is incomplete"),
        (b"\1\1" + bytes(4), "declares 1 axes"),
        (b"\1\xc8" + bytes(800), "declares 200 axes"),
        (b"\1\2\x81\0\1", "more bytes than it needs"),
        (b"\1\2\x80\x80\x80\x80\x80\1\1", "more bytes than it needs"),
    ],
)
def test_a_forged_record_is_refused_before_anything_is_allocated(
    body: bytes, complaint: str
) -> None:
    with pytest.raises(StreamError, match=complaint):
        read_record(struct.pack("<I", zlib.crc32(body)) + body)


@pytest.mark.parametrize("shape", [(1,), (1,) * 9, (1 << 16, 1 << 16)])
def test_what_no_record_holds_is_not_written(shape: tuple[int, ...]) -> None:
    with pytest.raises(StreamError, match="a record holds symbols of 2 to 8 axes"):
        write_record(1, shape, b"")
