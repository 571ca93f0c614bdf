"""From observations and an objective to plans: states of sites, and the greedy search over them."""

from actpress.allocate.exploration import CODED_BIT_WIDTH, explore
from actpress.allocate.greedy import Criterion, Move, greedy_path
from actpress.allocate.measure import SingleSites
from actpress.allocate.offering import BLOCK, offers_of
from actpress.allocate.searching import Search, SearchSettings, SearchTask, offers, search
from actpress.allocate.states import Offer, SiteStates, State, lower_hull
from actpress.allocate.tally import grouped_entropy_bits

__all__ = [
    "BLOCK",
    "CODED_BIT_WIDTH",
    "Criterion",
    "Move",
    "Offer",
    "Search",
    "SearchSettings",
    "SearchTask",
    "SingleSites",
    "SiteStates",
    "State",
    "explore",
    "greedy_path",
    "grouped_entropy_bits",
    "lower_hull",
    "offers",
    "offers_of",
    "search",
]
