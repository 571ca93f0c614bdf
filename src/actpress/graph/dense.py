"""The form of a dense layer, and what becomes of it when it takes in a codec's matrix."""

from dataclasses import dataclass, replace
from math import prod

Sides = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class DenseLayer:
    """A convolution or linear layer with the sizes that it has in one network.

    Attributes:
        path: of the module.
        inputs, outputs: channels; outputs before `shuffle`.
        kernel, stride, dilation: by spatial axis; empty for a linear layer.
        padding: before and after, by spatial axis.
        in_size, out_size: pixels by spatial axis; `out_size` before `shuffle`.
        zero_padded: whether pixels of zeros are read, the layer's own or those of a layer before.
        padded_before: whether a layer before pads or crops what is stored.
        zeros: whether the layer's own padding, if any, is of zeros.
        groups: of channels that do not mix.
        transposed: a transposed convolution.
        shuffle: side of the blocks into which groups of outputs are put together afterwards, as
            `nn.PixelShuffle` does.
    """

    path: str
    inputs: int
    outputs: int
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    padding: Sides = ()
    in_size: tuple[int, ...] = ()
    out_size: tuple[int, ...] = ()
    zero_padded: bool = False
    padded_before: bool = False
    zeros: bool = True
    groups: int = 1
    transposed: bool = False
    shuffle: int = 1

    @property
    def weights(self) -> int:
        """Without biases."""
        return self.inputs * self.outputs // self.groups * prod(self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        return self.weights * prod(self.in_size if self.transposed else self.out_size)

    def with_encoder(self, rank: int, block: int) -> "DenseLayer | None":
        """Giving so many components per block in place of its output; None where it cannot.

        Blocks make one convolution of larger kernel and stride of the two.
        """
        if self.groups > 1:
            return None
        if block == 1:
            return replace(self, outputs=rank * self.shuffle**2)
        if block < self.shuffle and not self.shuffle % block:
            side = self.shuffle // block
            return replace(self, outputs=rank * side**2, shuffle=side)
        if block % self.shuffle:
            return None
        if block == self.shuffle:
            return replace(self, outputs=rank, shuffle=1)
        return self._strided(rank, block // self.shuffle)

    def _strided(self, rank: int, side: int) -> "DenseLayer | None":
        """Giving components of blocks of so many pixels, as they are before they are shuffled."""
        whole = not any(size % side for size in self.out_size)
        if len(self.kernel) != 2 or self.transposed or not whole or not self.zeros:
            return None
        spans = zip(self.kernel, self.dilation, self.stride, strict=True)
        return replace(
            self,
            outputs=rank,
            kernel=tuple((k - 1) * d + 1 + s * (side - 1) for k, d, s in spans),
            dilation=(1, 1),
            stride=tuple(s * side for s in self.stride),
            out_size=tuple(size // side for size in self.out_size),
            shuffle=1,
        )

    def with_decoder(self, rank: int, block: int, *, offset: bool) -> "DenseLayer | None":
        """Reading so many components per block in place of its input; None where it cannot.

        A decoder's offset must not reach pixels of padding, which decode to zero: there the layer
        reads one channel more, of ones. Without padding its bias takes the offset in.
        """
        if self.groups > 1:
            return None
        one = 1 if offset and self._sees_edges() else 0
        if block == 1:
            return replace(self, inputs=rank + one)
        taps = self._block_taps(block)
        if taps is None:
            return None
        kernel, padding, out_size, phases = taps
        return replace(
            self,
            inputs=rank + one,
            outputs=self.outputs * phases**2,
            kernel=kernel,
            stride=(1, 1),
            dilation=(1, 1),
            padding=padding,
            in_size=tuple(size // block for size in self.in_size),
            out_size=out_size,
            shuffle=phases,
        )

    def _sees_edges(self) -> bool:
        """Whether what a constant input gives depends on the place."""
        spread = self.transposed and any(size != 1 for size in (*self.kernel, *self.stride))
        return self.zero_padded or spread

    def _block_taps(self, block: int) -> tuple[tuple[int, ...], Sides, tuple[int, ...], int] | None:
        """Kernel, padding, size and phases of the convolution that reads blocks of pixels.

        Output pixel block * o + phase * s + tap lies in block o + floor((phase * s + tap) / block).
        """
        own = self.zeros and not self.padded_before
        square = len(self.kernel) == 2 and len(set(self.stride)) == 1
        if self.transposed or not own or not square or block % self.stride[0]:
            return None
        phases = block // self.stride[0]
        if any(size % block for size in self.in_size):
            return None
        if any(size % phases for size in self.out_size):
            return None
        kernel, padding, out_size = [], [], []
        for axis, (before, _) in enumerate(self.padding):
            reach = (self.kernel[axis] - 1) * self.dilation[axis]
            first = -before // block
            last = (self.stride[axis] * (phases - 1) + reach - before) // block
            outputs, inputs = self.out_size[axis] // phases, self.in_size[axis] // block
            kernel.append(last - first + 1)
            padding.append((-first, outputs - inputs + last))
            out_size.append(outputs)
        return tuple(kernel), tuple(padding), tuple(out_size), phases


@dataclass(frozen=True)
class Neighbours:
    """The dense layers about one stored value.

    Attributes:
        writer: whose output becomes the value, up to operations on single channels.
        affine: whether these operations are affine maps.
        readers: which read the value as it is.
        others: whether anything else reads it, the network's output included.
    """

    writer: DenseLayer | None = None
    affine: bool = False
    readers: tuple[DenseLayer, ...] = ()
    others: bool = True

    @property
    def encoder_path(self) -> str | None:
        """Of the layer that can take in an encoder that mixes channels."""
        mixes = self.writer is not None and self.affine and self.writer.groups == 1
        return self.writer.path if self.writer is not None and mixes else None

    @property
    def decoder_paths(self) -> tuple[str, ...]:
        """Of the layers that can take in a decoder that mixes channels."""
        return tuple(layer.path for layer in self.readers if layer.groups == 1)


NO_NEIGHBOURS = Neighbours()
