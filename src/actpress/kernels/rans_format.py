"""Constants of the entropy coder, apart from its loops, as numba takes a while to load."""

PRECISION = 12
"""Frequencies of a table sum to 2 to this power."""

LOW = 1 << 16
"""States are at least this."""

MAX_LANES = 8
"""States of a stream, at most; the compiled loops are written out for so many."""

WRITING_ROOM = MAX_LANES
"""Words before those of a stream that its encoder may write to."""

READING_ROOM = 2 * MAX_LANES + 1
"""Words behind those of a stream with contexts that its decoder may look at."""

OK, OVERRUN, LEFTOVER, OUT_OF_RANGE = 0, 1, 2, 3
"""Outcomes of decoding."""
