"""Keeping a solver's own words off standard output, which belongs to results."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

STDOUT = 1
"""File descriptor that compiled code prints to."""


@contextmanager
def stdout_discarded() -> Iterator[None]:
    """Drop what compiled code prints while the block runs; what Python prints must wait.

    HiGHS up to 1.12 prints a line for debugging, whatever its options (ERGO-Code/HiGHS, issue
    2783). The C library buffers what it prints, so it is flushed at both ends.
    """
    flush = ctypes.CDLL(None).fflush
    flush(None)
    try:
        kept = os.dup(STDOUT)
    except OSError:  # closed: there is nobody to disturb
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, STDOUT)
        yield
    finally:
        flush(None)
        os.dup2(kept, STDOUT)
        os.close(kept)
        os.close(nowhere)
