"""An integer network as data: maps that are stored, and the stages that compute them.

```
map -> reading -> line values (int8) -> operation -> accumulators (int32) -+-> rescale -> [table]
map -> reading -> line values (int8) ---------------------- addend --------'     -> [encoder] -> map
```

Maps always hold integers. With weights of float32, line values and accumulators are float32, too.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import prod

import numpy as np

from actpress.deploy.integer.arithmetic import FLOAT_BYTES, INT8_MAX, INT8_MIN, Array, Values


class Weights(StrEnum):
    """Numbers between the maps: weights, and the line values that they are multiplied by."""

    INT8 = "int8"
    FLOAT32 = "float32"


@dataclass(frozen=True)
class IntegerMap:
    """Symbols that stay in memory; what is stored of q is the code q - q_min, from 0.

    Attributes:
        name: of the site or module that it is the value of.
        channels, height, width: of the symbols; a vector has one pixel.
        q_min, q_max: range of each channel, shape (channels,).
        order: the channel or component of the codec that each is, shape (channels,); None where
            they are in its order.
    """

    name: str
    channels: int
    height: int
    width: int
    q_min: Array
    q_max: Array
    order: Array | None = None

    @property
    def bits(self) -> Array:
        """Of each channel's codes, 0 to 8, shape (channels,)."""
        return np.array([int(levels).bit_length() for levels in self.q_max - self.q_min])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.channels, self.height, self.width


@dataclass(frozen=True)
class Rescale:
    """`clip(((acc * multiplier + 2^(shift - 1)) >> shift) + offset, low, high)`, per channel.

    Attributes:
        multiplier, shift, offset, low, high: shape (c,).
    """

    multiplier: Array
    shift: Array
    offset: Array
    low: Array
    high: Array

    @property
    def least(self) -> int:
        """The least value before a table."""
        return INT8_MIN

    @property
    def channels(self) -> int:
        """Whose sums these are."""
        return len(self.multiplier)


@dataclass(frozen=True)
class FloatRescale:
    """`clip(sum * multiplier + offset, low, high)` in float32, per channel.

    Attributes:
        multiplier, offset, low, high: float32, shape (c,).
        whole: what comes out loses its fraction, and is not negative; a half is part of `offset`,
            `low` and `high`.
    """

    multiplier: Values
    offset: Values
    low: Values
    high: Values
    whole: bool

    @property
    def least(self) -> int:
        """The least value before a table."""
        return 0

    @property
    def channels(self) -> int:
        """Whose sums these are."""
        return len(self.multiplier)


AnyRescale = Rescale | FloatRescale


@dataclass(frozen=True)
class Matrix:
    """A linear map of the channels of each pixel, and the way from its accumulators to symbols.

    Attributes:
        weight: int8 or float32, shape (outputs, inputs).
        bias: int32 or float32, shape (outputs,).
        rescale: of the accumulators.
    """

    weight: Values
    bias: Values
    rescale: AnyRescale


@dataclass(frozen=True)
class Table:
    """A function of small integers: `values[start[channel] + index]`.

    Attributes:
        values: int8 or float32 line values, or uint8 codes.
        start: shape (c,); what the index counts from is said where the table is used.
    """

    values: Values
    start: Array

    def at(self, index: Array) -> Values:
        """Values at indices (..., c)."""
        found: Values = self.values[self.start + index]
        return found

    @property
    def is_one(self) -> bool:
        """All channels share one function."""
        return bool((self.start == self.start[0]).all())


@dataclass(frozen=True)
class Reading:
    """How codes of a map become the line values that an operation reads.

    Without a decoder, `table[code]`. With one, the decoder gives line values, and where there is
    a table, it is of these int8 values plus 128.

    Attributes:
        map: that is read.
        table: to line values.
        decoder: from codes to the channels of the value.
        zero: line value that stands for zero, shape (c,); what lies beyond a border has it.
    """

    map: IntegerMap
    table: Table | None
    decoder: Matrix | None
    zero: Values

    @property
    def channels(self) -> int:
        """Of the line values."""
        return len(self.zero)


@dataclass(frozen=True)
class Window:
    """Which pixels an operation combines; sizes are (height, width).

    Attributes:
        kernel, stride, dilation: of the window.
        before, after: zeros that are added around the map.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)

    def size_after(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result.

        Raises:
            ValueError: the window is larger than the padded map.
        """
        sizes = []
        for axis, size in enumerate((height, width)):
            span = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            room = size + self.before[axis] + self.after[axis] - span
            if room < 0:
                raise ValueError(f"a window of {span} pixels on a map of {size}")
            sizes.append(room // self.stride[axis] + 1)
        return sizes[0], sizes[1]


@dataclass(frozen=True)
class Convolution:
    """Products of line values and weights.

    Attributes:
        window: of the kernel.
        weight: int8 or float32, shape (outputs, inputs per group, kernel height, kernel width).
        bias: int32 or float32, shape (outputs,), what zeros of the lines are worth taken off.
        groups: of channels.
    """

    window: Window
    weight: Values
    bias: Values
    groups: int

    @property
    def is_depthwise(self) -> bool:
        """One input and one output for every group."""
        return self.groups == len(self.bias) > 1 and self.weight.shape[1] == 1

    @property
    def macs_per_pixel(self) -> int:
        """Products for one pixel of the result."""
        return prod(self.weight.shape)


@dataclass(frozen=True)
class Pool:
    """The largest line value of a window, or the sum of its line values, for each channel.

    Attributes:
        window: of the pool. What lies beyond a border never is the largest.
        largest: else the sum.
    """

    window: Window
    largest: bool


@dataclass(frozen=True)
class Addend:
    """Line values that join the accumulators: `(line - zero) * multiplier`.

    Attributes:
        reading: of as many pixels as the result.
        first: channel of the result that the first channel joins.
        multiplier: int32 or float32, shape (channels of the reading,).
    """

    reading: Reading
    first: int
    multiplier: Values


@dataclass(frozen=True)
class Stage:
    """What computes one map: `operation` of `source`, plus addends, rescaled.

    Attributes:
        name: module of the network that the arithmetic belongs to.
        source: what the operation reads; None where there are only addends.
        operation: on line values; None without a source.
        addends: that are summed up.
        rescale: of the sums. Gives codes of `target`, or values for the `table` or `encoder` that
            follows.
        table: of 256 values, from `rescale.least` on.
        encoder: from values to the codes of `target`.
        target: the map; None for the last stage, which gives logits.
    """

    name: str
    source: Reading | None
    operation: Convolution | Pool | None
    addends: tuple[Addend, ...]
    rescale: AnyRescale
    table: Table | None
    encoder: Matrix | None
    target: IntegerMap | None

    @property
    def number_bytes(self) -> int:
        """Of a line value."""
        return FLOAT_BYTES if isinstance(self.rescale, FloatRescale) else 1

    @property
    def readings(self) -> tuple[Reading, ...]:
        """All that the stage reads."""
        own = () if self.source is None else (self.source,)
        return own + tuple(addend.reading for addend in self.addends)

    @property
    def size(self) -> tuple[int, int, int]:
        """Channels before an encoder, height, width of the result."""
        channels = self.rescale.channels
        if self.source is None or self.operation is None:
            first = self.addends[0].reading.map
            return channels, first.height, first.width
        source = self.source.map
        return channels, *self.operation.window.size_after(source.height, source.width)


@dataclass(frozen=True)
class Input:
    """How an image becomes the first map: `clip(rint(x / scale) + zero, 0, 255)`.

    Attributes:
        map: of the image.
        scale: image units per step.
        zero: code of zero.
    """

    map: IntegerMap
    scale: float
    zero: int


@dataclass(frozen=True)
class IntegerNetwork:
    """Stages in order; the last one gives logits, unless maps are sent.

    Attributes:
        input: the image.
        stages: each reads maps of earlier ones.
        logit_scale: logits are the integers of the last stage times this.
        sent: names of the maps that are the output of the head of a network; there are no logits.
        weights: of all stages.
    """

    input: Input
    stages: tuple[Stage, ...]
    logit_scale: float
    sent: tuple[str, ...] = ()
    weights: Weights = Weights.INT8

    @property
    def maps(self) -> tuple[IntegerMap, ...]:
        """All that are stored, the image first."""
        return self.input.map, *(stage.target for stage in self.stages if stage.target is not None)


def int8_clip(values: Array) -> Array:
    """Into the range of a line value."""
    return np.clip(values, INT8_MIN, INT8_MAX)
