"""Hostile streams: random damage, swapped records, moved frames, foreign plans, forged lengths.

    python -m benchmarks.mutations [--count 200000]

Mutates streams of a small network at random and decodes them; one of a hundred has records of
several entropy-coded streams. Half of the mutations are accidents, bytes that were damaged or whole
frames that were dropped, repeated, moved, or taken from another stream of the same network: they
must end in a `StreamError`. The other half are forgeries with every checksum mended: they may
decode to other values, and to nothing worse. Writes `benchmarks/results/mutations.json`: how often
each part of the reader refused, the slowest decoding and the most memory that Python and NumPy
allocated for one.
"""

import argparse
import io
import json
import random
import re
import struct
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.bitstream import Frame, StreamReader, StreamWriter
from actpress.bitstream.container import FINGERPRINT_BYTES
from actpress.bitstream.numbers import write_number
from actpress.calibration import calibrate
from actpress.codec import NetworkTables
from actpress.errors import StreamError
from actpress.graph import capture
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press
from actpress.stream import Decoder, Encoder
from benchmarks.store import environment

RESULTS = Path("benchmarks/results/mutations.json")
MEMORY_EVERY = 50
"""Memory is traced on every so many mutations only, as tracing slows Python."""

LARGE_EVERY = 200
"""Two of so many mutations are of the large batch, an accident and a forgery."""

MOVED = 0.2
"""Share of the accidents in which whole frames are moved."""

Mutation = Callable[[bytearray, random.Random], None]


def flip_bits(data: bytearray, rng: random.Random) -> None:
    """One to eight bits anywhere."""
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, rng: random.Random) -> None:
    """Up to 16 bytes in a row become random, or all ones, as in a forged length."""
    begin, size = rng.randrange(len(data)), rng.randint(1, 16)
    fill = rng.choice([rng.randbytes(size), b"\xff" * size, bytes(size)])
    data[begin : begin + size] = fill[: len(data) - begin]


def cut(data: bytearray, rng: random.Random) -> None:
    """Some bytes go missing in the middle or at the end."""
    begin = rng.randrange(len(data))
    del data[begin : begin + rng.randint(1, 64)]


def insert(data: bytearray, rng: random.Random) -> None:
    """Some bytes come in."""
    begin = rng.randrange(len(data) + 1)
    data[begin:begin] = rng.randbytes(rng.randint(1, 64))


def swap(data: bytearray, rng: random.Random) -> None:
    """Two stretches change places."""
    size = rng.randint(1, len(data) // 8)
    a = rng.randrange(len(data) - 2 * size)
    b = rng.randrange(a + size, len(data) - size)
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


MUTATIONS: tuple[Mutation, ...] = (flip_bits, overwrite, cut, insert, swap)


class _Tiny(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 6, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(96, 4),
        )


def pressed_network() -> tuple[CompressedModel, Tensor]:
    """A small network, coded in context at its first site and without at its second; its images."""
    torch.manual_seed(0)
    images = 3 * F.avg_pool2d(torch.randn(64, 1, 12, 12), 5, 1)
    graph = capture(_Tiny().eval(), images[:2])
    placements = {site.name: Placement.POST_ACT for site in graph.sites}
    statistics = calibrate(graph, [images], placements)
    sites = tuple(
        SitePlan(
            site=site.name,
            placement=Placement.POST_ACT,
            transform=Transform.PCA,
            channels=site.channels,
            rank=site.channels,
            step=0.2,
        )
        for site in graph.sites
    )
    plan = Plan(method="mutations", fingerprint=graph.fingerprint, sites=sites)
    pressed = press(graph, plan, statistics)
    fit_tables(pressed, [images])
    codec = list(pressed.codecs.values())[-1]
    tables = pressed.tables
    assert tables is not None, "`fit_tables` made them"
    without_contexts = NetworkTables(tables.frequencies, tables.lowest, tables.table_of[:, :1])
    codec.set_tables(without_contexts, codec.class_of)
    return pressed, images


def frames_of(whole: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Header, frames and end mark as they are written."""
    reader = StreamReader(io.BytesIO(whole))
    edges = [reader.offset, *(reader.offset for _ in reader)]
    return whole[: edges[0]], [whole[a:b] for a, b in pairwise(edges)], whole[edges[-1] :]


def drop_frame(frames: list[bytes], others: list[bytes], rng: random.Random) -> None:
    """One goes missing."""
    del others, frames[rng.randrange(len(frames))]


def repeat_frame(frames: list[bytes], others: list[bytes], rng: random.Random) -> None:
    """One stands there twice, in a row or not."""
    del others
    frames.insert(rng.randrange(len(frames) + 1), rng.choice(frames))


def reorder_frames(frames: list[bytes], others: list[bytes], rng: random.Random) -> None:
    """They change places."""
    del others
    rng.shuffle(frames)


def splice_frame(frames: list[bytes], others: list[bytes], rng: random.Random) -> None:
    """One comes from another stream, in place of one or between two; most often of its number."""
    place = rng.randrange(len(frames))
    other = others[place] if rng.random() < 0.7 else rng.choice(others)
    frames[place : place + rng.randint(0, 1)] = [other]


def splice_rest(frames: list[bytes], others: list[bytes], rng: random.Random) -> None:
    """From some frame on, all of them come from another stream."""
    place = rng.randrange(1, len(frames))
    frames[place:] = others[place:]


MOVES = (drop_frame, repeat_frame, reorder_frames, splice_frame, splice_rest)
"""What happens to whole frames of a stream, given those of another one of as many."""


def moved(whole: bytes, other: bytes, rng: random.Random) -> bytes:
    """The stream with frames moved; is none of the two. Ends in the end mark of either."""
    head, own, end = frames_of(whole)
    _, others, other_end = frames_of(other)
    data = whole
    while data in {whole, other}:
        frames = list(own)
        rng.choice(MOVES)(frames, others, rng)
        data = head + b"".join(frames) + rng.choice([end, end, other_end])
    return data


def accident(whole: bytes, rng: random.Random) -> bytes:
    """The stream with one to three mutations; differs from it."""
    data = bytearray(whole)
    while data == whole:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            rng.choice(MUTATIONS)(data, rng)
    return bytes(data)


def forge_axis(body: bytearray, rng: random.Random) -> None:
    """Another size for one axis of a record's shape (n, k, h, w), where it still has one."""
    ends = _axis_ends(body)
    if len(ends) == 4:
        axis = rng.randrange(4)
        size = rng.choice([0, 1, 7, 1 << 12, 1 << 31, (1 << 35) - 1])
        body[(2, *ends)[axis] : ends[axis]] = write_number(size)


def forge_length(body: bytearray, rng: random.Random) -> None:
    """Another length of the first stream of several, in words, right behind the shape."""
    ends = _axis_ends(body)
    if len(ends) == 4:
        (length,) = struct.unpack_from("<I", body.ljust(ends[3] + 4, b"\0"), ends[3])
        length += rng.choice([-length, -1, 1, rng.randint(-1000, 1000), 1 << 31, -length - 1])
        body[ends[3] : ends[3] + 4] = struct.pack("<I", length % (1 << 32))


def _axis_ends(body: bytearray) -> list[int]:
    """Where the numbers of the shape end, four at most."""
    places = (place + 1 for place in range(2, len(body)) if body[place] < 0x80)
    return list(islice(places, 4))


def forgery(whole: bytes, rng: random.Random) -> bytes:
    """The stream with every checksum right and something wrong.

    A record mutated, the two of a frame swapped, another number of images in a frame and in its
    records alike, a header of another network or plan, or frames in another order.
    """
    reader = StreamReader(io.BytesIO(whole))
    frames = list(reader)
    chosen = rng.randrange(len(frames))
    records, images = list(frames[chosen].records), frames[chosen].images
    header, kind = reader.header, rng.random()
    if kind < 0.05:
        records.reverse()
    elif kind < 0.1:
        images = rng.choice([images + 1, 1 << 12, 1 << 21, (1 << 32) - 1])
        records = [_with_images(record, images) for record in records]
    elif kind < 0.12:
        other = rng.randbytes(FINGERPRINT_BYTES)
        header = rng.choice([replace(header, model=other), replace(header, codecs=other)])
    elif kind < 0.15:
        rng.shuffle(frames)
        records, images = list(frames[chosen].records), frames[chosen].images
    else:
        place = rng.randrange(len(records))
        body = bytearray(records[place][4:])
        rng.choice([mutate for mutate in MUTATIONS if mutate is not swap])(body, rng)
        if rng.random() < 0.3:
            rng.choice([forge_axis, forge_length])(body, rng)
        records[place] = struct.pack("<I", zlib.crc32(body)) + bytes(body)
    file = io.BytesIO()
    writer = StreamWriter(file, header)
    for index, frame in enumerate(frames):
        writer.write(Frame(images, tuple(records)) if index == chosen else frame)
    writer.close()
    return file.getvalue()


def run(count: int, seed: int = 0) -> dict[str, object]:
    """Decode so many mutated streams.

    Raises:
        AssertionError: damage was decoded as if it were none.
    """
    pressed, images = pressed_network()
    small = _encode(pressed, images[:3], images[3:5], images[5:6])
    other = _encode(pressed, images[6:8], images[8:11], images[11:12])
    large = _encode(pressed, large_batch(images))
    rng = random.Random(seed)
    refused: Counter[str] = Counter()
    decoded, slowest_s, peak_bytes = 0, 0.0, 0
    for index in range(count):
        forged = index % 2 == 1
        whole = large if index % LARGE_EVERY < 2 else small
        if not forged and whole is small and rng.random() < MOVED:
            data = moved(small, other, rng)
        else:
            data = (forgery if forged else accident)(whole, rng)
        traced = index % MEMORY_EVERY < 2
        if traced:
            tracemalloc.start()
        began = time.perf_counter()
        try:
            for _ in Decoder(pressed, io.BytesIO(data)):
                pass
        except StreamError as error:
            refused[_kind(str(error))] += 1
        else:
            assert forged, f"mutation {index} was decoded in silence"
            decoded += 1
        slowest_s = max(slowest_s, time.perf_counter() - began)
        if traced:
            peak_bytes = max(peak_bytes, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    return {
        "mutations": count,
        "seed": seed,
        "stream_bytes": len(small),
        "large_stream_bytes": len(large),
        "refused": dict(refused.most_common()),
        "forgeries_decoded": decoded,
        "slowest_s": slowest_s,
        "peak_bytes": peak_bytes,
        "environment": environment(),
    }


def _with_images(record: bytes, images: int) -> bytes:
    """The record with another first axis."""
    body = bytearray(record[4:])
    body[2 : _axis_ends(body)[0]] = write_number(images)
    return struct.pack("<I", zlib.crc32(body)) + bytes(body)


def large_batch(images: Tensor) -> Tensor:
    """Images enough for several entropy-coded streams at both sites."""
    return images.repeat(22, 1, 1, 1)


def _encode(pressed: CompressedModel, *batches: Tensor) -> bytes:
    file = io.BytesIO()
    with Encoder(pressed, file) as encoder:
        for batch in batches:
            encoder.encode(batch)
    return file.getvalue()


def _kind(message: str) -> str:
    """A message without its numbers and names."""
    return re.sub(r"\s+", " ", re.sub(r"^site [\w.]+: |\d+", "", message)).strip()[:60]


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    result = run(arguments.count, arguments.seed)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
