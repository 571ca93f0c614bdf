"""The plan of a greedy search whose peak RAM in C fits."""

from collections.abc import Callable, Mapping, Sequence

from actpress.allocate import Offer, Search
from actpress.allocate.states import State
from actpress.errors import BudgetError
from actpress.pipeline.job import Job, PeakRam
from actpress.plan import Plan
from actpress.pressing import CompressedModel

KIB = 1024
WIDEST = 8
"""Bits of a symbol in C."""

ATTEMPTS = 6


def with_integer_form(kinds: Mapping[str, Sequence[Offer]]) -> dict[str, tuple[Offer, ...]]:
    """The kinds of states that C can hold: those of single pixels.

    Raises:
        BudgetError: a site is offered no other.
    """
    kept = {name: tuple(o for o in offers if o.block == 1) for name, offers in kinds.items()}
    for name, offers in kept.items():
        if not offers:
            raise BudgetError(
                f"a budget of RAM takes no blocks of pixels, and site {name} is offered nothing "
                f"else; allow other transforms"
            )
    return kept


def within_ram(
    job: Job, found: Search, press: Callable[[Plan], CompressedModel], *, method: str
) -> tuple[int, CompressedModel]:
    """The first plan of a path that fits, with what does not set the peak left finer.

    Args:
        job: whose budget is one of RAM, and which can tell it.
        found: the search.
        press: applies a plan and fits tables.
        method: name for the plan.

    Returns:
        Where the path met the budget, and the network.

    Raises:
        BudgetError: the last plan of the path takes more; says how much, and what sets it.
    """
    assert job.peak_ram is not None, "a job with a budget of RAM is told how to plan it"
    limit = job.budget.amount * KIB
    last = len(found.path) - 1
    peak = job.peak_ram(press(_plan(found, found.chosen(last), method)))
    aim = limit
    for _ in range(ATTEMPTS):
        index = _first_within(found, peak, aim)
        if index is None:
            break
        pressed = press(_plan(found, _finer(found, index, peak, aim), method))
        taken = job.peak_ram(pressed).peak_bytes({})
        if taken <= limit:
            return index, pressed
        aim *= 0.995 * limit / taken
    bits = _bits(found.chosen(last))
    raise BudgetError(
        f"the budget {job.budget.amount:g}{job.budget.kind} cannot be reached; the least that this "
        f"search finds is {peak.peak_bytes(bits) / KIB:.1f}{job.budget.kind}, set by "
        f"{peak.at_peak(bits)}"
    )


def fits_ram(job: Job, pressed: CompressedModel) -> bool:
    """Whether a network keeps the job's budget of peak RAM, where it has one.

    All processes hear it from the first one.
    """
    if not job.budget.is_ram:
        return True
    peak_ram, limit = job.peak_ram, job.budget.amount * KIB
    assert peak_ram is not None, "a job with a budget of RAM is told how to plan it"
    return job.team.from_first(lambda: peak_ram(pressed).peak_bytes({}) <= limit)


def _first_within(found: Search, peak: PeakRam, limit: float) -> int | None:
    """Peaks fall along the path: bisect it."""
    low, high = 0, len(found.path)
    while low < high:
        middle = (low + high) // 2
        if peak.peak_bytes(_bits(found.chosen(middle))) <= limit:
            high = middle
        else:
            low = middle + 1
    return low if low < len(found.path) else None


def _finer(found: Search, index: int, peak: PeakRam, limit: float) -> tuple[State, ...]:
    """Sites one after the other, those that lose most first, go back as far as the peak allows."""
    levels = list(found.path[index].levels)
    chosen = list(found.chosen(index))
    for at in sorted(range(len(levels)), key=lambda site: -chosen[site].loss):
        low, high = 0, levels[at]
        while low < high:
            middle = (low + high) // 2
            tried = [*chosen[:at], found.ladders[at][middle], *chosen[at + 1 :]]
            if peak.peak_bytes(_bits(tried)) <= limit:
                high = middle
            else:
                low = middle + 1
        chosen[at] = found.ladders[at][low]
    return tuple(chosen)


def _bits(states: Sequence[State]) -> Mapping[str, float]:
    return {state.plan.site: state.use.stored_bits for state in states}


def _plan(found: Search, states: Sequence[State], method: str) -> Plan:
    """Symbols are no wider than C takes; what lies beyond is clipped."""
    sites = tuple(
        state.plan.model_copy(update={"bit_width": min(state.plan.bit_width, WIDEST)})
        for state in states
    )
    return Plan(method=method, fingerprint=found.fingerprint, sites=sites)
