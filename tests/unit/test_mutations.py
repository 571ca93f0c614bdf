"""The benchmark of hostile streams, in small: see benchmarks/mutations.py."""

import io
import random
import re
import struct
from collections.abc import Callable
from math import prod
from typing import cast

import pytest

from actpress.bitstream import ContextCoder, RansCoder, StreamReader, read_record
from actpress.bitstream.streams import stream_edges
from actpress.errors import StreamError
from actpress.stream import Decoder, Encoder
from benchmarks.mutations import (
    MOVES,
    MUTATIONS,
    accident,
    forge_length,
    frames_of,
    large_batch,
    moved,
    pressed_network,
    run,
)

Move = Callable[[list[bytes], list[bytes], random.Random], None]


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


def streams() -> tuple[bytes, bytes]:
    pressed, images = pressed_network()
    both = []
    for first in (0, 8):
        file = io.BytesIO()
        with Encoder(pressed, file) as encoder:
            for batch in images[first : first + 4].split((2, 1, 1)):
                encoder.encode(batch)
        both.append(file.getvalue())
    return both[0], both[1]


@pytest.mark.parametrize("move", MOVES)
def test_frames_are_attacked_in_every_way(move: Move) -> None:
    """Each makes another stream of whole frames, and none of them is decoded."""
    pressed, _ = pressed_network()
    whole, other = streams()
    head, frames, end = frames_of(whole)
    assert head + b"".join(frames) + end == whole
    assert len(frames) == 3
    others = frames_of(other)[1]
    told = set()
    for seed in range(20):
        changed = list(frames)
        move(changed, others, random.Random(seed))
        if changed == frames:
            continue  # a shuffle may change nothing
        with pytest.raises(StreamError) as caught:
            list(Decoder(pressed, io.BytesIO(head + b"".join(changed) + end)))
        told.add(re.sub(r"\d+", "#", str(caught.value)))
    expected = {
        "drop_frame": "frame # stands in the place of frame #",
        "repeat_frame": "frame # stands in the place of frame #",
        "reorder_frames": "frame # stands in the place of frame #",
        "splice_frame": "frame # at byte # is damaged, or frames of another stream are here",
        "splice_rest": "frame # at byte # is damaged, or frames of another stream are here",
    }[move.__name__]
    assert any(each.startswith(expected) for each in told), told


def test_moved_frames_make_neither_of_the_two_streams() -> None:
    whole, other = streams()
    for seed in range(50):
        assert moved(whole, other, random.Random(seed)) not in {whole, other}


def test_every_mutation_changes_something() -> None:
    whole = random.Random(0).randbytes(500)
    for mutate in MUTATIONS:
        data = bytearray(whole)
        mutate(data, random.Random(1))
        assert data != whole
    assert accident(whole, random.Random(2)) != whole
