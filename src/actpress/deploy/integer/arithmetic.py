"""The one rounding rule, and how real factors become a multiplier and a shift."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
RealArray = NDArray[np.float64]
Values = NDArray[Any]
"""Integers in int64, or float32: of lines, weights and sums, by the network's kind of weights."""

MULTIPLIER_BITS = 31
MOST_SHIFT = 56
WEIGHT_MAX = 127
FLOAT_BYTES = 4
INT8_MIN, INT8_MAX = -128, 127
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def requantize(sums: Array, shift: Array) -> Array:
    """Divide by 2^shift and round half up: (sums + 2^(shift - 1)) >> shift, floor shift, in int64.

    Args:
        sums: products of accumulators and multipliers, shape (..., c), int64.
        shift: of each channel, shape (c,), at least 1.
    """
    half: Array = np.int64(1) << (shift - 1)
    return (sums + half) >> shift


def fixed_point(factors: RealArray) -> tuple[Array, Array]:
    """Real factors as m / 2^s; factors of a channel share its shift.

    Args:
        factors: shape (j, c); the largest of a channel must be below 2^30.

    Returns:
        m, shape (j, c), int64 that fit in 32 bits, and s, shape (c,), 1 to 56.
    """
    largest = np.abs(factors).max(axis=0)
    _, exponent = np.frexp(np.where(largest > 0, largest, 0.5))
    shift = np.clip(MULTIPLIER_BITS - exponent, 1, MOST_SHIFT).astype(np.int64)
    multiplier = np.rint(factors * 2.0**shift)
    whole = np.abs(multiplier).max(axis=0) > INT32_MAX  # a factor just below a power of two
    shift = np.where(whole & (shift > 1), shift - 1, shift)
    multiplier = np.rint(factors * 2.0**shift).astype(np.int64)
    return multiplier, shift


def quantized_weights(
    weight: RealArray, bias: RealArray, zero: Array
) -> tuple[Array, Array, RealArray]:
    """Weights of a linear map of line values as int8, a scale per output, and their int32 bias.

    Args:
        weight: in output units per unit of the line, shape (o, ...).
        bias: shape (o,).
        zero: line value of zero for each weight, broadcast to `weight`; the bias makes up for it.

    Returns:
        int8 weights, the int32 bias, both as int64, and the scale, shape (o,).
    """
    flat = weight.reshape(len(weight), -1)
    scale = np.maximum(np.abs(flat).max(axis=1, initial=0.0) / WEIGHT_MAX, np.abs(bias) / 2**30)
    scale = np.where(scale > 0, scale, 1.0)
    shape = (-1,) + (1,) * (weight.ndim - 1)
    stored = np.rint(weight / scale.reshape(shape)).astype(np.int64)
    of_zero = (stored * np.broadcast_to(zero, stored.shape)).reshape(len(weight), -1).sum(axis=1)
    return stored, np.rint(bias / scale).astype(np.int64) - of_zero, scale
