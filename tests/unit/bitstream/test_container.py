"""Records and the container: whatever is damaged is refused, with the right words."""

import io
import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

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
from actpress.bitstream.container import MAGIC, framing_bytes
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
    content[8:10] = struct.pack("<H", 3)
    told = "version 3, but this actpress reads versions 1 to 2; upgrade"
    with pytest.raises(StreamError, match=told):
        read(bytes(content))
    with pytest.raises(StreamError, match="no actpress stream"):
        read(b"PK" + bytes(100))
    assert stream()[:8] == MAGIC


def test_a_forged_length_costs_no_memory() -> None:
    """The checksum is right, the length is a lie of 16 GiB."""
    link = HEADER.to_bytes()[-4:]
    lengths = b"\0" + b"\x80\x80\x80\x80\x40" + bytes(2)
    checksum = zlib.crc32(link + struct.pack("<I", 1) + lengths)
    forged = HEADER.to_bytes() + struct.pack("<II", 1, checksum) + lengths + b"few"
    tracemalloc.start()
    with pytest.raises(StreamError, match="17179869181 of 17179869184 bytes are missing"):
        read(forged)
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()
    lengths = b"\0" + b"\x80\x80\x80\x80\x41" + bytes(2)
    checksum = zlib.crc32(link + struct.pack("<I", 1) + lengths)
    with pytest.raises(StreamError, match="declares a record of 17448304640 bytes"):
        read(HEADER.to_bytes() + struct.pack("<II", 1, checksum) + lengths)


def parts(*sizes: int) -> list[bytes]:
    """Header, frames and end of a stream of frames with so many images."""
    content = stream(*sizes)
    reader = StreamReader(io.BytesIO(content))
    edges = [0, reader.offset, *(reader.offset for _ in reader), len(content)]
    return [content[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ((1, 2), "frame 1 stands in the place of frame 0: frames were dropped, repeated or moved"),
        ((0, 2), "frame 2 stands in the place of frame 1"),
        ((0, 1), "the end mark is damaged, or of another stream: 3 frames declared, 2 read"),
        ((), "3 frames declared, 0 read"),
        ((0, 0, 1, 2), "frame 0 stands in the place of frame 1"),
        ((0, 1, 2, 2), "frame 2 stands in the place of frame 3"),
        ((1, 0, 2), "frame 1 stands in the place of frame 0"),
        ((0, 2, 1), "frame 2 stands in the place of frame 1"),
    ],
)
def test_frames_that_were_dropped_repeated_or_moved_are_told(
    order: tuple[int, ...], told: str
) -> None:
    head, *frames, end = parts(1, 2, 1)
    with pytest.raises(StreamError, match=told):
        read(head + b"".join(frames[index] for index in order) + end)


def test_equal_frames_do_not_change_places_either() -> None:
    head, first, second, end = parts(1, 1)
    assert first != second
    with pytest.raises(StreamError, match="frame 1 stands in the place of frame 0"):
        read(head + second + first + end)


def test_a_frame_of_another_stream_is_told_by_the_one_after_it() -> None:
    """It is right in itself, and of the right number, but not what the next one followed."""
    head, first, second, end = parts(1, 1)
    _, other, third, other_end = parts(2, 1)
    with pytest.raises(StreamError, match=r"frame 1 at byte \d+ is damaged, or frames of another"):
        read(head + other + second + end)
    with pytest.raises(StreamError, match="frame 1 at byte"):
        read(head + first + third + other_end)
    with pytest.raises(StreamError, match="the end mark is damaged, or of another stream"):
        read(parts(1)[0] + other + parts(1)[2])


def test_a_frame_does_not_fit_under_another_header() -> None:
    _, frame, end = parts(1)
    other = Header(HEADER.model, HEADER.codecs, (0, 2, 6)).to_bytes()
    with pytest.raises(StreamError, match="frame 0 at byte"):
        read(other + frame + end)


def test_version_1_has_no_numbers() -> None:
    """Written by hand, as nothing writes it any more."""
    head = bytearray(HEADER.to_bytes())
    head[8:10] = struct.pack("<H", 1)
    head[-4:] = struct.pack("<I", zlib.crc32(head[:-4]))
    lengths = bytes((3, 0, 5))
    checksum = zlib.crc32(struct.pack("<I", 1) + lengths)
    frame = struct.pack("<II", 1, checksum) + lengths + b"onethree"
    end = struct.pack("<IIQ", 0, zlib.crc32(struct.pack("<IQ", 0, 2)), 2)
    assert read(head + frame + frame + end) == 2 * [Frame(1, (b"one", b"", b"three"))]
    with pytest.raises(StreamError, match="2 frames declared, 1 read"):
        read(head + frame + end)


def test_threads_write_whole_frames() -> None:
    file = io.BytesIO()
    writer = StreamWriter(file, HEADER)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: writer.write(Frame(n + 1, (b"x" * n, b"", b""))), range(300)))
    writer.close()
    frames = read(file.getvalue())
    assert sorted(frame.images for frame in frames) == list(range(1, 301))
    assert all(len(frame.records[0]) == frame.images - 1 for frame in frames)


def test_framing_is_counted_to_the_byte() -> None:
    """The number of a frame takes a second byte from 128 on."""
    for frames in (0, 1, 200):
        lengths_and_records = frames * (3 + 8)
        size = len(HEADER.to_bytes()) + framing_bytes(frames) + lengths_and_records
        assert len(stream(*[1] * frames)) == size
    assert framing_bytes(200) - framing_bytes(128) == 72 * (8 + 2)


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
