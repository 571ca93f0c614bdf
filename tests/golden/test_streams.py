"""Streams of every format version, byte for byte; they must be readable for ever.

`decode_by_the_book` follows FORMAT.md and shares nothing with the library.
"""

import base64
import io
import math
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from actpress.bitstream import (
    ContextCoder,
    Frame,
    FrequencyTables,
    Header,
    RansCoder,
    StreamReader,
    StreamWriter,
    read_record,
    write_record,
)

Q_MIN, Q_MAX = np.array([-3, 0, -1]), np.array([4, 0, 5])
COUNTS = np.array(
    [[3, 0, 40, 300, 50, 7, 0, 1], [401, 0, 0, 0, 0, 0, 0, 0], [9, 350, 30, 0, 9, 2, 1, 0]]
)
HEADER = Header(bytes(range(16)), bytes(range(16, 32)), (0, 7))
GOLDEN_1 = """
iWFweg0KGgoBAAAAAgAAAAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAAAHAGfNSvcCAAAACQNFsRoaOA4S1QEEAgME
BHB0GYLYDmK8M1dKdkcRaSo4DhLVAQQCAwQEcHQZgtgOYrwzV0p2RxFpKgEAAAAhcZ3fDAxnvsGhAQIBAzCUAQBnvsGhAQIBAzCU
AQAAAAAAEsHwOQIAAAAAAAAA
"""
GOLDEN_2 = """
iWFweg0KGgoCAAAAAgAAAAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAAAHAMGFMokCAAAANOTvnQAaGjgOEtUBBAIDBA
RwdBmC2A5ivDNXSnZHEWkqOA4S1QEEAgMEBHB0GYLYDmK8M1dKdkcRaSoBAAAAdfZIKgEMDGe+waEBAgEDMJQBAGe+waEBAgEDMJQB
AAAAAABH9snSAgAAAAAAAAA=
"""


def symbols(seed: int, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Within range, some of them never seen in calibration: a fixed recurrence, no library."""
    state, drawn = seed, []
    for _ in range(math.prod(shape)):
        state = (1103515245 * state + 12345) % 2**31
        drawn.append((state >> 16) % 97)
    flat = np.array(drawn).reshape(shape[0], shape[1], -1)
    spread = np.where(flat < 60, 0, np.where(flat < 80, 1, flat % 9 - 4))
    low, high = Q_MIN[None, :, None], Q_MAX[None, :, None]
    return np.clip(spread, low, high).astype(np.int32).reshape(shape)


SHAPES = ((2, 3, 4, 4), (1, 3), (40, 3, 32, 32))


def written() -> bytes:
    coder = RansCoder(FrequencyTables.from_counts(COUNTS, Q_MIN, Q_MAX))
    file = io.BytesIO()
    writer = StreamWriter(file, HEADER)
    for seed, shape in enumerate(SHAPES[:2]):
        q = symbols(seed, shape)
        flat = q.reshape(shape[0], shape[1], -1)
        record = write_record(1, shape, coder.encode(flat))
        writer.write(Frame(shape[0], (record, record)))
    writer.close()
    return file.getvalue()


def test_the_bytes_of_version_2_never_change() -> None:
    assert written() == base64.b64decode(GOLDEN_2)


@pytest.mark.parametrize(("version", "golden"), [(1, GOLDEN_1), (2, GOLDEN_2)])
def test_a_stream_of_every_version_is_read(version: int, golden: str) -> None:
    coder = RansCoder(FrequencyTables.from_counts(COUNTS, Q_MIN, Q_MAX))
    reader = StreamReader(io.BytesIO(base64.b64decode(golden)))
    assert reader.header == HEADER
    assert reader.version == version
    frames = list(reader)
    assert len(frames) == 2
    for seed, frame in enumerate(frames):
        expected = symbols(seed, SHAPES[seed])
        for data in frame.records:
            record = read_record(data)
            n, k, *spatial = record.shape
            read = coder.decode(record.payload, (n, k, math.prod(spatial)))
            assert (read.reshape(record.shape) == expected).all()


def frequencies_by_the_book(counts: list[int]) -> list[int]:
    weights = [*counts, sum(count > 0 for count in counts)]
    total = sum(weights)
    f = [max(math.floor(w * (4096 / total)), 1) if w else 0 for w in weights]
    while sum(f) < 4096:
        seen = [i for i, w in enumerate(weights) if w]
        seen.sort(key=lambda i: -weights[i] * math.log2((f[i] + 1) / f[i]))
        for i in seen[: 4096 - sum(f)]:
            f[i] += 1
    while sum(f) > 4096:
        able = [i for i in range(len(f)) if f[i] > 1]
        f[min(able, key=lambda i: weights[i] * math.log2(f[i] / (f[i] - 1)))] -= 1
    return f


def decode_by_the_book(payload: bytes, shape: tuple[int, ...]) -> NDArray[np.int32]:
    n, k = shape[:2]
    p = math.prod(shape[2:])
    rows = n * k
    streams = max(1, min(rows, 64, rows * p // 65536))
    lanes = min(8, 2 ** int(math.log2(max(1, rows * p / 2048))))
    lengths = struct.unpack_from(f"<{streams - 1}I", payload)
    at, decoded = 4 * (streams - 1), []
    levels = (Q_MAX - Q_MIN + 1).tolist()
    tables = [frequencies_by_the_book(COUNTS[j][: levels[j]].tolist()) for j in range(k)]
    for j in range(streams):
        states = list(struct.unpack_from(f"<{lanes}I", payload, at))
        at += 4 * lanes
        stop = at + 2 * lengths[j] if j < streams - 1 else len(payload)
        words = list(struct.unpack_from(f"<{(stop - at) // 2}H", payload, at))
        at = stop
        i = 0
        for row in range(rows * j // streams, rows * (j + 1) // streams):
            f, bits = tables[row % k], math.ceil(math.log2(levels[row % k]))
            for _ in range(p):
                x, slot, entry, c = states[i % lanes], states[i % lanes] % 4096, 0, 0
                while slot >= c + f[entry]:
                    c += f[entry]
                    entry += 1
                x = f[entry] * (x // 4096) + slot - c
                if x < 2**16:
                    x = x * 2**16 + words.pop(0)
                if entry == levels[row % k]:
                    slot, w = x % 4096, 2 ** (12 - bits)
                    entry, x = slot // w, w * (x // 4096) + slot % w
                    if x < 2**16:
                        x = x * 2**16 + words.pop(0)
                states[i % lanes] = x
                decoded.append(int(Q_MIN[row % k]) + entry)
                i += 1
        assert not words
        assert states == [2**16] * lanes
    return np.array(decoded, np.int32).reshape(shape)


def test_the_specification_decodes_what_the_library_encodes() -> None:
    """Also with several streams and eight lanes."""
    coder = RansCoder(FrequencyTables.from_counts(COUNTS, Q_MIN, Q_MAX))
    for seed, shape in enumerate(SHAPES):
        q = symbols(seed, shape)
        payload = coder.encode(q.reshape(shape[0], shape[1], -1))
        assert (decode_by_the_book(payload, shape) == q).all()


def test_the_header_is_as_specified() -> None:
    content = written()
    assert content[:8] == bytes([0x89, 0x61, 0x70, 0x7A, 0x0D, 0x0A, 0x1A, 0x0A])
    assert struct.unpack_from("<HHI", content, 8) == (2, 0, 2)
    assert struct.unpack_from("<HH", content, 48) == (0, 7)
    assert struct.unpack_from("<I", content, 52) == (zlib.crc32(content[:52]),)


def test_frames_and_end_are_as_specified() -> None:
    """Numbers below 128 take one byte, as all do here."""
    content, at, link = written(), 56, zlib.crc32(written()[:52])
    for index, shape in enumerate(SHAPES[:2]):
        images, checksum = struct.unpack_from("<II", content, at)
        numbers = content[at + 8 : at + 11]
        assert (images, numbers[0]) == (shape[0], index)
        assert checksum == zlib.crc32(struct.pack("<II", link, images) + numbers)
        at += 11
        records = [content[at : at + numbers[1]], content[at + numbers[1] :][: numbers[2]]]
        link = checksum
        for record in records:
            assert struct.unpack_from("<I", record) == (zlib.crc32(record[4:]),)
            link = zlib.crc32(record[:4], link)
        at += numbers[1] + numbers[2]
    end = struct.pack("<Q", 2)
    checksum = zlib.crc32(struct.pack("<II", link, 0) + end)
    assert content[at:] == struct.pack("<II", 0, checksum) + end


TABLE_OF = np.array([[(3 * j + 2 * c + c * c) % 3 for c in range(25)] for j in range(3)], np.uint8)
LOWEST = -3
SHARED = np.array(
    [[0, 1, 9, 300, 50, 7, 0, 1, 0], [2, 0, 90, 31, 80, 0, 4, 0, 0], [0, 0, 0, 400, 0, 0, 1, 0, 0]]
)
PLANES = ((2, 3, 3, 4), (1, 3, 1, 1), (24, 3, 32, 32))
GOLDEN_IN_CONTEXT = (
    "mYg0AQTlGefhTgqj",
    "jegBAA==",
)


def context_coder() -> ContextCoder:
    return ContextCoder(FrequencyTables.from_shared_counts(SHARED, LOWEST), TABLE_OF)


def decode_in_context_by_the_book(payload: bytes, shape: tuple[int, ...]) -> NDArray[np.int32]:
    n, k, height, width = shape
    rows, p = n * k, height * width
    streams = max(1, min(rows, 64, rows * p // 65536))
    lanes = min(8, 2 ** int(math.log2(max(1, rows * p / 2048))))
    lengths = struct.unpack_from(f"<{streams - 1}I", payload)
    at = 4 * (streams - 1)
    levels = SHARED.shape[1]
    tables = [frequencies_by_the_book(row.tolist()) for row in SHARED]
    bits = math.ceil(math.log2(levels))
    decoded = np.zeros((rows, height, width), np.int32)
    for j in range(streams):
        states = list(struct.unpack_from(f"<{lanes}I", payload, at))
        at += 4 * lanes
        stop = at + 2 * lengths[j] if j < streams - 1 else len(payload)
        words = iter(struct.unpack_from(f"<{(stop - at) // 2}H", payload, at))
        at = stop
        first, last = rows * j // streams, rows * (j + 1) // streams
        for group in range(first, last, lanes):
            for position in range(p):
                y, x = divmod(position, width)
                for lane, row in enumerate(range(group, min(group + lanes, last))):
                    plane = decoded[row]
                    left = min(max(int(plane[y, x - 1]), -2), 2) if x else 0
                    above = min(max(int(plane[y - 1, x]), -2), 2) if y else 0
                    f = tables[TABLE_OF[row % k, 5 * (left + 2) + above + 2]]
                    state = states[lane]
                    slot, entry, c = state % 4096, 0, 0
                    while slot >= c + f[entry]:
                        c += f[entry]
                        entry += 1
                    state = f[entry] * (state // 4096) + slot - c
                    if state < 2**16:
                        state = state * 2**16 + next(words)
                    if entry == levels:
                        slot, w = state % 4096, 2 ** (12 - bits)
                        entry, state = slot // w, w * (state // 4096) + slot % w
                        if state < 2**16:
                            state = state * 2**16 + next(words)
                    states[lane] = state
                    plane[y, x] = LOWEST + entry
        assert not list(words)
        assert states == [2**16] * lanes
    return decoded.reshape(shape)


def test_the_bytes_in_context_never_change() -> None:
    for seed, golden in enumerate(GOLDEN_IN_CONTEXT):
        payload = context_coder().encode(symbols(seed, PLANES[seed]))
        assert base64.b64encode(payload).decode() == golden
        read = context_coder().decode(base64.b64decode(golden), PLANES[seed])
        assert (read == symbols(seed, PLANES[seed])).all()


def test_the_specification_decodes_what_the_library_encodes_in_context() -> None:
    for seed, shape in enumerate(PLANES):
        q = symbols(seed, shape)
        assert (decode_in_context_by_the_book(context_coder().encode(q), shape) == q).all()
