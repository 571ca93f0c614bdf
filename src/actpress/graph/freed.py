"""Memory that is free, and still held by the process."""

import ctypes
import sys


def give_back_freed() -> None:
    """Hand memory that nothing uses back to the system.

    The C library keeps what was freed between pieces that are in use, and a stage that needs other
    sizes than the one before asks for more. Only glibc can be told to let go; others do as they do.
    """
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # musl has none
        trim(0)
