"""What carries and sees the values of one call: it belongs to the call, not to the codecs.

Several threads may run one network at once. Whatever is put on the network itself would be met by
all of them, so a call's own transports and probes are in a context variable.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from actpress.codec.site_codec import SiteCodec


class Probe(Protocol):
    """Sees what passes through a codec, without changing it."""

    def update(self, codec: "SiteCodec", x: Tensor, q: Tensor, x_hat: Tensor) -> None:
        """Called once per batch with the value, its symbols (as floats) and the reconstruction."""


class Transport(Protocol):
    """Carries symbols from the encoder to the decoder, for instance as bytes."""

    def carry(self, codec: "SiteCodec", x: Tensor, q: Tensor) -> Tensor:
        """The same symbols of x, shape (n, k, ...), as floats."""


@dataclass(frozen=True)
class _Passing:
    transports: Mapping[nn.Module, Transport] = field(default_factory=dict)
    probes: Mapping[nn.Module, tuple[Probe, ...]] = field(default_factory=dict)


_NOTHING = _Passing()
_present: ContextVar[_Passing] = ContextVar("actpress_passing", default=_NOTHING)


@contextmanager
def carried_by(transports: Mapping[Any, Transport]) -> Iterator[None]:
    """Carry symbols with these, in place of others, in the calls of this thread in the block.

    Args:
        transports: by codec.
    """
    before = _present.get()
    with _passing(_Passing({**before.transports, **transports}, before.probes)):
        yield


@contextmanager
def seen_by(probes: Mapping[Any, Probe]) -> Iterator[None]:
    """Show what passes to these, besides others, in the calls of this thread in the block.

    Args:
        probes: by codec.
    """
    before = _present.get()
    more = {codec: (*before.probes.get(codec, ()), probe) for codec, probe in probes.items()}
    with _passing(_Passing(before.transports, {**before.probes, **more})):
        yield


@contextmanager
def _passing(present: _Passing) -> Iterator[None]:
    token = _present.set(present)
    try:
        yield
    finally:
        _present.reset(token)


def transport_of(codec: "SiteCodec") -> Transport | None:
    """The call's transport for a codec, or else the codec's own."""
    if torch.compiler.is_compiling():  # what is compiled belongs to no call
        return codec.transport
    return _present.get().transports.get(codec, codec.transport)


def probes_of(codec: "SiteCodec") -> tuple[Probe, ...]:
    """The call's probes for a codec."""
    if torch.compiler.is_compiling():
        return ()
    return _present.get().probes.get(codec, ())
