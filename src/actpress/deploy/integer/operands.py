"""Values while a network is converted: stored already, or still on their way to a map."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from actpress.deploy.affine import AffineCodec
from actpress.deploy.integer.activations import Activation
from actpress.deploy.integer.arithmetic import Array, RealArray
from actpress.deploy.integer.network import IntegerMap, Window

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Stored:
    """A value that is read from a map.

    Attributes:
        map: of its symbols.
        shape: channels, height, width, without padding.
        step: value of a symbol, shape (c,); None where a projection decodes it.
        affine: the projection.
        decoded: least and greatest value that the projection gives.
        activations: that readers apply.
        before, after: zeros around it, (height, width).
        flat: whether it is a vector by now, of all its pixels.
    """

    map: IntegerMap
    shape: tuple[int, int, int]
    step: RealArray | None
    affine: AffineCodec | None = None
    decoded: Bounds = (0.0, 0.0)
    activations: tuple[Activation, ...] = ()
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    flat: bool = False

    @property
    def is_padded(self) -> bool:
        """Zeros were put around it."""
        return any(self.before + self.after)

    @property
    def is_rearranged(self) -> bool:
        """Its pixels are no longer those of its map."""
        return self.is_padded or (self.flat and self.map.height * self.map.width > 1)


@dataclass(frozen=True)
class Part:
    """A stored value that joins a sum.

    Attributes:
        value: what joins.
        first: channel of the sum that its first channel joins.
    """

    value: Stored
    first: int = 0


@dataclass(frozen=True)
class Linear:
    """A convolution in floating point, on a stored value.

    Attributes:
        source: what it reads.
        weight: shape (outputs, inputs per group, kernel height, kernel width).
        bias: shape (outputs,).
        window: of the kernel.
        groups: of channels.
    """

    source: Stored
    weight: RealArray
    bias: RealArray
    window: Window
    groups: int

    @property
    def channels_read(self) -> Array:
        """Channels of the source that each output reads, shape (outputs, inputs per group)."""
        outputs, inputs = self.weight.shape[:2]
        group = np.arange(outputs) // (outputs // self.groups)
        channels: Array = group[:, None] * inputs + np.arange(inputs)
        return channels

    def scaled(self, factor: RealArray, constant: RealArray) -> "Linear":
        """Followed by a factor and a constant per output."""
        weight = self.weight * factor.reshape(-1, 1, 1, 1)
        return replace(self, weight=weight, bias=self.bias * factor + constant)


@dataclass(frozen=True)
class Pooling:
    """A pool of a stored value.

    Attributes:
        source: what it reads.
        window: of the pool.
        divisor: of the sum; None for the largest value.
    """

    source: Stored
    window: Window
    divisor: int | None


@dataclass(frozen=True)
class Computed:
    """A value that no map holds yet: an operation, a sum, activations.

    Attributes:
        name: module of the arithmetic.
        shape: channels, height, width.
        operation: what is summed up first; None for a sum of parts alone.
        parts: that join.
        activations: of the sum.
        node: name of the node whose value is the sum, before activations.
        flat: whether it is a vector by now.
    """

    name: str
    shape: tuple[int, int, int]
    operation: Linear | Pooling | None
    node: str
    parts: tuple[Part, ...] = ()
    activations: tuple[Activation, ...] = ()
    flat: bool = False


Value = Stored | Computed


def sum_of(name: str, node: str, shape: tuple[int, int, int], parts: Sequence[Part]) -> Computed:
    """A sum of stored values alone."""
    return Computed(name, shape, None, node, tuple(parts))
