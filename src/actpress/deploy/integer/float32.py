"""Stages whose weights, line values and accumulators are float32; maps stay what they are."""

from collections.abc import Sequence

import numpy as np

from actpress.deploy.affine import AffineCodec
from actpress.deploy.integer.activations import Activation, bounds_of
from actpress.deploy.integer.arithmetic import Array, RealArray, Values
from actpress.deploy.integer.network import (
    Addend,
    Convolution,
    FloatRescale,
    Matrix,
    Reading,
    Table,
    Weights,
)
from actpress.deploy.integer.numbers import Ending, Line, Sum, Target
from actpress.deploy.integer.operands import Bounds, Computed, Linear, Stored
from actpress.deploy.integer.readings import is_nonnegative, shows_symbols, tabulated
from actpress.errors import ExportError

HALF = 0.5
GREATEST = float(np.finfo(np.float32).max)


class Float32:
    """Numbers of a network for devices that have a unit for them."""

    weights = Weights.FLOAT32
    least = 0

    def line(self, value: Stored) -> Line:
        if value.step is None:
            return _decoded(value)
        if shows_symbols(value):
            return _symbols(value, value.step)
        values, start = tabulated(value, value.step)
        reading = Reading(value.map, Table(_rounded(values), start), None, _zeros(len(start)))
        return Line(reading, np.ones(len(start)))

    def convolution(self, name: str, linear: Linear) -> tuple[Line, Convolution, RealArray]:
        line = self.line(linear.source)
        weight = _rounded(linear.weight * line.scale[linear.channels_read][:, :, None, None])
        operation = Convolution(linear.window, weight, _rounded(linear.bias), linear.groups)
        return line, operation, np.ones(len(weight))

    def whole(self, found: Sum, step: RealArray, offset: Array, low: Array, high: Array) -> Ending:
        rescale = _to_whole(found.scale / step, offset, low, high)
        return Ending(rescale, _addends(found, step))

    def encoded(self, value: Computed, found: Sum, target: Target, seen: Bounds) -> Ending:
        assert target.affine is not None
        bounds = _bounds(value.name, value.activations)
        rescale = _to_values(found.scale, bounds)
        encoder = _encoder(target.affine)
        return Ending(rescale, _addends(found, np.ones(len(found.scale))), encoder=encoder)

    def logits(self, found: Sum, bounds: Bounds) -> tuple[Ending, float]:
        addends = _addends(found, np.ones(len(found.scale)))
        return Ending(_to_values(found.scale, bounds), addends), 1.0


def _rounded(values: RealArray) -> Values:
    return values.astype(np.float32)


def _zeros(channels: int) -> Values:
    return np.zeros(channels, np.float32)


def _to_whole(multiplier: RealArray, offset: Array, low: Array, high: Array) -> FloatRescale:
    moved = [(each + HALF).astype(np.float32) for each in (offset, low, high)]
    return FloatRescale(_rounded(multiplier), moved[0], moved[1], moved[2], whole=True)


def _to_values(multiplier: RealArray, bounds: Bounds) -> FloatRescale:
    every = np.ones(len(multiplier), np.float32)
    low, high = np.clip(bounds, -GREATEST, GREATEST).astype(np.float32)
    return FloatRescale(_rounded(multiplier), 0 * every, low * every, high * every, whole=False)


def _addends(found: Sum, step: RealArray) -> tuple[Addend, ...]:
    return tuple(
        Addend(line.reading, first, _rounded(line.scale / step[first : first + len(line.scale)]))
        for line, first in found.addends
    )


def _symbols(value: Stored, step: RealArray) -> Line:
    """Symbols as they are, or nothing below zero; their steps are part of what multiplies them."""
    low, high = value.map.q_min, value.map.q_max
    symbols = np.arange(low.min(), high.max() + 1).astype(np.float32)
    values = np.maximum(symbols, 0) if is_nonnegative(value) else symbols
    table = Table(values, low - low.min())
    return Line(Reading(value.map, table, None, _zeros(len(step))), step)


def _decoded(value: Stored) -> Line:
    assert value.affine is not None
    affine = value.affine
    bounds = _bounds(value.map.name, value.activations)
    decoder = affine.decoder.astype(np.float64)
    ones = np.ones(len(decoder))
    matrix = Matrix(
        affine.decoder,
        _rounded(affine.decoder_bias + decoder @ affine.q_min),
        _to_values(ones, bounds),
    )
    return Line(Reading(value.map, None, matrix, _zeros(len(decoder))), ones)


def _encoder(affine: AffineCodec) -> Matrix:
    high = affine.q_max - affine.q_min
    rescale = _to_whole(np.ones(len(high)), -affine.q_min, 0 * high, high)
    return Matrix(affine.encoder, affine.encoder_bias, rescale)


def _bounds(name: str, activations: Sequence[Activation]) -> Bounds:
    """What clamps leave.

    Raises:
        ExportError: another activation is among them.
    """
    bounds = bounds_of(activations)
    if bounds is None:
        refused = next(each.name for each in activations if each.bounds is None)
        raise ExportError(
            f"{name}: {refused} beside a projection has no float32 form; compress "
            f"that site with --transform identity, or export with int8 weights"
        )
    return bounds
