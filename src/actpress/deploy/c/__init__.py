"""C99 that computes an integer network with packed maps in one static arena."""

from actpress.deploy.c.export import Firmware, export_c
from actpress.deploy.c.message import stream_of

__all__ = ["Firmware", "export_c", "stream_of"]
