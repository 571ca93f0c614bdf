"""Ticks of charts: steps of 1, 2 or 5, and no more digits than tell them apart."""

import math
from itertools import pairwise

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, MaxNLocator

from actpress.report.quantities import percent

STEPS = (1, 2, 5, 10)


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
