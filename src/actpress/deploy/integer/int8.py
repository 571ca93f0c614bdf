"""Stages of int8 weights and line values, with int32 accumulators."""

import numpy as np

from actpress.deploy.affine import AffineCodec
from actpress.deploy.integer.activations import apply, bounds_of
from actpress.deploy.integer.arithmetic import (
    INT8_MIN,
    INT32_MAX,
    INT32_MIN,
    Array,
    RealArray,
    fixed_point,
    quantized_weights,
)
from actpress.deploy.integer.network import (
    Addend,
    Convolution,
    Matrix,
    Rescale,
    Table,
    Weights,
)
from actpress.deploy.integer.numbers import Ending, Line, Sum, Target
from actpress.deploy.integer.operands import Bounds, Computed, Linear, Stored
from actpress.deploy.integer.readings import Grid, line_of
from actpress.errors import ExportError

NO_BOUNDS = (-np.inf, np.inf)


class Int8:
    """Numbers of a network in integers."""

    weights = Weights.INT8
    least = INT8_MIN

    def line(self, value: Stored) -> Line:
        return line_of(value)

    def convolution(self, name: str, linear: Linear) -> tuple[Line, Convolution, RealArray]:
        line = line_of(linear.source)
        channel = linear.channels_read
        weight, bias, scale = quantized_weights(
            linear.weight * line.scale[channel][:, :, None, None],
            linear.bias,
            line.reading.zero[channel][:, :, None, None],
        )
        products = np.abs(weight).reshape(len(weight), -1).sum(axis=1) * -INT8_MIN
        if (np.abs(bias) + products).max() > INT32_MAX:
            raise ExportError(f"{name}: sums of its products may leave 32 bits")
        return line, Convolution(linear.window, weight, bias, linear.groups), scale

    def whole(self, found: Sum, step: RealArray, offset: Array, low: Array, high: Array) -> Ending:
        """Multipliers of accumulators and addends have one shift for each channel."""
        factors = np.zeros((1 + len(found.addends), len(step)))
        factors[0] = found.scale / step
        for row, (line, first) in enumerate(found.addends, start=1):
            members = slice(first, first + len(line.scale))
            factors[row, members] = line.scale / step[members]
        multiplier, shift = fixed_point(factors)
        addends = tuple(
            Addend(line.reading, first, multiplier[row, first : first + len(line.scale)])
            for row, (line, first) in enumerate(found.addends, start=1)
        )
        return Ending(Rescale(multiplier[0], shift, offset, low, high), addends)

    def encoded(self, value: Computed, found: Sum, target: Target, seen: Bounds) -> Ending:
        """Sums become int8 values for the encoder; a table has activations that are no clamps."""
        assert target.affine is not None
        bounds = bounds_of(value.activations)
        clamped = seen if bounds is None else tuple(np.clip(seen, *bounds).tolist())
        grid = Grid.of((clamped[0], clamped[1]))
        low, high = (int(grid.lines(np.array(each))) for each in bounds or NO_BOUNDS)
        every = np.ones(len(found.scale), np.int64)
        ending = self.whole(
            found, np.full(len(every), grid.step), every * grid.zero, every * low, every * high
        )
        table = None
        if bounds is None:
            values = apply(value.activations, grid.values())
            grid = Grid.of((float(values.min()), float(values.max())))
            table = Table(grid.lines(values), 0 * every)
        return Ending(ending.rescale, ending.addends, table, _encoder(target.affine, grid))

    def logits(self, found: Sum, bounds: Bounds) -> tuple[Ending, float]:
        """Integers on the largest scale of what is summed up."""
        scale = float(max(found.scale.max(), *(line.scale.max() for line, _ in found.addends), 0.0))
        every = np.ones(len(found.scale), np.int64)
        low, high = np.clip(np.rint(np.array(bounds) / scale), INT32_MIN, INT32_MAX)
        ending = self.whole(
            found, np.full(len(every), scale), 0 * every, every * int(low), every * int(high)
        )
        return ending, scale


def _encoder(affine: AffineCodec, grid: Grid) -> Matrix:
    weight, bias, scale = quantized_weights(
        affine.encoder.astype(np.float64) * grid.step,
        affine.encoder_bias.astype(np.float64),
        np.array(grid.zero),
    )
    multiplier, shift = fixed_point(scale[None])
    high = affine.q_max - affine.q_min
    rescale = Rescale(multiplier[0], shift, -affine.q_min, np.zeros_like(high), high)
    return Matrix(weight, bias, rescale)
