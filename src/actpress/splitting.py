"""Split inference: a head that emits bytes, a tail that takes them."""

import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from actpress.bitstream import Frame, StreamWriter, read_record, select
from actpress.errors import StreamError
from actpress.graph import split_network, working_bytes
from actpress.pressing import CompressedModel
from actpress.settings import MAX_IMAGES
from actpress.stream import MAX_BYTES, Decoder, header_of, run_eval


class Head:
    """The network up to a site, as it runs on the device.

    Attributes:
        sites: whose values are sent.
        module: the computing part, an ordinary module.
    """

    def __init__(
        self, pressed: CompressedModel, module: fx.GraphModule, sites: tuple[str, ...]
    ) -> None:
        self.pressed, self.module, self.sites = pressed, module, sites
        self.header = header_of(pressed, sites)

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> bytes:
        """One batch as a stream of one frame.

        Raises:
            StreamError: NaN or infinite activations.
        """
        values = dict(zip(self.sites, run_eval(self.module, *inputs), strict=True))
        codecs = self.pressed.codecs
        return self._stream({name: codecs[name].compress(values[name]) for name in self.sites})

    def from_symbols(self, symbols: Mapping[str, Tensor]) -> bytes:
        """A batch whose symbols were computed elsewhere, as a stream of one frame.

        Args:
            symbols: of every site, shape (n, k, ...), int32.
        """
        codecs = self.pressed.codecs
        return self._stream(
            {name: codecs[name].write_symbols(symbols[name]) for name in self.sites}
        )

    def _stream(self, records: Mapping[str, bytes]) -> bytes:
        order = select(self.header, list(self.pressed.codecs))
        images = read_record(records[order[0]]).shape[0]
        file = io.BytesIO()
        writer = StreamWriter(file, self.header)
        writer.write(Frame(images, tuple(records[name] for name in order)))
        writer.close()
        return file.getvalue()


class Tail:
    """The network after a site, as it runs on the server.

    Attributes:
        sites: whose values are received.
        module: the computing part, an ordinary module.
        any_size, max_images, max_bytes: of what is accepted, see `Decoder`; may be set. What the
            tail itself computes is counted among the bytes.
    """

    any_size = False
    max_images, max_bytes = MAX_IMAGES, MAX_BYTES

    def __init__(
        self, pressed: CompressedModel, module: fx.GraphModule, sites: tuple[str, ...]
    ) -> None:
        self.pressed, self.module, self.sites = pressed, module, sites
        self._working_bytes = working_bytes(module)

    @torch.no_grad()
    def __call__(self, data: bytes) -> Any:
        """What the whole network returns for the batch.

        Raises:
            StreamError: damaged, of another model or plan, cut at another site, or larger than is
                accepted.
        """
        decoder = Decoder(
            self.pressed,
            io.BytesIO(data),
            any_size=self.any_size,
            max_images=self.max_images,
            max_bytes=self.max_bytes,
        )
        if set(decoder.sites) != set(self.sites):
            raise StreamError(
                f"the stream holds {', '.join(decoder.sites)}, this tail takes "
                f"{', '.join(self.sites)}; cut head and tail at the same site"
            )
        frames = iter(decoder.reader)
        first = next(frames, None)
        if first is None or next(frames, None) is not None:
            raise StreamError("a tail takes one batch at a time; the stream has none or several")
        values = decoder.values(first, working_bytes=self._working_bytes)
        return run_eval(self.module, *(values[name] for name in self.sites))


def split(pressed: CompressedModel, at: str) -> tuple[Head, Tail]:
    """Cut a pressed network in two right after a site.

    For one input `tail(head(x))` equals `pressed(x)` in eval mode.

    Args:
        pressed: its tables fitted; both halves share its modules.
        at: name of a site of its plan.

    Raises:
        ModelError: the plan has no such site, or the tail would need the network's input.
    """
    halves = split_network(pressed.network, at)
    return (
        Head(pressed, halves.head, halves.sites),
        Tail(pressed, halves.tail, halves.sites),
    )
