"""Ticks of charts: steps of 1, 2 or 5, and no more digits than tell them apart."""

import math
from itertools import pairwise

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from actpress.report.quantities import percent

STEPS = (1, 2, 5, 10)

FEW_DECADES = 2.0
"""Powers of ten alone would be too few ticks on an axis of fewer."""


def even_ticks(axis: Axis, most: int) -> None:
    """At most so many intervals, all of one round size."""
    axis.set_major_locator(MaxNLocator(most, steps=STEPS))


def percent_ticks(axis: Axis, most: int) -> None:
    """Even ticks of shares in [0, 1], written as per cent."""
    even_ticks(axis, most)

    def label(share: float, _position: int | None) -> str:
        steps = [after - before for before, after in pairwise(axis.get_majorticklocs())]
        smallest = 100 * min(steps, default=1.0)
        return percent(share, max(math.ceil(-math.log10(smallest) - 1e-9), 0))

    axis.set_major_formatter(FuncFormatter(label))


def decade_ticks(axis: Axis) -> None:
    """Powers of ten of a logarithmic axis, twice and five times these too where they are few."""
    low, high = axis.get_view_interval()
    few = math.log10(high / low) < FEW_DECADES
    axis.set_major_locator(LogLocator(subs=STEPS[:3] if few else STEPS[:1]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _position: one_digit(value)))


def one_digit(value: float) -> str:
    """A value of one digit: `1`, `2e-3`."""
    exponent = math.floor(math.log10(value) + 1e-9)
    digit = round(value / 10.0**exponent)
    return f"{digit}e{exponent}" if exponent else f"{digit}"
