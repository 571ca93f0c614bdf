"""What a stream may cost whoever reads it: told before room is made, and kept to."""

import io
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from actpress.bitstream import Frame, StreamReader, StreamWriter, read_record, write_record
from actpress.errors import StreamError
from actpress.graph import capture, working_bytes
from actpress.plan import Transform
from actpress.pressing import CompressedModel
from actpress.settings import MAX_IMAGES
from actpress.splitting import split
from actpress.stream import MAX_BYTES, Decoder, Encoder, header_of

MakePressed = Callable[..., CompressedModel]


def encoded(pressed: CompressedModel, x: Tensor, sites: list[str] | None = None) -> bytes:
    file = io.BytesIO()
    with Encoder(pressed, file, sites) as encoder:
        encoder.encode(x)
    return file.getvalue()


def test_bounds_are_low_by_default_and_may_be_raised(
    make_pressed: MakePressed, images: Tensor
) -> None:
    assert MAX_IMAGES == 256
    assert MAX_BYTES == 256 << 20
    pressed = make_pressed(Transform.PCA)
    many = encoded(pressed, images.repeat(2, 1, 1, 1)[:257], ["relu"])
    with pytest.raises(StreamError, match=r"declares 257 images; at most 256 .* see max_images"):
        list(Decoder(pressed, io.BytesIO(many)))
    (frame,) = Decoder(pressed, io.BytesIO(many), max_images=257)
    assert len(frame["relu"]) == 257


def test_a_frame_needs_what_its_records_symbols_and_values_take(
    make_pressed: MakePressed, images: Tensor
) -> None:
    """`relu` has 8 channels of 8x8, here 5 components: symbols stand there three times."""
    pressed = make_pressed(Transform.PCA, rank=5)
    content = encoded(pressed, images[:7], ["relu"])
    (undecoded,) = StreamReader(io.BytesIO(content))
    needed = len(undecoded.records[0]) + 7 * 64 * (12 * 5 + 8 * 8)
    (frame,) = Decoder(pressed, io.BytesIO(content), max_bytes=needed)
    assert len(frame["relu"]) == 7
    with pytest.raises(
        StreamError, match=f"a frame of 7 images needs {needed:,} bytes to decode; at most"
    ):
        list(Decoder(pressed, io.BytesIO(content), max_bytes=needed - 1))


def test_one_image_of_the_captured_size_is_always_taken(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed()
    one = encoded(pressed, images[:1])
    assert len(list(Decoder(pressed, io.BytesIO(one), max_bytes=len(one)))) == 1
    larger = encoded(pressed, images[:1].repeat(1, 1, 2, 2))
    with pytest.raises(StreamError, match="a frame of 1 images needs"):
        list(Decoder(pressed, io.BytesIO(larger), any_size=True, max_bytes=len(larger)))


def test_records_that_are_too_long_are_not_read(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed()
    content = encoded(pressed, images[:64])
    with pytest.raises(StreamError, match=r"frame 0 declares [\d,]+ bytes; at most 100 are"):
        list(Decoder(pressed, io.BytesIO(content), max_bytes=100))


def test_forged_pixels_make_no_room(make_pressed: MakePressed) -> None:
    """Where any size is accepted, a small record may declare very many symbols."""
    pressed = make_pressed()
    codec = pressed.codecs["relu"]
    own = read_record(codec.compress(torch.zeros(1, 8, 4, 4))).coder
    record = write_record(own, (1, 8, 1 << 13, 1 << 13), bytes(1 << 17))
    file = io.BytesIO()
    writer = StreamWriter(file, header_of(pressed, ["relu"]))
    writer.write(Frame(1, (record,)))
    writer.close()
    file.seek(0)
    tracemalloc.start()
    needed = len(record) + 8 * (1 << 26) * (12 + 8)
    with pytest.raises(StreamError, match=f"needs {needed:,} bytes to decode"):
        list(Decoder(pressed, file, any_size=True))
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_a_tail_counts_what_it_computes_itself(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed()
    head, tail = split(pressed, "relu")
    content = head(images[:20])
    alone = 20 * 64 * (12 * 8 + 8 * 8)
    tail.max_bytes = alone + len(content)
    list(Decoder(pressed, io.BytesIO(content), max_bytes=tail.max_bytes))
    with pytest.raises(StreamError, match="a frame of 20 images needs"):
        tail(content)
    tail.max_bytes += 20 * working_bytes(tail.module)
    with torch.no_grad():
        assert tail(content).equal(pressed(images[:20]))


def test_a_second_batch_is_not_decoded_to_refuse_it(
    make_pressed: MakePressed, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed = make_pressed()
    head, tail = split(pressed, "relu")
    file = io.BytesIO()
    with Encoder(pressed, file, head.sites) as encoder:
        encoder.encode(images[:1])
        encoder.encode(images[1:2])

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(type(pressed.codecs["relu"]), "decompress", fail)
    with pytest.raises(StreamError, match="one batch at a time"):
        tail(file.getvalue())


class Wide(nn.Module):
    """Two values of 4 kB live at once with their sum: 12 kB; before and after it is less."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        return (self.b(a) + a).mean((2, 3))


def test_working_bytes_are_those_of_values_that_live_at_once() -> None:
    graph = capture(Wide().eval(), torch.zeros(2, 1, 16, 16))
    assert working_bytes(graph.eval_module) == 3 * 4 * 256 * 4


MEASURED = """
import io, resource, sys
import torch
from torch import nn
from torch.nn import functional as F
from actpress.calibration import calibrate
from actpress.errors import StreamError
from actpress.graph import capture
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import fit_tables, press
from actpress.splitting import split

torch.set_num_threads(1)
torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 4),
).eval()
images = 3 * F.avg_pool2d(torch.randn(8, 1, 68, 68), 5, 1)
graph = capture(net, images[:2])
statistics = calibrate(graph, [images], {site.name: Placement.PRE_ACT for site in graph.sites})
plan = Plan(method="t", fingerprint=graph.fingerprint, sites=tuple(
    SitePlan(site=s.name, placement=Placement.PRE_ACT, transform=Transform.PCA,
             channels=s.channels, rank=s.channels, step=0.5) for s in graph.sites))
pressed = press(graph, plan, statistics)
fit_tables(pressed, [images])
head, tail = split(pressed, graph.sites[0].name)
tail(head(images))
bound = tail.max_bytes = 96 << 20
n = 8
while True:  # the largest batch that is accepted: it grows the message by whole images
    message = head(images[:1].expand(n + 4, -1, -1, -1))
    try:
        tail(message)
    except StreamError:
        break
    n += 4
message = head(images[:1].expand(n, -1, -1, -1))
print(n, flush=True)
import os
before = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
open("/proc/self/clear_refs", "w").write("5")
tail(message)
peak = next(int(l.split()[1]) << 10 for l in open("/proc/self/status") if l.startswith("VmHWM"))
print(peak - before, bound)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_the_largest_message_that_is_taken_costs_no_more_than_the_bound() -> None:
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True
    )
    n, peak, bound = map(int, ran.stdout.split())
    assert n > 20
    assert bound / 16 < peak < 1.1 * bound
