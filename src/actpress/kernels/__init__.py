"""Loops over every value of an activation, compiled for the CPU."""

from actpress.kernels.count import count_symbols

__all__ = ["count_symbols"]
