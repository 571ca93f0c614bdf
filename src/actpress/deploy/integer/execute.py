"""The reference: an integer network in plain numpy. Slow, and the definition of what is right."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from actpress.deploy.integer.arithmetic import INT8_MIN, Array, Values, requantize
from actpress.deploy.integer.network import (
    Addend,
    AnyRescale,
    Convolution,
    FloatRescale,
    Input,
    IntegerNetwork,
    Matrix,
    Pool,
    Reading,
    Stage,
    Window,
)

EXACT_PRODUCTS = 1 << 9
"""Products of an int8 weight and a line value or code, whose sums float32 holds exactly."""


Kept = Callable[[str, Array], Array]


def all_kept(name: str, codes: Array) -> Array:  # noqa: ARG001  as others are called
    """Memory keeps codes as they are."""
    return codes


class Executor:
    """Runs images through an integer network.

    Args:
        network: from `integer_network`.
        kept: what is read back of the codes (n, h, w, c) of a map, by its name, where memory does
            not keep all of them.
    """

    def __init__(self, network: IntegerNetwork, kept: Kept = all_kept) -> None:
        self._network = network
        self._kept = kept

    def logits(self, images: NDArray[np.float32]) -> Values:
        """Images (n, c, h, w), as the float network takes them -> numbers (n, classes)."""
        return self.run(image_codes(self._network.input, images))[0]

    def run(self, image: Array) -> tuple[Values, Mapping[str, Array]]:
        """Run the codes of images.

        Args:
            image: of the input's map, shape (n, h, w, c).

        Returns:
            Logits (n, classes), or (n, 0) where maps are sent, and the codes that are stored of
            every map by its name, (n, h, w, channels), before memory loses any of them.
        """
        codes = {self._network.input.map.name: image.astype(np.int64)}
        kept = dict(codes)
        logits: Values = np.zeros((len(image), 0), np.int64)
        for stage in self._network.stages:
            if stage.target is None:
                logits = run_stage(stage, kept)[:, 0, 0, :]
                continue
            name = stage.target.name
            codes[name] = run_stage(stage, kept)
            kept[name] = self._kept(name, codes[name])
        return logits, codes


def image_codes(given: Input, images: NDArray[np.float32]) -> Array:
    """Images (n, c, h, w) as codes (n, h, w, c)."""
    codes = np.clip(np.rint(images.astype(np.float64) / given.scale) + given.zero, 0, 255)
    return np.asarray(codes.transpose(0, 2, 3, 1), np.int64)


def run_stage(stage: Stage, codes: Mapping[str, Array]) -> Values:
    """What a stage stores, (n, h, w, c): codes of its target, or logits."""
    rescale = stage.rescale
    sums: Values = np.zeros((1, 1), rescale.multiplier.dtype)
    if stage.source is not None:
        line = line_values(stage.source, codes[stage.source.map.name])
        if isinstance(stage.operation, Convolution):
            sums = convolve(line, stage.operation, stage.source.zero)
        else:
            assert stage.operation is not None
            sums = pool(line, stage.operation, stage.source.zero)
    sums = sums * rescale.multiplier
    for addend in stage.addends:
        sums = _joined(sums, addend, codes, channels=rescale.channels)
    values = _finished(sums, rescale)
    if stage.table is not None:
        values = stage.table.at(values - rescale.least)
    return values if stage.encoder is None else apply_matrix(values, stage.encoder)


def line_values(reading: Reading, codes: Array) -> Values:
    """Codes (n, h, w, k) -> line values (n, h, w, c)."""
    if reading.decoder is None:
        assert reading.table is not None
        return reading.table.at(codes)
    values = apply_matrix(codes, reading.decoder)
    return values if reading.table is None else reading.table.at(values - INT8_MIN)


def apply_matrix(values: Values, matrix: Matrix) -> Values:
    """A linear map of the last axis, rescaled."""
    sums = np.zeros((*values.shape[:-1], len(matrix.bias)), matrix.bias.dtype) + matrix.bias
    _add_products(sums, values, matrix.weight)
    return _finished(sums * matrix.rescale.multiplier, matrix.rescale)


def convolve(line: Values, convolution: Convolution, zero: Values) -> Values:
    """Accumulators (n, h', w', outputs) of line values (n, h, w, c)."""
    window, groups = convolution.window, convolution.groups
    padded = _padded(line, window, zero)
    outputs, inputs = convolution.weight.shape[:2]
    n = len(line)
    height, width = window.size_after(*line.shape[1:3])
    sums = np.zeros((n, height, width, groups, outputs // groups), convolution.bias.dtype)
    sums += convolution.bias.reshape(groups, -1)
    weight = convolution.weight.reshape(groups, outputs // groups, inputs, *window.kernel)
    for row in range(window.kernel[0]):
        for column in range(window.kernel[1]):
            seen = _seen(padded, window, row, column, height, width)
            if inputs == 1:
                per_group = seen[..., :, None] * weight[:, :, 0, row, column]
                sums += per_group
                continue
            for group in range(groups):
                members = seen[..., group * inputs : (group + 1) * inputs]
                _add_products(sums[..., group, :], members, weight[group, :, :, row, column])
    return sums.reshape(n, height, width, outputs)


def pool(line: Values, operation: Pool, zero: Values) -> Values:
    """Largest line values or sums of windows, without their zeros, (n, h', w', c)."""
    window = operation.window
    outside = np.full_like(zero, _least(zero)) if operation.largest else zero
    padded = _padded(line, window, outside)
    height, width = window.size_after(*line.shape[1:3])
    taps = [
        _seen(padded, window, row, column, height, width)
        for row in range(window.kernel[0])
        for column in range(window.kernel[1])
    ]
    if operation.largest:
        largest: Values = np.max(taps, axis=0)
        return largest - zero
    total = np.zeros_like(taps[0])
    for tap in taps:
        total += tap - zero
    return total


def _least(numbers: Values) -> float:
    """The least line value of a kind."""
    return float(np.finfo(np.float32).min) if numbers.dtype == np.float32 else INT8_MIN


def _add_products(sums: Values, values: Values, weight: Values) -> None:
    """Add values (..., i) times the transpose of weight (o, i) to sums (..., o).

    float32 is added input by input, and every product is rounded before: a sum depends on that.
    """
    if weight.dtype != np.float32:
        sums += _products(values, weight)
        return
    inputs = values.astype(np.float32)
    for at in range(weight.shape[1]):
        sums += inputs[..., at, None] * weight[:, at]


def _products(values: Array, weight: Array) -> Array:
    """Values (..., i) times the transpose of weight (o, i), exactly.

    A product of an int8 and a uint8 is below 2^15, and float32 holds integers up to 2^24: it is
    a faster way to the same integers than integer arrays are.
    """
    flat = values.reshape(-1, values.shape[-1]).astype(np.float32)
    total = np.zeros((len(flat), len(weight)), np.int64)
    for first in range(0, flat.shape[1], EXACT_PRODUCTS):
        members = slice(first, first + EXACT_PRODUCTS)
        total += (flat[:, members] @ weight[:, members].T.astype(np.float32)).astype(np.int64)
    return total.reshape(*values.shape[:-1], len(weight))


def _finished(sums: Values, rescale: AnyRescale) -> Values:
    if isinstance(rescale, FloatRescale):
        found: Values = np.clip(sums + rescale.offset, rescale.low, rescale.high)
        return found.astype(np.int64) if rescale.whole else found
    values: Array = requantize(sums, rescale.shift) + rescale.offset
    return np.clip(values, rescale.low, rescale.high)


def _joined(sums: Values, addend: Addend, codes: Mapping[str, Array], *, channels: int) -> Values:
    line = line_values(addend.reading, codes[addend.reading.map.name])
    whole = np.zeros((*line.shape[:3], channels), sums.dtype) + sums
    members = slice(addend.first, addend.first + addend.reading.channels)
    whole[..., members] += (line - addend.reading.zero) * addend.multiplier
    return whole


def _padded(line: Values, window: Window, value: Values) -> Values:
    """With the value of each channel around the map."""
    (top, left), (bottom, right) = window.before, window.after
    n, height, width, channels = line.shape
    whole = np.empty((n, height + top + bottom, width + left + right, channels), line.dtype)
    whole[:] = value
    whole[:, top : top + height, left : left + width] = line
    return whole


def _seen(padded: Values, window: Window, row: int, column: int, height: int, width: int) -> Values:
    """What one position of the kernel sees, (n, height, width, c)."""
    (down, across), (by_row, by_column) = window.stride, window.dilation
    top, left = row * by_row, column * by_column
    return padded[
        :,
        top : top + down * (height - 1) + 1 : down,
        left : left + across * (width - 1) + 1 : across,
    ]
