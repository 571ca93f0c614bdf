"""Constants of the contexts, apart from their loops, as numba takes a while to load."""

LIMIT = 2
"""Neighbours are clamped to -LIMIT..LIMIT."""

SPREAD = 2 * LIMIT + 1
"""Values that a clamped neighbour has."""

CONTEXTS = SPREAD * SPREAD
"""Of the symbol on the left and the one above."""
