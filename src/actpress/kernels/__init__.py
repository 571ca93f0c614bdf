"""Loops over every value of an activation, compiled for the CPU."""

from actpress.kernels.count import count_symbols, count_symbols_reference
from actpress.kernels.histogram import bin_edges, float_histogram

__all__ = ["bin_edges", "count_symbols", "count_symbols_reference", "float_histogram"]
