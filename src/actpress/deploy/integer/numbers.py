"""What a kind of numbers decides when a stage is made: lines, weights, rescaling, encoders."""

from dataclasses import dataclass
from typing import Protocol

from actpress.deploy.affine import AffineCodec
from actpress.deploy.integer.arithmetic import Array, RealArray
from actpress.deploy.integer.network import (
    Addend,
    AnyRescale,
    Convolution,
    IntegerMap,
    Matrix,
    Pool,
    Reading,
    Table,
    Weights,
)
from actpress.deploy.integer.operands import Bounds, Computed, Linear, Stored


@dataclass(frozen=True)
class Target:
    """A map that is to be stored, and what its symbols mean.

    Attributes:
        map: of the symbols.
        step: value of a symbol, shape (c,); None where a projection encodes the value.
        affine: the projection.
    """

    map: IntegerMap
    step: RealArray | None
    affine: AffineCodec | None = None


@dataclass(frozen=True)
class Line:
    """Line values and what they mean: `(line - zero) * scale`.

    Attributes:
        reading: of a map.
        scale: shape (c,).
    """

    reading: Reading
    scale: RealArray


@dataclass(frozen=True)
class Sum:
    """Accumulators and what joins them.

    Attributes:
        source, operation: of the accumulators, as of a stage.
        scale: what one of an accumulator is worth, shape (c,).
        addends: lines, and the channel of the sum that the first channel of each joins.
    """

    source: Reading | None
    operation: Convolution | Pool | None
    scale: RealArray
    addends: tuple[tuple[Line, int], ...]


@dataclass(frozen=True)
class Ending:
    """From a sum to what is stored: the fields of a stage that follow its operation."""

    rescale: AnyRescale
    addends: tuple[Addend, ...]
    table: Table | None = None
    encoder: Matrix | None = None


class Numbers(Protocol):
    """A kind of weights and line values."""

    weights: Weights
    least: int
    """The least value before a table of 256."""

    def line(self, value: Stored) -> Line:
        """Line values of a stored value after its activations."""
        ...

    def convolution(self, name: str, linear: Linear) -> tuple[Line, Convolution, RealArray]:
        """A convolution, what it reads, and what one of its accumulators is worth, shape (c,).

        Raises:
            ExportError: its sums may leave the range of the accumulators.
        """
        ...

    def whole(self, found: Sum, step: RealArray, offset: Array, low: Array, high: Array) -> Ending:
        """Sums as whole numbers of steps: `clip(round(sum / step) + offset, low, high)`."""
        ...

    def encoded(self, value: Computed, found: Sum, target: Target, seen: Bounds) -> Ending:
        """Sums that a projection encodes.

        Raises:
            ExportError: the activation between the two has no form.
        """
        ...

    def logits(self, found: Sum, bounds: Bounds) -> tuple[Ending, float]:
        """Sums as outputs between bounds, and what one of these numbers is worth."""
        ...
