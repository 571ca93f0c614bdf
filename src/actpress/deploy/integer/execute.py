"""The reference: an integer network in plain numpy. Slow, and the definition of what is right."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from actpress.deploy.integer.arithmetic import Array, requantize
from actpress.deploy.integer.network import (
    Addend,
    Convolution,
    Input,
    IntegerNetwork,
    Matrix,
    Pool,
    Reading,
    Rescale,
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

    def logits(self, images: NDArray[np.float32]) -> Array:
        """Images (n, c, h, w), as the float network takes them -> integers (n, classes)."""
        return self.run(image_codes(self._network.input, images))[0]

    def run(self, image: Array) -> tuple[Array, Mapping[str, Array]]:
        """Run the codes of images.

        Args:
            image: of the input's map, shape (n, h, w, c).

        Returns:
            Logits (n, classes), or (n, 0) where maps are sent, and the codes that are stored of
            every map by its name, (n, h, w, channels), before memory loses any of them.
        """
        codes = {self._network.input.map.name: image.astype(np.int64)}
        kept = dict(codes)
        logits = np.zeros((len(image), 0), np.int64)
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


def run_stage(stage: Stage, codes: Mapping[str, Array]) -> Array:
    """What a stage stores, (n, h, w, c): codes of its target, or logits."""
    rescale = stage.rescale
    sums = np.zeros((1, 1), np.int64)
    if stage.source is not None:
        line = line_values(stage.source, codes[stage.source.map.name])
        if isinstance(stage.operation, Convolution):
            sums = convolve(line, stage.operation, stage.source.zero)
        else:
            assert stage.operation is not None
            sums = pool(line, stage.operation, stage.source.zero)
    sums = sums * rescale.multiplier
    for addend in stage.addends:
        sums = _joined(sums, addend, codes, channels=len(rescale.shift))
    values = _finished(sums, rescale)
    if stage.table is not None:
        values = stage.table.at(values + 128)
    return values if stage.encoder is None else apply_matrix(values, stage.encoder)


def line_values(reading: Reading, codes: Array) -> Array:
    """Codes (n, h, w, k) -> int8 line values (n, h, w, c), as int64."""
    if reading.decoder is None:
        assert reading.table is not None
        return reading.table.at(codes)
    values = apply_matrix(codes, reading.decoder)
    return values if reading.table is None else reading.table.at(values + 128)


def apply_matrix(values: Array, matrix: Matrix) -> Array:
    """A linear map of the last axis, rescaled."""
    sums = _products(values, matrix.weight) + matrix.bias
    return _finished(sums * matrix.rescale.multiplier, matrix.rescale)


def convolve(line: Array, convolution: Convolution, zero: Array) -> Array:
    """Accumulators (n, h', w', outputs) of line values (n, h, w, c)."""
    window, groups = convolution.window, convolution.groups
    padded = _padded(line, window, zero)
    outputs, inputs = convolution.weight.shape[:2]
    n = len(line)
    height, width = window.size_after(*line.shape[1:3])
    sums = np.zeros((n, height, width, groups, outputs // groups), np.int64)
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
                sums[..., group, :] += _products(members, weight[group, :, :, row, column])
    return sums.reshape(n, height, width, outputs)


def pool(line: Array, operation: Pool, zero: Array) -> Array:
    """Largest line values or sums of windows, without their zeros, (n, h', w', c)."""
    window = operation.window
    outside = np.full_like(zero, -128) if operation.largest else zero
    padded = _padded(line, window, outside)
    height, width = window.size_after(*line.shape[1:3])
    taps = [
        _seen(padded, window, row, column, height, width)
        for row in range(window.kernel[0])
        for column in range(window.kernel[1])
    ]
    if operation.largest:
        largest: Array = np.max(taps, axis=0)
        return largest - zero
    total: Array = np.sum(taps, axis=0)
    return total - len(taps) * zero


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


def _finished(sums: Array, rescale: Rescale) -> Array:
    values: Array = requantize(sums, rescale.shift) + rescale.offset
    return np.clip(values, rescale.low, rescale.high)


def _joined(sums: Array, addend: Addend, codes: Mapping[str, Array], *, channels: int) -> Array:
    line = line_values(addend.reading, codes[addend.reading.map.name])
    whole = np.zeros((*line.shape[:3], channels), np.int64) + sums
    members = slice(addend.first, addend.first + addend.reading.channels)
    whole[..., members] += (line - addend.reading.zero) * addend.multiplier
    return whole


def _padded(line: Array, window: Window, value: Array) -> Array:
    """With the value of each channel around the map."""
    (top, left), (bottom, right) = window.before, window.after
    n, height, width, channels = line.shape
    whole = np.empty((n, height + top + bottom, width + left + right, channels), np.int64)
    whole[:] = value
    whole[:, top : top + height, left : left + width] = line
    return whole


def _seen(padded: Array, window: Window, row: int, column: int, height: int, width: int) -> Array:
    """What one position of the kernel sees, (n, height, width, c)."""
    (down, across), (by_row, by_column) = window.stride, window.dilation
    top, left = row * by_row, column * by_column
    return padded[
        :,
        top : top + down * (height - 1) + 1 : down,
        left : left + across * (width - 1) + 1 : across,
    ]
