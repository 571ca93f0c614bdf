"""Integers and bytes: frequency tables, entropy coders, the container. No torch, no floats."""

from actpress.bitstream.rans import RansCoder
from actpress.bitstream.tables import FrequencyTables

__all__ = ["FrequencyTables", "RansCoder"]
