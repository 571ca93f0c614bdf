"""Budget and statistics to plan: the greedy search and its parts."""

from actpress.allocate.greedy import Costs, Criterion, Move, greedy_path
from actpress.allocate.groups import Grouping, Groups, Importance, make_groups
from actpress.allocate.ladder import Ladder, LadderKind, Level, build_ladders, ladder_states
from actpress.allocate.packed_widths import GroupedSite, choose_packed_widths
from actpress.allocate.replay import Replay, Trial
from actpress.allocate.search import (
    CODED_BIT_WIDTH,
    GreedySearch,
    SearchSettings,
    best_reachable,
    cost_target,
    search,
)
from actpress.allocate.sensitivity import component_losses, estimate_losses

__all__ = [
    "CODED_BIT_WIDTH",
    "Costs",
    "Criterion",
    "GreedySearch",
    "GroupedSite",
    "Grouping",
    "Groups",
    "Importance",
    "Ladder",
    "LadderKind",
    "Level",
    "Move",
    "Replay",
    "SearchSettings",
    "Trial",
    "best_reachable",
    "build_ladders",
    "choose_packed_widths",
    "component_losses",
    "cost_target",
    "estimate_losses",
    "greedy_path",
    "ladder_states",
    "make_groups",
    "search",
]
