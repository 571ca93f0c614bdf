"""How stored symbols become int8 line values."""

from dataclasses import dataclass

import numpy as np

from actpress.deploy.integer.activations import apply, bounds_of
from actpress.deploy.integer.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    Array,
    RealArray,
    fixed_point,
    quantized_weights,
)
from actpress.deploy.integer.network import Matrix, Reading, Rescale, Table, int8_clip
from actpress.deploy.integer.numbers import Line
from actpress.deploy.integer.operands import Bounds, Stored

LEVELS = 255


@dataclass(frozen=True)
class Grid:
    """An int8 scale for all channels: `(line - zero) * step`.

    Attributes:
        step: in activation units.
        zero: line value of zero.
    """

    step: float
    zero: int

    @staticmethod
    def of(bounds: Bounds) -> "Grid":
        """That of least and greatest value; zero is on it."""
        low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
        step = (high - low) / LEVELS or 1.0
        return Grid(step, INT8_MIN + int(np.rint(-low / step)))

    def lines(self, values: RealArray) -> Array:
        """The nearest line values."""
        return int8_clip(np.rint(values / self.step) + self.zero).astype(np.int64)

    def values(self) -> RealArray:
        """Of all 256 line values, from -128 on."""
        lines = np.arange(INT8_MIN - self.zero, INT8_MAX + 1 - self.zero).astype(np.float64)
        return lines * self.step

    def rescale(self, scale: RealArray, bounds: Bounds) -> Rescale:
        """From accumulators of a scale per channel, clamped to `bounds`."""
        multiplier, shift = fixed_point(scale[None] / self.step)
        low, high = (int(self.lines(np.array(each))) for each in bounds)
        every = np.ones(len(scale), np.int64)
        return Rescale(multiplier[0], shift, every * self.zero, every * low, every * high)


def line_of(value: Stored) -> Line:
    """Line values of a stored value after its activations."""
    if value.step is None:
        return _decoded(value)
    if shows_symbols(value):
        return _shifted(value, value.step, nonnegative=is_nonnegative(value))
    return _tabulated(value, value.step)


def shows_symbols(value: Stored) -> bool:
    """Whether symbols are read as they are, or all below zero as zero; there is no projection."""
    assert value.step is not None
    bounds = bounds_of(value.activations)
    if bounds is None or bounds[0] not in (0.0, -np.inf):
        return False
    return bool((value.map.q_max * value.step <= bounds[1]).all())


def is_nonnegative(value: Stored) -> bool:
    """Whether activations, all of them clamps, leave nothing below zero."""
    bounds = bounds_of(value.activations)
    assert bounds is not None
    return bounds[0] == 0


def _shifted(value: Stored, step: RealArray, *, nonnegative: bool) -> Line:
    """Symbols, shifted so that scales of channels differ little: exact."""
    low = np.maximum(value.map.q_min, 0) if nonnegative else value.map.q_min
    high = np.maximum(value.map.q_max, low)
    reach = np.maximum(np.abs(low), np.abs(high)) * step
    unit = float(reach.max()) / INT8_MAX
    octaves = np.floor(np.log2(step / unit + 1e-9)) if unit > 0 else np.zeros(len(step))
    shift = np.where(reach > 0, np.maximum(octaves, 0), 0).astype(np.int64)
    least, greatest = low << shift, high << shift
    fits = (least >= INT8_MIN) & (greatest <= INT8_MAX)
    zero = np.where(fits, 0, INT8_MIN - least)
    classes: dict[tuple[int, int], list[int]] = {}
    for channel, key in enumerate(zip(shift.tolist(), zero.tolist(), strict=True)):
        classes.setdefault(key, []).append(channel)
    values: list[Array] = []
    start = np.zeros(len(step), np.int64)
    at = 0
    spans = [
        (value.map.q_min[members].min(), value.map.q_max[members].max(), key, members)
        for key, members in classes.items()
    ]
    # The shortest come first: where they begin are small numbers.
    for first, last, (by, offset), members in sorted(spans, key=lambda each: each[1] - each[0]):
        q = np.arange(first, last + 1)
        table = int8_clip((np.maximum(q, 0 if nonnegative else first) << by) + offset)
        start[members] = at + value.map.q_min[members] - first
        values.append(table)
        at += len(table)
    reading = Reading(value.map, Table(np.concatenate(values), start), None, zero)
    # Weights of channels that are always zero must not widen the scale of the others.
    return Line(reading, np.where(reach > 0, step / 2.0**shift, 0.0))


def _tabulated(value: Stored, step: RealArray) -> Line:
    """The nearest line value for every symbol, on one scale."""
    every, start = tabulated(value, step)
    grid = Grid.of((float(every.min()), float(every.max())))
    channels = len(step)
    reading = Reading(
        value.map, Table(grid.lines(every), start), None, np.full(channels, grid.zero)
    )
    return Line(reading, np.full(channels, grid.step))


def tabulated(value: Stored, step: RealArray) -> tuple[RealArray, Array]:
    """What every symbol of every channel is after activations, and where those of a channel begin.

    Channels that are alike share their values.
    """
    pieces: dict[tuple[float, int, int], RealArray] = {}
    keys = list(zip(step.tolist(), value.map.q_min.tolist(), value.map.q_max.tolist(), strict=True))
    for key in keys:
        if key not in pieces:
            symbols: RealArray = np.arange(key[1], key[2] + 1).astype(np.float64)
            pieces[key] = apply(value.activations, symbols * key[0])
    first = dict(zip(pieces, np.cumsum([0, *map(len, pieces.values())])[:-1], strict=True))
    start = np.array([first[key] for key in keys], np.int64)
    return np.concatenate(list(pieces.values())), start


def _decoded(value: Stored) -> Line:
    """A projection decodes to int8 values; activations other than clamps are a table of these."""
    assert value.affine is not None
    affine = value.affine
    weight, bias, scale = quantized_weights(
        affine.decoder.astype(np.float64), affine.decoder_bias.astype(np.float64), -affine.q_min
    )
    bounds = bounds_of(value.activations)
    low, high = value.decoded if bounds is None else np.clip(value.decoded, *bounds)
    grid = Grid.of((float(low), float(high)))
    rescale = grid.rescale(scale, bounds or (-np.inf, np.inf))
    zeros, steps = np.full(len(scale), grid.zero), np.full(len(scale), grid.step)
    if bounds is not None:
        reading = Reading(value.map, None, Matrix(weight, bias, rescale), zeros)
        return Line(reading, steps)
    inputs = grid.values()
    outputs = apply(value.activations, inputs)
    after = Grid.of((float(outputs.min()), float(outputs.max())))
    table = Table(after.lines(outputs), np.zeros(len(scale), np.int64))
    reading = Reading(
        value.map, table, Matrix(weight, bias, rescale), np.full(len(scale), after.zero)
    )
    return Line(reading, np.full(len(scale), after.step))
