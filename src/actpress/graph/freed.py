"""Memory that is free, and still held by the process."""

import ctypes
import gc
import sys


def give_back_freed(*, networks: bool = False) -> None:
    """Hand memory that nothing uses back to the system.

    The C library keeps what was freed between pieces that are in use, and a stage that needs other
    sizes than the one before asks for more. Only glibc can be told to let go; others do as they do.

    Args:
        networks: whether copies of networks are among it. These refer to themselves, so that Python
            has to look for them, which takes a fifth of a second.
    """
    if networks:
        gc.collect()
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # musl has none
        trim(0)
