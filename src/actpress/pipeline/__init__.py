"""Machinery that recipes share: jobs, the search that meets a budget, learning, records."""

from actpress.pipeline.job import (
    RESERVE,
    Job,
    Outcome,
    Progress,
    Settings,
    Silence,
    held_out_size,
)
from actpress.pipeline.learn import UNTRAINED, compensate, learn
from actpress.pipeline.meet import Met, meet
from actpress.pipeline.select import select, take_from

__all__ = [
    "RESERVE",
    "UNTRAINED",
    "Job",
    "Met",
    "Outcome",
    "Progress",
    "Settings",
    "Silence",
    "compensate",
    "held_out_size",
    "learn",
    "meet",
    "select",
    "take_from",
]
