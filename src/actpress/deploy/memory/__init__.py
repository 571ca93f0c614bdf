"""Where maps and line buffers of an integer network lie in one block of memory, and when."""

from actpress.deploy.memory.coding import rans_layouts
from actpress.deploy.memory.layout import (
    CodedGroup,
    Coding,
    Group,
    RowLayout,
    layout_of,
    packed,
    unpacked,
)
from actpress.deploy.memory.peak import PlannedPeak
from actpress.deploy.memory.plan import MemoryPlan, memory_plan, planned
from actpress.deploy.memory.rans import CodeTable
from actpress.deploy.memory.schedule import Buffers, Chain, buffers_of, chains_of
from actpress.deploy.memory.traffic import Traffic, map_traffic

__all__ = [
    "Buffers",
    "Chain",
    "CodeTable",
    "CodedGroup",
    "Coding",
    "Group",
    "MemoryPlan",
    "PlannedPeak",
    "RowLayout",
    "Traffic",
    "buffers_of",
    "chains_of",
    "layout_of",
    "map_traffic",
    "memory_plan",
    "packed",
    "planned",
    "rans_layouts",
    "unpacked",
]
