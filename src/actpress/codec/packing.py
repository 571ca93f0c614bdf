"""Plain packing of a codec's symbols: the bytes that the `fixed` view counts."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from actpress.codec.site_codec import SiteCodec
from actpress.kernels import bit_widths_of, packed_bytes, quantize_pack, unpack_dequantize


@dataclass(frozen=True)
class Packing:
    """Packs the symbols of a codec into the fewest bits of fixed width, each component its own.

    As a codec's `transport` it carries every value through these bytes inside the network. It is
    made of torch operators with static sizes, so the network still compiles and exports.

    ```
    codec.transport = Packing.of(codec)
    ```

    Attributes:
        ones: unit steps, as projections give components in units of their step; shape (k,).
        q_min: lowest symbol of each component, shape (k,), int32.
        q_max: highest symbol of each component, shape (k,), int32.
        bit_widths: of each component, 0 to 8.
    """

    ones: Tensor
    q_min: Tensor
    q_max: Tensor
    bit_widths: tuple[int, ...]

    @classmethod
    def of(cls, codec: SiteCodec) -> Self:
        """The packing of a codec's present ranges.

        Raises:
            StreamError: a component has more than 256 symbols.
        """
        q_min, q_max = codec.q_min.clone(), codec.q_max.clone()
        return cls(codec.step.new_ones(codec.rank), q_min, q_max, bit_widths_of(q_min, q_max))

    def bytes_per_image(self, positions: int) -> int:
        """Size of the packed symbols of one image of so many positions per component."""
        return packed_bytes(self.bit_widths, positions)

    def pack(self, q: Tensor) -> Tensor:
        """Symbols, shape (n, k, ...), float32 -> bytes, shape (n, bytes), uint8."""
        return quantize_pack(q, self.ones, self.q_min, self.q_max, self.bit_widths)

    def unpack(self, packed: Tensor, spatial: tuple[int, ...]) -> Tensor:
        """The symbols again, shape (n, k, *spatial), float32.

        Raises:
            StreamError: another number of bytes than these axes need.
        """
        return unpack_dequantize(packed, self.ones, self.q_min, self.bit_widths, spatial)

    def carry(self, codec: SiteCodec, x: Tensor, q: Tensor) -> Tensor:
        """To bytes and back."""
        return self.unpack(self.pack(q), tuple(q.shape[2:]))
