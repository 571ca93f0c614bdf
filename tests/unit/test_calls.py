"""Calls of one network that run at the same time: none meets what another brought along."""

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from actpress.codec import counting
from actpress.errors import CalibrationError, StreamError
from actpress.graph import eval_mode
from actpress.pressing import CompressedModel
from actpress.splitting import split
from actpress.stream import Decoder, Encoder, through_bytes
from actpress.tune.losses import reconstruction

MakePressed = Callable[..., CompressedModel]


def encoded(pressed: CompressedModel, x: Tensor, sites: list[str] | None = None) -> bytes:
    file = io.BytesIO()
    with Encoder(pressed, file, sites) as encoder:
        encoder.encode(x)
    return file.getvalue()


@contextmanager
def halted(pressed: CompressedModel) -> Iterator[Callable[[Callable[[], object]], object]]:
    """Gives a function: it starts a call in another thread, which halts behind the first layer.

    The call goes on at the end of the block; what was returned by then holds its result after it.
    """
    inside, go_on = threading.Event(), threading.Event()
    halts: list[threading.Thread] = []

    def halt(*_: object) -> None:
        if threading.current_thread() in halts:
            halts.clear()
            inside.set()
            assert go_on.wait(30)

    hook = pressed.network.eval_module.get_submodule("a").register_forward_hook(halt)

    def start(call: Callable[[], object]) -> list[object]:
        result: list[object] = []
        thread = threading.Thread(target=lambda: result.append(call()))
        halts.append(thread)
        threads.append(thread)
        thread.start()
        assert inside.wait(30)
        return result

    threads: list[threading.Thread] = []
    try:
        yield start
    finally:
        go_on.set()
        for thread in threads:
            thread.join(30)
        hook.remove()


def test_an_encoder_beside_other_calls_writes_what_it_writes_alone(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed()
    mine, theirs = images[:3], images[3:8]
    alone, other = encoded(pressed, mine), encoded(pressed, theirs)
    with torch.no_grad():
        expected = pressed(theirs)
    head, _ = split(pressed, "relu")
    sent = head(theirs)

    with halted(pressed) as start:
        result = start(lambda: encoded(pressed, mine))
        assert encoded(pressed, theirs) == other
        with torch.no_grad():
            assert pressed(theirs).equal(expected)
        assert head(theirs) == sent
        assert not result

    assert result == [alone]
    assert all(codec.transport is None for codec in pressed.codecs.values())


def test_many_threads_give_the_bytes_of_one(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed()
    batches = images.split(16)
    alone = [encoded(pressed, batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: encoded(pressed, batch), batches * 4))
    assert together == alone * 4


def test_the_mode_is_put_back_by_the_call_that_ends_last(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed()
    alone = encoded(pressed, images[:3])
    pressed.train()
    norm = next(part for part in pressed.modules() if isinstance(part, nn.BatchNorm2d))
    norm.eval()  # frozen by its user
    modes = [part.training for part in pressed.modules()]
    assert True in modes

    with halted(pressed) as start:
        result = start(lambda: encoded(pressed, images[:3]))
        encoded(pressed, images[3:5])
        assert not pressed.network.training, "the other call still needs eval mode"

    assert result == [alone]
    assert [part.training for part in pressed.modules()] == modes


def test_the_mode_is_put_back_when_a_call_fails() -> None:
    module = nn.Sequential(nn.Dropout(), nn.Identity())
    module[1].eval()
    seen: list[bool] = []

    def fail(*_: object) -> None:
        seen.append(module[0].training)
        raise ZeroDivisionError

    module.register_forward_pre_hook(fail)
    with pytest.raises(ZeroDivisionError), eval_mode(module), eval_mode(module[0]):
        module(torch.zeros(1))
    assert seen == [False]
    assert [part.training for part in module.modules()] == [True, True, False]


def test_symbols_of_another_thread_are_not_counted(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed()

    def counted() -> tuple[dict[str, Tensor], dict[str, float]]:
        with counting(pressed.codecs) as counters, torch.no_grad():
            pressed(images[:3])
        counts = {name: counter.counts for name, counter in counters.items()}
        return counts, {name: counter.squared_error for name, counter in counters.items()}

    counts, errors = counted()
    with halted(pressed) as start:
        result = start(counted)
        with torch.no_grad():
            pressed(images[3:9])

    ((found_counts, found_errors),) = result
    assert found_errors == errors
    assert all(found_counts[name].equal(counts[name]) for name in counts)


def test_probes_in_one_another_all_see(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed()
    with reconstruction(pressed) as alone, torch.no_grad():
        pressed(images[:8])
        pressed(images[8:12])
    with counting(pressed.codecs) as plain, torch.no_grad():
        pressed(images[:8])

    with reconstruction(pressed) as outer, torch.no_grad():
        with counting(pressed.codecs) as inner:
            pressed(images[:8])
        pressed(images[8:12])

    assert outer.loss().equal(alone.loss())
    assert len(outer.terms) == 2 * len(pressed.codecs)
    for name, counter in inner.items():
        assert counter.counts.equal(plain[name].counts)


def test_transports_in_one_another_go_back_to_the_outer(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed()
    with torch.no_grad(), through_bytes(pressed) as outer:
        with through_bytes(pressed, ["relu"]) as inner:
            pressed(images[:2])
        assert not outer["relu"].record, "the inner one carried it"
        assert outer["mean"].record
        pressed(images[:2])
    assert outer["relu"].record == inner["relu"].record


def test_a_compiled_network_is_refused_where_bytes_would_be_lost(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed()
    pressed.network.eval_module.compile(backend="eager", fullgraph=True)
    with pytest.raises(StreamError, match="site relu: nothing went through bytes; give the netw"):
        encoded(pressed, images[:2])
    with (
        pytest.raises(CalibrationError, match="site relu saw no images"),
        counting(pressed.codecs),
        torch.no_grad(),
    ):
        pressed(images[:2])


def test_streams_of_threads_are_decoded_by_threads(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed()
    streams = [encoded(pressed, batch) for batch in images.split(32)]

    def values(stream: bytes) -> Tensor:
        (frame,) = Decoder(pressed, io.BytesIO(stream))
        return frame["relu"]

    alone = [values(stream) for stream in streams]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(values, streams * 3))
    assert all(mine.equal(other) for mine, other in zip(together, alone * 3, strict=True))
