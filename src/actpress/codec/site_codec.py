"""`SiteCodec`: projection, quantizer and code tables of one site, put together."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from actpress.bitstream import ContextCoder, RansCoder, read_record, write_record
from actpress.codec.entropy import NetworkTables, laplace_entropy_bits
from actpress.codec.passing import Transport, probes_of, transport_of
from actpress.codec.precision import in_float32
from actpress.codec.projection import (
    LinearProjection,
    Projection,
    per_component,
    pixel_by_pixel,
)
from actpress.codec.ranges import Quantizers, index_bits, on_grid, packed_ranges, widths_of
from actpress.codec.training_pass import pass_in_training, trains_compiled
from actpress.codec.transform import unfolded_bits
from actpress.errors import StreamError
from actpress.kernels import as_planes, quantize

RANS, RANS_IN_CONTEXT = 1, 2
"""Numbers of the coders in a record, see bitstream/FORMAT.md."""


class CodecOutput(NamedTuple):
    """What a codec gives in the network: the value to go on with, and what it cost.

    Attributes:
        x_hat: same shape as x.
        rate_bits: bits per inference under the smooth rate model, scalar, differentiable.
    """

    x_hat: Tensor
    rate_bits: Tensor


class SiteCodec(nn.Module):
    """Compresses one value of the network on its way from its writer to its readers.

    ```
      x -> [ projection.encode ] -> round, clamp -> q -> [ projection.decode ] -> x_hat
    (n,c,..)     1 / step                        (n,k,..)        step            (n,c,..)
                                                    |
                           static tables per component and context: code length of q
    ```

    With a projection of blocks of b x b pixels, k components stand for each block of c * b^2
    values, and q has h / b and w / b of them.

    Three faces: `forward` gives x_hat and differentiable bits; `encode` / `decode` convert between
    x and integer symbols; `compress` / `decompress` between x and bytes. In eval mode and on one
    machine, `decompress(compress(x))` equals `forward(x).x_hat` bit for bit, but for what is
    computed `in_training`.

    Gradients pass the rounding straight through and stop at the clamp; that of a step is then LSQ's
    (Esser et al. 2020, arXiv 1902.08153, equation 3).

    Args:
        projection: between channels and components.
        step: quantization step of each component, shape (k,), in activation units; a parameter,
            frozen until a method trains it. Rounded to what is stored (`on_grid`).
        q_min, q_max: widest symbol range of each component, shape (k,), which the plan's bit-width
            allows; `narrow` makes it what calibration saw, `widen` undoes that.
        alike: whether all components have one range, as a site without a transform has.
        pinned: whether the step is to stay as it is, whatever is searched or trained.

    Attributes:
        transport: carries the symbols of every call that brings none of its own (`carried_by`).
    """

    q_min: Tensor
    q_max: Tensor
    class_of: Tensor
    rate_scale: Tensor
    widest_min: Tensor
    widest_max: Tensor

    def __init__(
        self,
        projection: Projection,
        step: Tensor,
        q_min: Tensor,
        q_max: Tensor,
        *,
        alike: bool = False,
        pinned: bool = False,
    ) -> None:
        super().__init__()
        self.pinned = pinned
        self.projection = cast(Any, projection)
        self.alike = alike
        self.step = nn.Parameter(on_grid(step.float()), requires_grad=False)
        self.register_buffer("q_min", q_min.int())
        self.register_buffer("q_max", q_max.int())
        self.register_buffer("class_of", torch.zeros(len(step), dtype=torch.uint8))
        self.tables: NetworkTables | None = None
        self._coder: RansCoder | ContextCoder | None = None
        self.register_buffer("rate_scale", torch.ones(()))
        self.register_buffer("widest_min", self.q_min.clone(), persistent=False)
        self.register_buffer("widest_max", self.q_max.clone(), persistent=False)
        self.transport: Transport | None = None

    @property
    def rank(self) -> int:
        """Components kept, k."""
        return len(self.step)

    @property
    def block(self) -> int:
        """Side of the blocks of pixels that are projected together."""
        return int(self.projection.block)

    def symbol_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape (k, ...) of the symbols of a value of shape (c, ...)."""
        return self.rank, *(size // self.block for size in shape[1:])

    def decoding_bytes(self, shape: Sequence[int]) -> int:
        """What decoding symbols of a shape (n, k, ...) takes at most, result included.

        Symbols stand there as integers, as floats and in the layout of convolutions, values once
        and once more where blocks are put together.
        """
        images, _, *spatial = shape
        values: int = images * self.projection.channels * self.block**2 * prod(spatial)
        return 4 * (3 * prod(shape) + 2 * values)

    @property
    def has_tables(self) -> bool:
        """Whether `set_tables` has been called."""
        return self.tables is not None

    @property
    def table_of(self) -> Tensor:
        """Code table of each component in each context, shape (k, contexts), uint8."""
        return self._tables().table_of.to(self.class_of.device)[self.class_of.long()]

    @in_float32
    def forward(self, x: Tensor) -> CodecOutput:
        """Compress and decompress x, shape (n, c, ...)."""
        transport = transport_of(self)
        if transport is None and trains_compiled(self.projection, x, self.step):
            return self._forward_in_training(x)
        z = self.projection.encode(x, self.step)
        if torch.is_grad_enabled() and z.numel():
            q, mean_abs = quantize(z, self.q_min, self.q_max)
            rate_bits = self._rate_bits(mean_abs, z[0, 0].numel())
        else:
            if isinstance(self.projection, LinearProjection):  # decoding takes them so
                z = pixel_by_pixel(z)
            q, rate_bits = self._symbols(z), self.rate_scale * 0
        if transport is not None:
            q = transport.carry(self, x, q)
        x_hat = self.projection.decode(q, self.step)
        for probe in probes_of(self):
            probe.update(self, x, q, x_hat)
        return CodecOutput(x_hat, rate_bits)

    def _forward_in_training(self, x: Tensor) -> CodecOutput:
        """The same for a linear projection, on the CPU, with gradients."""
        passed = pass_in_training(x, self.projection, self.step, self.q_min, self.q_max)
        for probe in probes_of(self):
            q = (passed.y_hat / per_component(self.step.detach(), x)).round()
            probe.update(self, x, q, passed.x_hat)
        pixels = passed.y_hat[0, 0].numel()
        return CodecOutput(passed.x_hat, self._rate_bits(passed.mean_abs, pixels))

    @in_float32
    def encode(self, x: Tensor) -> Tensor:
        """The integer symbols of x, shape (n, k, ...), int32."""
        return self._symbols(self.projection.encode(x, self.step)).int()

    @in_float32
    def decode(self, q: Tensor) -> Tensor:
        """The reconstruction of integer symbols; equals `forward(x).x_hat` for `encode(x)`."""
        return cast(Tensor, self.projection.decode(q.to(self.step.dtype), self.step))

    def compress(self, x: Tensor) -> bytes:
        """One record with the symbols of x, shape (n, c, ...), entropy-coded.

        Raises:
            StreamError: NaN or infinite values, images without pixels, or no tables yet.
        """
        if len(x) and not prod(x.shape[2:]):
            raise StreamError(f"values of shape {tuple(x.shape)} have no pixels to compress")
        if not all_finite(x):
            raise StreamError("NaN or infinite values cannot be compressed; check the input")
        return self.write_symbols(self.encode(x))

    def decompress(self, data: bytes | memoryview) -> Tensor:
        """The reconstruction of what `compress` was given, shape (n, c, ...).

        Raises:
            StreamError: the record is damaged, or of another site or plan.
        """
        return self.decode(self.read_symbols(data))

    def write_symbols(self, q: Tensor) -> bytes:
        """One record with symbols, shape (n, k, ...), int32 or whole numbers in float32.

        They are read as they lie in memory; the record is that of their values.
        """
        coder = self.coder()
        payload = coder.encode(as_planes(q.detach()).cpu().numpy())
        number = RANS if isinstance(coder, RansCoder) else RANS_IN_CONTEXT
        return write_record(number, tuple(q.shape), payload)

    def read_symbols(self, data: bytes | memoryview, like: Tensor | None = None) -> Tensor:
        """The symbols of a record, shape (n, k, ...), int32, on the codec's device.

        Args:
            data: the record.
            like: symbols of the same shape; the type and memory layout of the result are theirs.

        Raises:
            StreamError: the record is damaged, or of another site, plan or shape.
        """
        record, coder = read_record(data), self.coder()
        n, k, *spatial = record.shape
        number = RANS if isinstance(coder, RansCoder) else RANS_IN_CONTEXT
        if record.coder != number:
            raise StreamError(f"the record is of coder {record.coder}; this codec reads {number}")
        if k != self.rank:
            raise StreamError(
                f"the record has {k} components, this codec {self.rank}: it is of another site or "
                f"plan"
            )
        if self.block > 1 and len(spatial) != 2:
            raise StreamError(
                f"the record has {len(spatial)} spatial axes; blocks of pixels have 2"
            )
        if n and not prod(spatial):
            raise StreamError(f"the record has an empty shape {record.shape}; it is damaged")
        *above, width = spatial or (1,)
        shape = n, k, prod(above), width
        if like is None:
            planes = coder.decode(record.payload, shape)
            return torch.from_numpy(planes).reshape(record.shape).to(self.step.device)
        if record.shape != like.shape:
            raise StreamError(f"the record is of shape {record.shape}, expected {like.shape}")
        room = torch.empty_like(like, device="cpu")
        in_place = readable_in_place(room)
        planes = coder.decode(record.payload, shape, as_planes(room).numpy() if in_place else None)
        if not in_place:
            room.copy_(torch.from_numpy(planes).reshape(record.shape))
        return room.to(like.device)

    def coder(self) -> "RansCoder | ContextCoder":
        """The entropy coder of the present tables, built on first use.

        Raises:
            StreamError: no tables yet, or components that have too many levels together.
        """
        if self._coder is None:
            tables, table_of = self._tables().coder_tables, self.table_of.cpu().numpy()
            alone = table_of.shape[1] == 1
            self._coder = (
                RansCoder(tables, table_of[:, 0]) if alone else ContextCoder(tables, table_of)
            )
        return self._coder

    def set_tables(self, tables: NetworkTables, class_of: Tensor) -> None:
        """Code symbols with tables that the network shares.

        Args:
            tables: of the network.
            class_of: class of each component, shape (k,).
        """
        self._coder = None
        self.tables = tables
        self.class_of = class_of.to(self.step.device, torch.uint8)

    def clear_tables(self) -> None:
        """Forget the tables, not the ranges."""
        self._coder, self.tables = None, None
        self.class_of = torch.zeros_like(self.class_of)

    def narrow(self, q_min: Tensor, q_max: Tensor) -> None:
        """Make the ranges the narrowest of whole bit-widths that hold these, each shape (k,)."""
        low, high = packed_ranges(q_min, q_max, alike=self.alike)
        self.q_min, self.q_max = low.to(self.step.device), high.to(self.step.device)

    def widen(self) -> None:
        """Forget the tables and allow the widest symbol ranges, as before `narrow`."""
        self.clear_tables()
        self.q_min, self.q_max = self.widest_min.clone(), self.widest_max.clone()

    @torch.no_grad()
    def round_to_stored(self) -> None:
        """Round all that training moved to what is stored."""
        self.step.copy_(on_grid(self.step))
        if hasattr(self.projection, "round_to_stored"):
            self.projection.round_to_stored()

    def symbol_range(self) -> tuple[int, int]:
        """Least and largest symbol that any component may have."""
        return int(self.q_min.min()), int(self.q_max.max())

    def code_lengths_bits(self) -> Tensor:
        """Ideal code length of every symbol, shape (k, contexts, levels), float64.

        The levels are those of `symbol_range`.
        """
        tables, (low, high) = self._tables(), self.symbol_range()
        lengths = tables.code_lengths_bits()[:, low - tables.lowest : high - tables.lowest + 1]
        return lengths.to(self.step.device)[self.table_of.long()]

    def fixed_bits(self) -> Tensor:
        """Bits of plain packing per symbol of each component, shape (k,), int64."""
        return widths_of(self.q_min, self.q_max)

    def quantizers(self) -> Quantizers:
        """Steps and ranges as they are stored."""
        return Quantizers.of(self.step.detach(), self.q_min, self.q_max)

    def parameter_bits(self, *, encoder: bool = True, decoder: bool = True) -> int:
        """What must be fetched to run the codec under any view: projection and quantizers.

        Args:
            encoder: whether the encoder stays, and is not part of the layer before.
            decoder: whether the decoder stays, and is not part of the layers after.
        """
        mean_bits, offset_bits = self.projection.constant_bits()
        matrices = unfolded_bits(
            self.projection.size(),
            self.projection.number_bits,
            mean_bits=mean_bits,
            offset_bits=offset_bits,
            encoder=encoder,
            decoder=decoder,
        )
        return matrices + self.quantizers().bits()

    def class_bits(self) -> int:
        """What the entropy view needs besides, to say which class each component is of."""
        return index_bits(self.rank, len(self._tables().table_of))

    def _tables(self) -> NetworkTables:
        if self.tables is None:
            raise StreamError("the codec has no code tables yet; call fit_tables first")
        return self.tables

    def _symbols(self, z: Tensor) -> Tensor:
        """Symbols in place of components, shape (n, k, ...), which nothing else has."""
        low, high = per_component(self.q_min, z), per_component(self.q_max, z)
        return z.detach().round_().clamp_(low, high)

    def _rate_bits(self, mean_abs: Tensor, symbols_per_component: int) -> Tensor:
        bits = laplace_entropy_bits(mean_abs).sum()
        return self.rate_scale * symbols_per_component * bits


def readable_in_place(q: Tensor) -> bool:
    """Whether coders can fill symbols, shape (n, k, ...), where they are."""
    known = q.dtype in {torch.int32, torch.float32}
    by_pixel = q.ndim == 4 and q.is_contiguous(memory_format=torch.channels_last)
    return known and (q.is_contiguous() or by_pixel)


def all_finite(x: Tensor) -> bool:
    """Whether there is neither NaN nor infinity; allocates nothing.

    A sum is the fastest pass, and finite only if all values are; huge ones can overflow it.
    """
    if not x.numel() or bool(torch.isfinite(x.sum())):
        return True
    return bool(torch.isfinite(torch.stack(torch.aminmax(x))).all())
