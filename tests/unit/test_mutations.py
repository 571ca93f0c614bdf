"""The benchmark of hostile streams, in small: see benchmarks/mutations.py."""

import io
import random
import struct
from math import prod
from typing import cast

from actpress.bitstream import ContextCoder, RansCoder, StreamReader, read_record
from actpress.bitstream.streams import stream_edges
from actpress.stream import Encoder
from benchmarks.mutations import (
    MUTATIONS,
    accident,
    forge_length,
    large_batch,
    pressed_network,
    run,
)


def test_every_accident_is_refused_and_no_forgery_does_worse_than_decode() -> None:
    result = run(600, seed=1)
    refused = cast(dict[str, int], result["refused"])
    assert sum(refused.values()) + cast(int, result["forgeries_decoded"]) == 600
    assert sum(refused.values()) > 400
    assert cast(float, result["slowest_s"]) < 5
    assert cast(int, result["peak_bytes"]) < 1 << 27


def test_both_entropy_coders_are_attacked() -> None:
    pressed, _ = pressed_network()
    coders = [type(codec.coder()) for codec in pressed.codecs.values()]
    assert coders == [ContextCoder, RansCoder]


def test_records_of_several_streams_are_attacked() -> None:
    pressed, images = pressed_network()
    batch = large_batch(images)
    file = io.BytesIO()
    with Encoder(pressed, file) as encoder:
        encoder.encode(batch)
    file.seek(0)
    (frame,) = StreamReader(file)
    for record, codec in zip(frame.records, pressed.codecs.values(), strict=True):
        n, k, *spatial = read_record(record).shape
        assert k == codec.rank
        assert len(stream_edges((n * k, prod(spatial)))) > 2


def test_a_forged_length_is_another_one() -> None:
    body = bytearray(bytes((1, 4, 2, 8, 12, 12)) + struct.pack("<I", 70_000) + bytes(20))
    before = bytes(body)
    forge_length(body, random.Random(0))
    assert body[:6] == before[:6]
    assert body[10:] == before[10:]
    assert body != before


def test_every_mutation_changes_something() -> None:
    whole = random.Random(0).randbytes(500)
    for mutate in MUTATIONS:
        data = bytearray(whole)
        mutate(data, random.Random(1))
        assert data != whole
    assert accident(whole, random.Random(2)) != whole
