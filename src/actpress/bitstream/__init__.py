"""Integers and bytes: frequency tables, entropy coder, records, container. No torch, no floats."""

from actpress.bitstream.baselines import (
    Coder,
    ExtendedBitPlaneCoder,
    ZeroRunCoder,
    ZeroValueCoder,
)
from actpress.bitstream.container import Frame, Header, StreamReader, StreamWriter, select
from actpress.bitstream.context_rans import ContextCoder
from actpress.bitstream.rans import RansCoder
from actpress.bitstream.record import Record, read_record, write_record
from actpress.bitstream.tables import FrequencyTables, scaled_frequencies

__all__ = [
    "Coder",
    "ContextCoder",
    "ExtendedBitPlaneCoder",
    "Frame",
    "FrequencyTables",
    "Header",
    "RansCoder",
    "Record",
    "StreamReader",
    "StreamWriter",
    "ZeroRunCoder",
    "ZeroValueCoder",
    "read_record",
    "scaled_frequencies",
    "select",
    "write_record",
]
