"""Real bytes: the law, the streaming interface, and what is measured."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from actpress.bitstream import (
    Frame,
    StreamReader,
    StreamWriter,
    read_record,
    select,
    tables,
    write_record,
)
from actpress.bitstream.numbers import write_number
from actpress.codec import SiteCodec, seen_by
from actpress.data.dataset import Dataset
from actpress.errors import StreamError
from actpress.evaluation import RunInfo, evaluate
from actpress.graph import Graph
from actpress.plan import Placement, Transform
from actpress.pressing import CompressedModel, fit_tables
from actpress.run import load_model_from, save_model
from actpress.stream import ByteTransport, Decoder, Encoder, fingerprint, header_of, through_bytes

MakePressed = Callable[..., CompressedModel]


def encoded(pressed: CompressedModel, *batches: Tensor, sites: list[str] | None = None) -> bytes:
    file = io.BytesIO()
    with Encoder(pressed, file, sites) as encoder:
        for batch in batches:
            encoder.encode(batch)
    return file.getvalue()


def values(pressed: CompressedModel, x: Tensor) -> dict[str, Tensor]:
    """What every codec hands on, without bytes."""
    seen: dict[str, Tensor] = {}

    class Spy:
        def __init__(self, name: str) -> None:
            self.name = name

        def update(self, codec: object, x: Tensor, q: Tensor, x_hat: Tensor) -> None:
            del codec, x, q
            seen[self.name] = x_hat

    probes = {codec: Spy(name) for name, codec in pressed.codecs.items()}
    with torch.no_grad(), seen_by(probes):
        pressed.eval()(x)
    return seen


@pytest.mark.parametrize("transform", [t for t in Transform if t is not Transform.HAAR_PCA])
@pytest.mark.parametrize("placement", Placement)
@pytest.mark.parametrize("coarseness", [0.05, 0.7, 3.0])
def test_decompress_undoes_compress_to_the_bit(
    make_pressed: MakePressed,
    images: Tensor,
    transform: Transform,
    placement: Placement,
    coarseness: float,
) -> None:
    """On unseen values too: half of them are beyond what calibration saw."""
    pressed = make_pressed(transform, coarseness=coarseness, placement=placement)
    for codec in pressed.codecs.values():
        channels = codec.projection.decode(torch.zeros(1, codec.rank, 1, 1), codec.step).shape[1]
        for shape in ((3, channels, 5, 7), (1, channels), (2, channels, 4), (1, channels, 2, 3, 2)):
            x = 4 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
            with torch.no_grad():
                assert codec.decompress(codec.compress(x)).equal(codec(x).x_hat)
        x = 4 * torch.randn(32, channels, 32, 32, generator=torch.Generator().manual_seed(0))
        x = x.to(memory_format=torch.channels_last)  # as torch's convolutions hand it on
        with torch.no_grad():
            assert codec.decompress(codec.compress(x)).equal(codec(x).x_hat)
    with torch.no_grad(), through_bytes(pressed):
        carried = pressed(images[:9])
    with torch.no_grad():
        assert carried.equal(pressed(images[:9]))


def test_a_stream_gives_back_every_site_of_every_batch(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed(Transform.PCA, coarseness=0.5)
    content = encoded(pressed, images[:5], images[5:6])

    frames = list(Decoder(pressed, io.BytesIO(content)))

    assert [len(frame["relu"]) for frame in frames] == [5, 1]
    for frame, batch in zip(frames, (images[:5], images[5:6]), strict=True):
        expected = values(pressed, batch)
        assert frame.keys() == expected.keys()
        for name, value in frame.items():
            assert value.equal(expected[name])


def test_symbols_that_calibration_never_saw_survive(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed(rank=8, coarseness=0.1)
    fit_tables(pressed, [images[:2]])

    for factor in (1.0, 3.0, 30.0):
        file = io.BytesIO()
        with Encoder(pressed, file) as encoder:
            encoder.encode(factor * images[64:96])
        file.seek(0)
        (values,) = Decoder(pressed, file)
        assert set(values) == set(pressed.codecs)


def test_a_loaded_run_codes_symbols_that_calibration_never_saw_alike(
    make_pressed: MakePressed, graph: Graph, images: Tensor, tmp_path: Path
) -> None:
    pressed = make_pressed(rank=8, coarseness=0.1)
    fit_tables(pressed, [images[:2]])
    save_model(pressed, tmp_path)
    loaded = load_model_from(tmp_path, graph)

    written = []
    for model in (pressed, loaded):
        file = io.BytesIO()
        with Encoder(model, file) as encoder:
            encoder.encode(3.0 * images[64:96])
        written.append(file.getvalue())

    assert written[0] == written[1]
    assert len(list(Decoder(pressed, io.BytesIO(written[1])))) == 1


def test_a_stream_may_hold_some_sites_only(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed()
    content = encoded(pressed, images[:2], sites=["mean", "relu"])
    (frame,) = Decoder(pressed, io.BytesIO(content))
    assert list(frame) == ["relu", "mean"], "in the order of the plan"
    with pytest.raises(StreamError, match="the plan has no site tail; it has relu"):
        Encoder(pressed, io.BytesIO(), ["relu", "tail"])
    with pytest.raises(StreamError, match="none was named"):
        Encoder(pressed, io.BytesIO(), [])


def test_the_encoder_returns_what_the_network_returns(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed()
    with Encoder(pressed, io.BytesIO()) as encoder:
        logits = encoder.encode(images[:4])
    with torch.no_grad():
        assert logits.equal(pressed(images[:4]))
    assert all(codec.transport is None for codec in pressed.codecs.values())


def test_streams_of_other_plans_or_networks_are_refused(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed, other = make_pressed(coarseness=0.5), make_pressed(coarseness=0.6)
    content = encoded(pressed, images[:2])
    with pytest.raises(StreamError, match="of another plan, or of other codecs"):
        Decoder(other, io.BytesIO(content))
    other.plan = other.plan.model_copy(update={"fingerprint": "00" * 32})
    with pytest.raises(StreamError, match="of another network"):
        Decoder(other, io.BytesIO(content))


def test_new_tables_make_another_fingerprint(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed()
    before = fingerprint(pressed)
    assert fingerprint(make_pressed()) == before
    fit_tables(pressed, [images[:50]])
    assert fingerprint(pressed) != before


def test_tables_that_are_named_otherwise_make_another_fingerprint(
    make_pressed: MakePressed, images: Tensor
) -> None:
    """The frequencies are the same, and would decode other symbols in silence."""
    pressed = make_pressed()
    content = encoded(pressed, images[:2])
    tables = pressed.tables
    assert tables is not None
    classes = {name: codec.class_of for name, codec in pressed.codecs.items()}
    for changed in (
        replace(tables, table_of=tables.table_of.roll(1, 1)),
        replace(tables, lowest=tables.lowest - 1),
    ):
        pressed.set_tables(changed, classes)
        with pytest.raises(StreamError, match="of other codecs"):
            Decoder(pressed, io.BytesIO(content))
    pressed.set_tables(tables, classes)
    assert len(list(Decoder(pressed, io.BytesIO(content)))) == 1


def as_version_1(pressed: CompressedModel, content: bytes) -> bytes:
    """A stream as it was written before frames had numbers."""
    reader = StreamReader(io.BytesIO(content))
    frames = list(reader)
    head = bytearray(header_of(pressed, list(reader_sites(pressed, reader)), version=1).to_bytes())
    head[8:10] = struct.pack("<H", 1)
    head[-4:] = struct.pack("<I", zlib.crc32(head[:-4]))
    written = bytes(head)
    for frame in frames:
        lengths = b"".join(write_number(len(record)) for record in frame.records)
        images = struct.pack("<I", frame.images)
        written += images + struct.pack("<I", zlib.crc32(images + lengths)) + lengths
        written += b"".join(frame.records)
    end = struct.pack("<IQ", 0, len(frames))
    return written + end[:4] + struct.pack("<I", zlib.crc32(end)) + end[4:]


def reader_sites(pressed: CompressedModel, reader: StreamReader) -> tuple[str, ...]:
    return select(reader.header, list(pressed.codecs))


def test_streams_of_version_1_are_decoded(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed(Transform.PCA)
    content = encoded(pressed, images[:3], images[3:5], sites=["relu", "mean"])
    older = as_version_1(pressed, content)
    assert older[:56] != content[:56]
    frames, expected = (list(Decoder(pressed, io.BytesIO(each))) for each in (older, content))
    assert len(frames) == 2
    for frame, other in zip(frames, expected, strict=True):
        assert all(frame[name].equal(value) for name, value in other.items())
    with pytest.raises(StreamError, match="of another plan, or of other codecs"):
        Decoder(make_pressed(Transform.PCA, coarseness=0.6), io.BytesIO(older))


def test_frames_of_two_streams_do_not_mix(make_pressed: MakePressed, images: Tensor) -> None:
    """Both are of one network, and every frame is right in itself."""
    pressed = make_pressed()
    mine, other = (encoded(pressed, *images[first : first + 4].split(2)) for first in (0, 4))
    reader = StreamReader(io.BytesIO(mine))
    start = reader.offset
    next(frames := iter(reader))
    middle = reader.offset
    next(frames)
    assert len(list(Decoder(pressed, io.BytesIO(mine)))) == 2
    theirs = StreamReader(io.BytesIO(other))
    next(iter(theirs))
    with pytest.raises(StreamError, match="frames of another stream are here"):
        list(Decoder(pressed, io.BytesIO(mine[:middle] + other[theirs.offset :])))
    with pytest.raises(StreamError, match="frame 0 stands in the place of frame 1"):
        list(Decoder(pressed, io.BytesIO(mine[:middle] + mine[start:])))


def test_a_machine_that_scales_the_same_counts_otherwise_refuses_the_stream(
    make_pressed: MakePressed, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(make_pressed(), images[:2])

    def scaled_otherwise(counts: NDArray[np.int64], escaped: float) -> NDArray[np.int64]:
        frequencies = scaled(counts, escaped)
        frequencies[frequencies.argmax()] -= 1
        frequencies[-1] += 1
        return frequencies

    scaled = tables._scaled
    monkeypatch.setattr(tables, "_scaled", scaled_otherwise)
    with pytest.raises(StreamError, match="of other codecs"):
        Decoder(make_pressed(), io.BytesIO(content))


def test_a_record_of_another_rank_is_noticed(make_pressed: MakePressed) -> None:
    pressed = make_pressed(rank=5)
    codecs = pressed.codecs
    record = codecs["relu"].compress(torch.randn(2, 8, 4, 4))
    narrow = make_pressed(rank=4).codecs["relu"]
    with pytest.raises(StreamError, match="has 5 components, this codec 4"):
        narrow.decompress(record)


def test_damage_is_noticed_and_the_site_named(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed(rank=5)
    damaged = bytearray(encoded(pressed, images[:3]))
    damaged[-30] ^= 4
    with pytest.raises(StreamError, match="site mean: a record is damaged: its checksum"):
        list(Decoder(pressed, io.BytesIO(bytes(damaged))))


def test_a_frame_of_too_many_images_costs_nothing(make_pressed: MakePressed) -> None:
    pressed = make_pressed()
    codec = pressed.codecs["relu"]
    own = read_record(codec.compress(torch.zeros(1, 8, 4, 4))).coder
    images = 1 << 20
    record = write_record(own, (images, 8, 32, 8), bytes(1 << 17))
    file = io.BytesIO()
    writer = StreamWriter(file, header_of(pressed, ["relu"]))
    writer.write(Frame(images, (record,)))
    writer.close()
    tracemalloc.start()
    with pytest.raises(StreamError, match="a frame declares 1048576 images; at most 256"):
        list(Decoder(pressed, io.BytesIO(file.getvalue())))
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(make_pressed: MakePressed, value: float) -> None:
    codec = make_pressed().codecs["relu"]
    x = torch.zeros(1, 8, 4, 4)
    x[0, 3, 2, 1] = value
    with pytest.raises(StreamError, match="NaN or infinite values cannot be compressed"):
        codec.compress(x)


def test_a_site_with_nan_is_named(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed()
    for value in (float("nan"), float("inf")):
        with pytest.raises(StreamError, match="site relu: NaN or infinite"):
            encoded(pressed, images[:2].clone().fill_(value))


def test_forged_shapes_cost_nothing(make_pressed: MakePressed) -> None:
    codec = make_pressed().codecs["relu"]
    own = read_record(codec.compress(torch.zeros(1, 8, 4, 4))).coder
    tracemalloc.start()
    for shape, payload in (((1, 8, 1 << 14, 1 << 14), bytes(40)), ((1, 8, 0, 4), b"")):
        with pytest.raises(StreamError, match="damaged"):
            codec.decompress(write_record(own, shape, payload))
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_activations_of_another_size_are_decoded_where_that_is_allowed(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed()
    larger = images[:2].repeat(1, 1, 2, 2)
    content = encoded(pressed, larger, sites=["relu"])

    with pytest.raises(StreamError, match=r"site relu: the record has \d+x\d+ positions, the site"):
        list(Decoder(pressed, io.BytesIO(content)))
    (frame,) = Decoder(pressed, io.BytesIO(content), any_size=True)
    assert frame["relu"].equal(values(pressed, larger)["relu"])


def test_empty_tensors_survive(make_pressed: MakePressed) -> None:
    codec = make_pressed().codecs["relu"]
    for shape in ((0, 8, 4, 4), (0, 8)):
        assert codec.decompress(codec.compress(torch.zeros(shape))).shape == shape


def test_tables_come_first(make_pressed: MakePressed) -> None:
    codec = make_pressed().codecs["relu"]
    codec.widen()
    with pytest.raises(StreamError, match="no code tables yet; call fit_tables"):
        codec.compress(torch.zeros(1, 8, 4, 4))


def test_images_without_pixels_are_refused_and_no_images_are_not(
    make_pressed: MakePressed,
) -> None:
    codec = make_pressed().codecs["relu"]
    with pytest.raises(StreamError, match=r"shape \(1, 8, 0, 4\) have no pixels"):
        codec.compress(torch.zeros(1, 8, 0, 4))
    nothing = torch.zeros(0, 8, 4, 4)
    assert codec.decompress(codec.compress(nothing)).shape == nothing.shape
    assert codec(nothing.requires_grad_()).rate_bits == 0


def test_a_transport_of_the_users_own_is_put_back(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed()
    own = ByteTransport("relu")
    pressed.codecs["relu"].transport = own
    encoded(pressed, images[:2])
    assert pressed.codecs["relu"].transport is own
    assert pressed.codecs["mean"].transport is None


@pytest.mark.parametrize("batch", [1, 40])
def test_measured_bits_are_the_length_of_the_stream(
    make_pressed: MakePressed, graph: Graph, dataset: Dataset, batch: int
) -> None:
    pressed = make_pressed(Transform.PCA, coarseness=0.4)
    test = dataset.test
    content = encoded(pressed, *(x for x, _ in test.batches(batch)))

    plain = evaluate(pressed, graph, test, RunInfo(), batch=batch)
    metrics = evaluate(pressed, graph, test, RunInfo(), measured=True, batch=batch)

    assert metrics.measured is not None
    assert metrics.measured.stream_bytes == len(content)
    assert replace_measured(metrics) == replace_measured(plain), "bytes change nothing else"
    bits = 8 * len(content) / len(test)
    assert metrics.measured.bits_per_value == pytest.approx(
        bits / sum(s.values for s in graph.sites)
    )
    expected = metrics.measured.bits_per_value / metrics.bits_per_value.entropy - 1
    assert metrics.measured.excess_over_entropy == pytest.approx(expected)
    if batch == 40:
        for site in metrics.sites:
            record_head_bits = 8 * (4 + 2 + 4 + 3 + 4)
            excess = metrics.measured.site_bits[site.name] - site.bits.entropy
            assert 0 < excess < 0.03 * site.bits.entropy + 2 * record_head_bits / batch


def replace_measured(metrics: object) -> object:
    return metrics.model_copy(update={"measured": None})  # type: ignore[attr-defined]


def test_two_frames_of_one_split_are_in_the_order_of_the_split(
    make_pressed: MakePressed, dataset: Dataset
) -> None:
    pressed = make_pressed()
    head = replace(dataset.test).take(6)
    (x, _) = next(head.batches(6))
    one = next(iter(Decoder(pressed, io.BytesIO(encoded(pressed, x)))))["relu"]
    two = list(Decoder(pressed, io.BytesIO(encoded(pressed, x[:3], x[3:]))))
    assert torch.cat([frame["relu"] for frame in two]).allclose(one, atol=1e-5)


def test_short_memory_is_told_of_the_stream(
    make_pressed: MakePressed, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's allocator raises `RuntimeError` where a forged shape asks for too much."""
    pressed = make_pressed()
    content = encoded(pressed, images[:2])

    def fail(_codec: SiteCodec, _record: bytes) -> Tensor:
        return torch.empty(1 << 60)

    monkeypatch.setattr(SiteCodec, "decompress", fail)
    with pytest.raises(StreamError, match=r"site \w+: .*memory"):
        list(Decoder(pressed, io.BytesIO(content)))
