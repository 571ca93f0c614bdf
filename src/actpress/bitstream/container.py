"""The container: a header that names model and plan, then one frame per batch, then an end mark.

The layout is specified in FORMAT.md. Frames are written and read one at a time. Each says which one
it is, and its checksum covers the one before, so that a frame is only right in its place.
"""

import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from actpress.bitstream.numbers import read_number, write_number
from actpress.errors import StreamError

MAGIC = b"\x89apz\r\n\x1a\n"
VERSION = 2
MAX_SITES = 1 << 16
MAX_RECORD_BYTES = 1 << 34
FINGERPRINT_BYTES = 16

_HEAD = struct.Struct("<8sHHI16s16s")
_FRAME = struct.Struct("<II")
_END = struct.Struct("<IIQ")


@dataclass(frozen=True)
class Header:
    """What a stream is of.

    Attributes:
        model: fingerprint of the network, 16 bytes.
        codecs: fingerprint of plan and codecs, 16 bytes.
        sites: positions in the plan of the sites that every frame holds, rising.
    """

    model: bytes
    codecs: bytes
    sites: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """As it is written."""
        head = _HEAD.pack(MAGIC, VERSION, 0, len(self.sites), self.model, self.codecs)
        head += struct.pack(f"<{len(self.sites)}H", *self.sites)
        return head + struct.pack("<I", zlib.crc32(head))


@dataclass(frozen=True)
class Frame:
    """One batch.

    Attributes:
        images: in the batch.
        records: one per site of the header, in its order.
    """

    images: int
    records: tuple[bytes, ...]


def framing_bytes(frames: int) -> int:
    """What so many frames take besides their records and the lengths of these, the end included."""
    return _END.size + sum(_FRAME.size + len(write_number(index)) for index in range(frames))


@dataclass
class _Chain:
    """The checksums of a stream, each of which covers the one before.

    Attributes:
        version: of the format; in version 1 checksums knew nothing of each other.
        link: last checksum, of the header at first.
    """

    version: int
    link: int

    def checksum(self, images: int, rest: bytes | bytearray) -> int:
        """Of a frame's number and lengths, or of the number of frames in the end mark."""
        before = struct.pack("<I", self.link) if self.version > 1 else b""
        return zlib.crc32(before + struct.pack("<I", images) + rest)

    def add(self, checksum: int, records: Sequence[bytes]) -> None:
        """Go on behind a frame; records begin with checksums of their own."""
        self.link = zlib.crc32(b"".join(record[:4] for record in records), checksum)


class StreamWriter:
    """Writes header, frames and end mark to a binary file; holds nothing.

    Several threads may write to it: frames are in the order in which they came.
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self.header, self.frames, self._file = header, 0, file
        self._lock = threading.Lock()
        head = header.to_bytes()
        self._chain = _Chain(VERSION, _last_number(head))
        file.write(head)

    def write(self, frame: Frame) -> None:
        """Append a frame.

        Raises:
            StreamError: no images, or another number of records than the header names sites.
        """
        if frame.images < 1 or len(frame.records) != len(self.header.sites):
            raise StreamError(
                f"a frame needs at least one image and {len(self.header.sites)} records; got "
                f"{frame.images} images and {len(frame.records)} records"
            )
        lengths = b"".join(write_number(len(record)) for record in frame.records)
        with self._lock:
            numbers = write_number(self.frames) + lengths
            checksum = self._chain.checksum(frame.images, numbers)
            head = _FRAME.pack(frame.images, checksum) + numbers
            self._file.write(head + b"".join(frame.records))
            self._chain.add(checksum, frame.records)
            self.frames += 1

    def close(self) -> None:
        """Write the end mark; the file stays open."""
        checksum = self._chain.checksum(0, struct.pack("<Q", self.frames))
        self._file.write(_END.pack(0, checksum, self.frames))


class StreamReader:
    """Reads a stream frame by frame; never holds more than one.

    Args:
        file: at the start of the stream.
        max_frame_bytes: that the records of one frame may have together.

    Raises:
        StreamError: not a stream, a newer version, or a damaged header.

    Attributes:
        version: of the stream's format.
    """

    def __init__(self, file: BinaryIO, *, max_frame_bytes: int = MAX_RECORD_BYTES) -> None:
        self._file, self.offset, self.max_frame_bytes = file, 0, max_frame_bytes
        self.version, self.header, link = self._read_header()
        self._chain = _Chain(self.version, link)

    def __iter__(self) -> Iterator[Frame]:
        frames = 0
        while True:
            images, checksum = _FRAME.unpack(self._read(_FRAME.size, f"frame {frames}"))
            if images == 0:
                self._check_end(frames, checksum)
                return
            yield self._read_frame(frames, images, checksum)
            frames += 1

    def _read_header(self) -> tuple[int, Header, int]:
        """Version, header and its checksum."""
        head = self._read(_HEAD.size, "header")
        magic, version, reserved, count, model, codecs = _HEAD.unpack(head)
        if magic != MAGIC:
            raise StreamError("this is no actpress stream: its first bytes are others")
        if version > VERSION:
            raise StreamError(
                f"the stream has format version {version}, but this actpress reads versions 1 to "
                f"{VERSION}; upgrade actpress"
            )
        if reserved or version < 1 or not 1 <= count <= MAX_SITES:
            raise StreamError(f"the header is damaged: version {version}, {count} sites")
        sites = self._read(2 * count, "header")
        (checksum,) = struct.unpack("<I", self._read(4, "header"))
        if zlib.crc32(head + sites) != checksum:
            raise StreamError("the header is damaged: its checksum does not match")
        positions = struct.unpack(f"<{count}H", sites)
        if list(positions) != sorted(set(positions)):
            raise StreamError("the header is damaged: its sites are not in rising order")
        return version, Header(model, codecs, positions), checksum

    def _read_frame(self, frames: int, images: int, checksum: int) -> Frame:
        packed = bytearray()

        def next_byte() -> int:
            packed.extend(self._read(1, f"frame {frames}"))
            return packed[-1]

        number = read_number(next_byte) if self.version > 1 else frames
        lengths = [read_number(next_byte) for _ in self.header.sites]
        if number != frames:
            raise StreamError(
                f"frame {number} stands in the place of frame {frames}: frames were dropped, "
                f"repeated or moved, or it is damaged"
            )
        if self._chain.checksum(images, packed) != checksum:
            raise StreamError(
                f"frame {frames} at byte {self.offset} is damaged, or frames of another stream "
                f"are here: wrong checksum"
            )
        if max(lengths) > MAX_RECORD_BYTES:
            raise StreamError(f"frame {frames} declares a record of {max(lengths)} bytes")
        if sum(lengths) > self.max_frame_bytes:
            raise StreamError(
                f"frame {frames} declares {sum(lengths):,} bytes; at most "
                f"{self.max_frame_bytes:,} are accepted here, see max_bytes"
            )
        records = [self._read(length, f"frame {frames}") for length in lengths]
        self._chain.add(checksum, records)
        return Frame(images, tuple(records))

    def _check_end(self, frames: int, checksum: int) -> None:
        packed = self._read(8, "end mark")
        (declared,) = struct.unpack("<Q", packed)
        if self._chain.checksum(0, packed) != checksum or declared != frames:
            raise StreamError(
                f"the end mark is damaged, or of another stream: {declared} frames declared, "
                f"{frames} read"
            )
        if self._file.read(1):
            raise StreamError(f"bytes follow the end mark at byte {self.offset}")

    def _read(self, size: int, what: str) -> bytes:
        """Exactly so many bytes; large parts come in pieces, so that a lie costs no memory."""
        parts, missing = [], size
        while missing:
            part = self._file.read(min(missing, 1 << 24))
            if not part:
                raise StreamError(
                    f"the stream ends in its {what} at byte {self.offset}: {missing} of {size} "
                    f"bytes are missing"
                )
            parts.append(part)
            missing -= len(part)
            self.offset += len(part)
        return b"".join(parts)


def _last_number(head: bytes) -> int:
    """The checksum at the end of a header."""
    (checksum,) = struct.unpack("<I", head[-4:])
    return int(checksum)


def select(header: Header, names: Sequence[str]) -> tuple[str, ...]:
    """Names of the sites in a stream.

    Args:
        header: of the stream.
        names: of all sites of the plan, in its order.

    Raises:
        StreamError: a position beyond the plan.
    """
    if header.sites[-1] >= len(names):
        raise StreamError(
            f"the stream names site {header.sites[-1]}, but the plan has {len(names)} sites"
        )
    return tuple(names[position] for position in header.sites)
