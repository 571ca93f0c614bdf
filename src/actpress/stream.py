"""Streams: the activations of a pressed network as bytes, batch by batch."""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, BinaryIO, Self

import torch
from torch import Tensor, nn

from actpress.bitstream import (
    Frame,
    Header,
    StreamReader,
    StreamWriter,
    read_record,
    select,
)
from actpress.bitstream.container import FINGERPRINT_BYTES, VERSION, framing_bytes
from actpress.bitstream.numbers import write_number
from actpress.codec import SiteCodec, all_finite, carried_by
from actpress.errors import StreamError
from actpress.graph import eval_mode
from actpress.plan import Plan
from actpress.pressing import CompressedModel
from actpress.settings import MAX_IMAGES, MAX_MIB

MAX_BYTES = MAX_MIB << 20
"""That a frame may need while it is decoded, unless a `Decoder` is told otherwise."""


class Encoder:
    """Writes the activations of batches to a stream; never holds more than one batch.

    ```
    with open("out.apz", "wb") as file, Encoder(pressed, file) as encoder:
        for batch in batches:
            logits = encoder.encode(batch)
    ```

    Args:
        pressed: its tables fitted.
        file: to write to.
        sites: names of the sites to write; all of the plan by default.

    Raises:
        StreamError: a name that the plan does not have.
    """

    def __init__(
        self, pressed: CompressedModel, file: BinaryIO, sites: Sequence[str] | None = None
    ) -> None:
        self.pressed = pressed
        self.writer = StreamWriter(file, header_of(pressed, sites))
        self.sites = select(self.writer.header, list(pressed.codecs))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.writer.close()

    @torch.no_grad()
    def encode(self, *inputs: Tensor) -> Tensor:
        """Write the frame of one batch; returns the network's output.

        Raises:
            StreamError: NaN or infinite activations; names the site.
        """
        with through_bytes(self.pressed, self.sites) as transports:
            output: Tensor = run_eval(self.pressed, *inputs)
        self.writer.write(frame_of(len(inputs[0]), transports, self.sites))
        return output


class Decoder:
    """Reads a stream back, frame by frame.

    Iterating gives, per batch, the reconstruction of every site in the stream by its name, each of
    shape (n, c, ...).

    Args:
        pressed: the model that the stream was made with.
        file: at the start of the stream.
        any_size: accept activations of inputs of another size than the captured one. Only for
            streams from where you trust.
        max_images: of a frame; likely symbols take so few bits that a small one can hold very many.
        max_bytes: of memory that a frame may need: its records, symbols and values at once. One
            image of the captured size is always taken.

    Raises:
        StreamError: the stream is damaged, newer, or of another model or plan.
    """

    def __init__(
        self,
        pressed: CompressedModel,
        file: BinaryIO,
        *,
        any_size: bool = False,
        max_images: int = MAX_IMAGES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.pressed, self.any_size = pressed, any_size
        self.max_images, self.max_bytes = max_images, max_bytes
        self.reader = StreamReader(file, max_frame_bytes=max_bytes)
        header, own = self.reader.header, header_of(pressed, version=self.reader.version)
        if header.model != own.model:
            raise StreamError(
                "the stream is of another network; give the run that it was made with"
            )
        if header.codecs != own.codecs:
            raise StreamError(
                "the stream is of another plan, or of other codecs, for this network; give the run "
                "that it was made with"
            )
        self.sites = select(header, list(pressed.codecs))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for frame in self.reader:
            yield self.values(frame)

    def values(self, frame: Frame, *, working_bytes: int = 0) -> dict[str, Tensor]:
        """The reconstruction of every site of a frame of `reader`.

        Args:
            frame: undecoded.
            working_bytes: that the caller will need per image of the captured size, besides.

        Raises:
            StreamError: it is damaged, or needs more than is allowed, which is found out before
                room is made for it.
        """
        self._check_bounds(frame, working_bytes)
        values = {}
        for name, record in zip(self.sites, frame.records, strict=True):
            try:
                values[name] = self.pressed.codecs[name].decompress(record)
            except (StreamError, MemoryError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and "memory" not in str(error):
                    raise  # torch's word for short memory is a RuntimeError, too
                raise StreamError(f"site {name}: {error}") from error
        return values

    def _check_bounds(self, frame: Frame, working_bytes: int) -> None:
        if frame.images > self.max_images:
            raise StreamError(
                f"a frame declares {frame.images} images; at most {self.max_images} are accepted "
                f"here, see max_images"
            )
        codecs, shapes = self.pressed.codecs, self.pressed.network.shapes
        needed, scale = sum(map(len, frame.records)), 1.0
        for name, record in zip(self.sites, frame.records, strict=True):
            expected = codecs[name].symbol_shape(shapes[name])[1:]
            try:
                declared = _checked_shape(record, frame.images, None if self.any_size else expected)
            except StreamError as error:
                raise StreamError(f"site {name}: {error}") from error
            needed += codecs[name].decoding_bytes(declared)
            scale = max(scale, prod(declared[2:]) / prod(expected))
        needed += int(frame.images * scale * working_bytes)
        if needed > self.max_bytes and (frame.images > 1 or scale > 1):
            raise StreamError(
                f"a frame of {frame.images} images needs {needed:,} bytes to decode; at most "
                f"{self.max_bytes:,} are accepted here, see max_bytes"
            )


def _checked_shape(record: bytes, images: int, expected: tuple[int, ...] | None) -> tuple[int, ...]:
    """What a record declares, before room is made for it; None expects any pixels."""
    shape = read_record(record).shape
    declared, _, *spatial = shape
    if declared != images:
        raise StreamError(f"{declared} images in a frame of {images}")
    if expected is not None and tuple(spatial) != expected:
        raise StreamError(
            f"the record has {_times(spatial)} positions, the site {_times(expected)}: it is "
            f"damaged, or of inputs of another size, which any_size accepts"
        )
    return shape


def _times(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes)) or "no"


@dataclass
class ByteTransport:
    """Carries symbols as a record, and keeps the last one.

    Attributes:
        site: for messages.
        record: of the last batch.
        total_bytes: of all batches, each with its length in the frame.
    """

    site: str
    record: bytes = b""
    total_bytes: int = field(default=0)

    def carry(self, codec: SiteCodec, x: Tensor, q: Tensor) -> Tensor:
        """To bytes and back, in the layout of q: the network goes on in the one it computes in."""
        if not all_finite(x):
            raise StreamError(
                f"site {self.site}: NaN or infinite values cannot be compressed; check the input"
            )
        self.record = codec.write_symbols(q)
        self.total_bytes += len(write_number(len(self.record))) + len(self.record)
        return codec.read_symbols(self.record, q)


@contextmanager
def through_bytes(
    pressed: CompressedModel, sites: Iterable[str] | None = None
) -> Iterator[Mapping[str, ByteTransport]]:
    """Send sites (all by default) through real bytes, in this thread while the block runs.

    Raises:
        StreamError: nothing came by at a site, as in a network that was compiled.
    """
    codecs = pressed.codecs
    transports = {name: ByteTransport(name) for name in (codecs if sites is None else sites)}
    with carried_by({codecs[name]: transport for name, transport in transports.items()}):
        yield transports
    for transport in transports.values():
        if not transport.record:
            raise StreamError(
                f"site {transport.site}: nothing went through bytes; give the network as it was "
                f"before torch.compile"
            )


def frame_of(images: int, transports: Mapping[str, ByteTransport], sites: Iterable[str]) -> Frame:
    """The frame of the batch that the transports carried last."""
    return Frame(images, tuple(transports[name].record for name in sites))


def stream_bytes(
    pressed: CompressedModel, transports: Mapping[str, ByteTransport], *, frames: int
) -> int:
    """Length of the stream of everything that the transports carried, in so many frames."""
    head = len(header_of(pressed, list(transports)).to_bytes())
    return head + framing_bytes(frames) + sum(t.total_bytes for t in transports.values())


def header_of(
    pressed: CompressedModel, sites: Sequence[str] | None = None, *, version: int = VERSION
) -> Header:
    """The header of a stream of a pressed model, as a version of the format has it.

    Raises:
        StreamError: a name that the plan does not have, or none.
    """
    names = list(pressed.codecs)
    wanted = names if sites is None else list(sites)
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        raise StreamError(
            f"the plan has no site {', '.join(unknown) or '(none was named)'}; it has "
            f"{', '.join(names)}"
        )
    positions = tuple(sorted({names.index(name) for name in wanted}))
    model = bytes.fromhex(pressed.plan.fingerprint)[:FINGERPRINT_BYTES]
    return Header(model, fingerprint(pressed, version=version), positions)


def fingerprint(pressed: CompressedModel, *, version: int = VERSION) -> bytes:
    """16 bytes that change with plan, projections, steps, ranges or tables of any site."""
    return pressed.whole or fingerprint_of(pressed.plan, pressed.codecs, version=version)


def fingerprint_of(plan: Plan, codecs: Mapping[str, SiteCodec], *, version: int = VERSION) -> bytes:
    """The same of a plan and some of its codecs, in the plan's order.

    The frequencies that the coder scaled from the counts are covered too: a machine whose logarithm
    rounds otherwise could scale them otherwise, and would decode other symbols.
    """
    digest = hashlib.sha256(plan.to_json().encode())
    for name, codec in codecs.items():
        digest.update(name.encode())
        for key, tensor in codec.state_dict().items():
            if key != "rate_scale":  # it only steers training
                digest.update(f"{key}{tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        digest.update(_coding(codec, version))
    return digest.digest()[:FINGERPRINT_BYTES]


def _coding(codec: SiteCodec, version: int) -> bytes:
    """What is coded with; nothing for a site that cannot be coded, as when it is only packed."""
    try:
        tables = codec.coder().tables
    except StreamError:
        return b""
    frequencies = tables.frequencies.astype("<u2").tobytes()
    if version == 1:
        return frequencies
    names = codec.table_of.cpu().numpy()
    return frequencies + struct.pack("<i", tables.q_min[0]) + names.tobytes()


def run_eval(module: nn.Module, *inputs: Tensor) -> Any:
    """The output in eval mode; the mode of every submodule is restored."""
    with eval_mode(module):
        return module(*inputs)
