"""C99 that computes an integer network with packed maps in one static arena."""

from actpress.deploy.c.export import Firmware, export_c

__all__ = ["Firmware", "export_c"]
