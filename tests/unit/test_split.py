"""Split inference: both halves together are the whole, wherever it is cut."""

import io
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Client, Listener
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from actpress.calibration import calibrate
from actpress.errors import ModelError, StreamError
from actpress.graph import capture
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press
from actpress.splitting import split
from actpress.stream import Encoder

MakePressed = Callable[..., CompressedModel]


def test_the_halves_are_the_whole_at_every_site(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed(Transform.PCA, coarseness=0.5)
    with torch.no_grad():
        expected = pressed(images[:6])
    for site in pressed.codecs:
        head, tail = split(pressed, site)
        assert tail(head(images[:6])).equal(expected)


def test_a_skip_connection_is_sent_too(make_pressed: MakePressed) -> None:
    """`relu_1` is read by the next convolution and by the addition after it."""
    pressed = make_pressed()
    assert split(pressed, "relu")[0].sites == ("relu",)
    names = list(pressed.codecs)
    crossing = {site: split(pressed, site)[0].sites for site in names}
    assert any(len(sites) == 2 for sites in crossing.values())
    assert all(site in sites for site, sites in crossing.items())


def test_what_a_cut_cannot_send_is_named(make_pressed: MakePressed) -> None:
    with pytest.raises(
        ModelError, match="there is no codec at a site 'tail'; expected one of relu"
    ):
        split(make_pressed(), "tail")


class Crossed(nn.Module):
    """The codec of `a` comes first, its stored value after that of `b`; `a` is returned as well."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 1), nn.Conv2d(1, 3, 1)
        self.norm = nn.BatchNorm2d(3)
        self.c, self.d = nn.Conv2d(4, 2, 1), nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.a(x), self.norm(self.b(x))
        b = torch.relu(b)
        a = torch.relu(a)
        return a, torch.cat([self.c(a), self.d(b)], 1).mean((2, 3))


@pytest.mark.parametrize("placement", Placement)
def test_records_stay_with_their_sites_whatever_the_order(placement: Placement) -> None:
    x = torch.randn(6, 1, 4, 4)
    model = Crossed().eval()
    graph = capture(model, x)
    statistics = calibrate(graph, [x], {site.name: placement for site in graph.sites})
    sites = tuple(
        SitePlan(
            site=site.name,
            placement=placement,
            transform=Transform.PCA,
            channels=site.channels,
            rank=site.channels,
            step=0.01,
        )
        for site in graph.sites
    )
    plan = Plan(method="t", fingerprint=graph.fingerprint, sites=sites)
    pressed = press(graph, plan, statistics)
    fit_tables(pressed, [x])
    with torch.no_grad():
        expected = pressed(x)
    for site in pressed.codecs:
        try:
            head, tail = split(pressed, site)
        except ModelError:  # an early cut: the other branch still reads the input
            continue
        pressed.train()
        both = tail(head(x))
        assert pressed.network.training, "modes are put back"
        pressed.eval()
        assert all(mine.equal(theirs) for mine, theirs in zip(both, expected, strict=True))


class ReadsItsInputLate(nn.Module):
    """The input is added to a value behind every codec."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x))) * x


def test_an_input_that_is_read_after_the_cut_is_refused() -> None:
    x = torch.randn(4, 1, 4, 4)
    graph = capture(ReadsItsInputLate(), x)
    site = graph.sites[0].name
    statistics = calibrate(graph, [x], {site: Placement.PRE_ACT})
    plan = SitePlan(
        site=site,
        placement=Placement.PRE_ACT,
        transform=Transform.PCA,
        channels=2,
        rank=2,
        step=0.1,
    )
    pressed = press(
        graph, Plan(method="t", fingerprint=graph.fingerprint, sites=(plan,)), statistics
    )
    with pytest.raises(ModelError, match="would have to send the network's input"):
        split(pressed, site)


def test_halves_cut_elsewhere_do_not_fit(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed()
    first, *_, last = pressed.codecs
    data = split(pressed, first)[0](images[:2])
    with pytest.raises(StreamError, match=f"the stream holds {first}, this tail takes {last}; cut"):
        split(pressed, last)[1](data)
    with pytest.raises(StreamError, match="ends in its"):
        split(pressed, first)[1](data[:-1])


def _serve(pressed: CompressedModel, at: str, address: str, ready: object) -> None:
    """A server process: bytes in, predictions out."""
    torch.set_num_threads(1)
    tail = split(pressed, at)[1]
    with Listener(address, "AF_UNIX") as listener:
        ready.set()  # type: ignore[attr-defined]
        with listener.accept() as connection:
            while data := connection.recv_bytes():
                connection.send(tail(data).argmax(1).tolist())


def test_a_tail_takes_one_batch(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed()
    head, tail = split(pressed, "relu")
    for batches in ([], [images[:1], images[1:2]]):
        file = io.BytesIO()
        with Encoder(pressed, file, head.sites) as encoder:
            for batch in batches:
                encoder.encode(batch)
        with pytest.raises(StreamError, match="one batch at a time; the stream has none or sev"):
            tail(file.getvalue())


def test_a_tail_takes_what_it_is_told_to(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed()
    head, tail = split(pressed, "relu")
    larger = images[:3].repeat(1, 1, 2, 2)
    content = head(larger)
    with pytest.raises(StreamError, match="which any_size accepts"):
        tail(content)
    tail.any_size, tail.max_images = True, 2
    with pytest.raises(StreamError, match="declares 3 images; at most 2"):
        tail(content)
    tail.max_images = 3
    with torch.no_grad():
        assert tail(content).equal(pressed(larger))


def test_two_processes_predict_what_one_does(
    make_pressed: MakePressed, images: Tensor, tmp_path: Path
) -> None:
    pressed = make_pressed(Transform.PCA, coarseness=0.5)
    at = list(pressed.codecs)[2]
    address = str(tmp_path / "socket")
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    server = context.Process(target=_serve, args=(pressed, at, address, ready), daemon=True)
    server.start()
    assert ready.wait(20)
    head = split(pressed, at)[0]
    with Client(address, "AF_UNIX") as connection:
        for batch in (images[:5], images[5:6]):
            connection.send_bytes(head(batch))
            with torch.no_grad():
                assert connection.recv() == pressed(batch).argmax(1).tolist()
        connection.send_bytes(b"")
    server.join(60)
    assert server.exitcode == 0
