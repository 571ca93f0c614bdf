"""From a computed value to the stage that stores it."""

import numpy as np

from actpress.deploy.integer.activations import apply, bounds_of
from actpress.deploy.integer.arithmetic import INT8_MAX, INT8_MIN, Array, RealArray
from actpress.deploy.integer.network import (
    Convolution,
    IntegerMap,
    Pool,
    Reading,
    Stage,
    Table,
)
from actpress.deploy.integer.numbers import Ending, Numbers, Sum, Target
from actpress.deploy.integer.operands import Bounds, Computed, Linear, Pooling
from actpress.deploy.integer.readings import Grid
from actpress.errors import ExportError


def stage_of(value: Computed, target: Target, seen: Bounds, numbers: Numbers) -> Stage:
    """Compute a value and store it.

    Args:
        value: what is stored.
        target: where.
        seen: least and greatest value before activations, in calibration.
        numbers: between the maps.

    Raises:
        ExportError: sums may leave their range, or an activation has no form.
    """
    found = _sum(value, numbers)
    bounds = bounds_of(value.activations)
    if target.step is None:
        ending = numbers.encoded(value, found, target, seen)
    elif bounds is not None:
        ending = numbers.whole(found, target.step, *_symbol_range(target.map, target.step, bounds))
    else:
        ending = _tabulated(value, found, target.map, target.step, seen, numbers)
    return _stage(value, found, ending, target.map)


def logit_stage(value: Computed, numbers: Numbers) -> tuple[Stage, float]:
    """The last stage, whose sums are logits, and what one of these numbers is worth.

    Raises:
        ExportError: it ends with another activation than a clamp; sums may leave their range.
    """
    found = _sum(value, numbers)
    bounds = bounds_of(value.activations)
    if bounds is None:
        raise ExportError(f"{value.name}: the output is {value.activations[-1].name} of a layer")
    ending, scale = numbers.logits(found, bounds)
    return _stage(value, found, ending, None), scale


def _stage(value: Computed, found: Sum, ending: Ending, target: IntegerMap | None) -> Stage:
    return Stage(
        name=value.name,
        source=found.source,
        operation=found.operation,
        addends=ending.addends,
        rescale=ending.rescale,
        table=ending.table,
        encoder=ending.encoder,
        target=target,
    )


def _sum(value: Computed, numbers: Numbers) -> Sum:
    source: Reading | None = None
    operation: Convolution | Pool | None = None
    scale = np.zeros(value.shape[0])
    if isinstance(value.operation, Linear):
        line, operation, scale = numbers.convolution(value.name, value.operation)
        source = line.reading
    elif isinstance(value.operation, Pooling):
        pooling, line = value.operation, numbers.line(value.operation.source)
        source = line.reading
        operation = Pool(pooling.window, largest=pooling.divisor is None)
        scale = line.scale / (pooling.divisor or 1)
    addends = tuple((numbers.line(part.value), part.first) for part in value.parts)
    return Sum(source, operation, scale, addends)


def _symbol_range(
    target: IntegerMap, step: RealArray, bounds: Bounds
) -> tuple[Array, Array, Array]:
    """Offset, lowest and highest code where the value is clamped before it is rounded."""
    q_min, q_max = target.q_min, target.q_max
    low = np.clip(np.rint(bounds[0] / step), q_min, q_max).astype(np.int64)
    high = np.clip(np.rint(bounds[1] / step), q_min, q_max).astype(np.int64)
    return -q_min, low - q_min, high - q_min


def _tabulated(
    value: Computed,
    found: Sum,
    target: IntegerMap,
    step: RealArray,
    seen: Bounds,
    numbers: Numbers,
) -> Ending:
    """Sums on a grid of 256 values, through a table of the codes of their activations."""
    grid = Grid.of(seen)
    every = np.full(len(step), numbers.least - INT8_MIN)
    ending = numbers.whole(
        found,
        np.full(len(step), grid.step),
        every + grid.zero,
        every + INT8_MIN,
        every + INT8_MAX,
    )
    codes = _code_table(apply(value.activations, grid.values()), target, step)
    return Ending(ending.rescale, ending.addends, table=codes)


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
