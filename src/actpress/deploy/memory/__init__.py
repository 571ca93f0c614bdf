"""Where maps and line buffers of an integer network lie in one block of memory, and when."""

from actpress.deploy.memory.layout import Group, RowLayout, layout_of, packed
from actpress.deploy.memory.peak import PlannedPeak
from actpress.deploy.memory.plan import MemoryPlan, memory_plan
from actpress.deploy.memory.schedule import Buffers, Chain, buffers_of, chains_of
from actpress.deploy.memory.traffic import Traffic, map_traffic

__all__ = [
    "Buffers",
    "Chain",
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
]
