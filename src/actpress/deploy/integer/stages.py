"""From a computed value to the stage that stores it."""

from dataclasses import dataclass
from typing import cast

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
    IntegerMap,
    Matrix,
    Pool,
    Reading,
    Rescale,
    Stage,
    Table,
)
from actpress.deploy.integer.operands import Bounds, Computed, Linear, Pooling
from actpress.deploy.integer.readings import Grid, line_of
from actpress.errors import ExportError

NO_BOUNDS = (-np.inf, np.inf)


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
class _Sum:
    """Accumulators and what joins them, with the value of one of each."""

    source: Reading | None
    operation: Convolution | Pool | None
    scale: RealArray
    addends: tuple[tuple[Reading, int, RealArray], ...]


def stage_of(value: Computed, target: Target, seen: Bounds) -> Stage:
    """Compute a value and store it.

    Args:
        value: what is stored.
        target: where.
        seen: least and greatest value before activations, in calibration.

    Raises:
        ExportError: sums may leave 32 bits.
    """
    found = _sum(value)
    bounds = bounds_of(value.activations)
    if target.step is not None and bounds is not None:
        rescale, addends = _rescaled(found, target.step, *_symbol_range(target, bounds))
        return _stage(value, found, rescale, addends, target.map)
    clamped = seen if bounds is None else tuple(np.clip(seen, *bounds))
    grid = Grid.of(cast(Bounds, clamped))
    low, high = (int(grid.lines(np.array(each))) for each in bounds or NO_BOUNDS)
    steps = np.full(len(found.scale), grid.step)
    every = np.ones(len(steps), np.int64)
    rescale, addends = _rescaled(found, steps, every * grid.zero, every * low, every * high)
    table = None
    if bounds is None:
        values = apply(value.activations, grid.values())
        if target.step is not None:
            codes = _code_table(values, target.map, target.step)
            return _stage(value, found, rescale, addends, target.map, table=codes)
        grid = Grid.of((float(values.min()), float(values.max())))
        table = Table(grid.lines(values), np.zeros(len(steps), np.int64))
    assert target.affine is not None
    encoder = _encoder(target.affine, grid)
    return _stage(value, found, rescale, addends, target.map, table=table, encoder=encoder)


def logit_stage(value: Computed) -> tuple[Stage, float]:
    """The last stage, whose sums are logits, and what one of these integers is worth.

    Raises:
        ExportError: it ends with another activation than a clamp; sums may leave 32 bits.
    """
    found = _sum(value)
    bounds = bounds_of(value.activations)
    if bounds is None:
        raise ExportError(f"{value.name}: the output is {value.activations[-1].name} of a layer")
    scale = float(max(found.scale.max(), *(part.max() for *_, part in found.addends), 0.0))
    every = np.ones(len(found.scale), np.int64)
    low, high = np.clip(np.rint(np.array(bounds) / scale), INT32_MIN, INT32_MAX).astype(np.int64)
    rescale, addends = _rescaled(
        found, np.full(len(every), scale), 0 * every, every * low, every * high
    )
    return _stage(value, found, rescale, addends, None), scale


def _stage(
    value: Computed,
    found: _Sum,
    rescale: Rescale,
    addends: tuple[Addend, ...],
    target: IntegerMap | None,
    *,
    table: Table | None = None,
    encoder: Matrix | None = None,
) -> Stage:
    return Stage(
        value.name, found.source, found.operation, addends, rescale, table, encoder, target
    )


def _sum(value: Computed) -> _Sum:
    source: Reading | None = None
    operation: Convolution | Pool | None = None
    scale = np.zeros(value.shape[0])
    if isinstance(value.operation, Linear):
        source, operation, scale = _convolution(value.name, value.operation)
    elif value.operation is not None:
        source, operation, scale = _pool(value.operation)
    parts = []
    for part in value.parts:
        line = line_of(part.value)
        parts.append((line.reading, part.first, part.sign * line.scale))
    return _Sum(source, operation, scale, tuple(parts))


def _convolution(name: str, linear: Linear) -> tuple[Reading, Convolution, RealArray]:
    line = line_of(linear.source)
    outputs, per_group = linear.weight.shape[:2]
    group = np.arange(outputs) // (outputs // linear.groups)
    channel = group[:, None] * per_group + np.arange(per_group)
    weight, bias, scale = quantized_weights(
        linear.weight * line.scale[channel][:, :, None, None],
        linear.bias,
        line.reading.zero[channel][:, :, None, None],
    )
    products = np.abs(weight).reshape(outputs, -1).sum(axis=1) * -INT8_MIN
    if (np.abs(bias) + products).max() > INT32_MAX:
        raise ExportError(f"{name}: sums of its products may leave 32 bits")
    return line.reading, Convolution(linear.window, weight, bias, linear.groups), scale


def _pool(pooling: Pooling) -> tuple[Reading, Pool, RealArray]:
    line = line_of(pooling.source)
    pool = Pool(pooling.window, largest=pooling.divisor is None)
    return line.reading, pool, line.scale / (pooling.divisor or 1)


def _rescaled(
    found: _Sum, step: RealArray, offset: Array, low: Array, high: Array
) -> tuple[Rescale, tuple[Addend, ...]]:
    """Multipliers of accumulators and addends, with one shift for each channel."""
    factors = np.zeros((1 + len(found.addends), len(step)))
    factors[0] = found.scale / step
    for row, (_, first, scale) in enumerate(found.addends, start=1):
        members = slice(first, first + len(scale))
        factors[row, members] = scale / step[members]
    multiplier, shift = fixed_point(factors)
    addends = tuple(
        Addend(reading, first, multiplier[row, first : first + len(scale)])
        for row, (reading, first, scale) in enumerate(found.addends, start=1)
    )
    return Rescale(multiplier[0], shift, offset, low, high), addends


def _symbol_range(target: Target, bounds: Bounds) -> tuple[Array, Array, Array]:
    """Offset, lowest and highest code where the value is clamped before it is rounded."""
    assert target.step is not None
    q_min, q_max = target.map.q_min, target.map.q_max
    low = np.clip(np.rint(bounds[0] / target.step), q_min, q_max).astype(np.int64)
    high = np.clip(np.rint(bounds[1] / target.step), q_min, q_max).astype(np.int64)
    return -q_min, low - q_min, high - q_min


def _code_table(values: RealArray, target: IntegerMap, step: RealArray) -> Table:
    """Codes of the values of all 256 int8 numbers, once for channels that are alike."""
    pieces: dict[tuple[float, int, int], Array] = {}
    keys = list(zip(step.tolist(), target.q_min.tolist(), target.q_max.tolist(), strict=True))
    for one, low, high in keys:
        symbols = np.clip(np.rint(values / one), low, high).astype(np.int64)
        pieces.setdefault((one, low, high), symbols - low)
    first = {key: len(values) * row for row, key in enumerate(pieces)}
    start = np.array([first[key] for key in keys], np.int64)
    return Table(np.concatenate(list(pieces.values())), start)


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
