"""`best`: try the methods that make sense, within a time, and keep the one that loses least."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

from actpress.errors import BudgetError, TuningError
from actpress.methods.greedy import cap, gdr
from actpress.methods.layerwise import layerwise_ilp
from actpress.methods.mixed_precision import codesign
from actpress.pipeline.job import Job, Outcome
from actpress.tune import held_out_divergence

CANDIDATES: dict[str, Callable[[Job], Outcome]] = {
    "gdr": gdr,
    "cap": cap,
    "layerwise_ilp": layerwise_ilp,
    "codesign": codesign,
}
"""Fast ones first, so that little time still gives a choice."""

SECONDS = 900.0
"""No further method is begun after so long."""


def best(job: Job) -> Outcome:
    """Of several methods at one budget, the one closest to the float network on held-out images.

    The variant says which it is. Methods that do not reach the budget, or have no accuracy budget,
    are left out.

    Raises:
        BudgetError: none reaches the budget; says why, method by method.
    """
    began = perf_counter()
    found: tuple[float, Outcome] | None = None
    failed = []
    for name, method in CANDIDATES.items():
        late = job.team.from_first(lambda: perf_counter() - began > SECONDS)
        if found is not None and late:
            break
        folder = None if job.folder is None else job.folder / name
        try:
            outcome = method(replace(job, folder=folder))
        except (BudgetError, TuningError) as error:
            failed.append(f"{name}: {error}")
            continue
        loss = held_out_divergence(
            outcome.pressed, job.graph, job.validation(), job.settings.tune, team=job.team
        )
        if found is None or _better(job, loss, outcome, *found):
            found = loss, outcome
    if found is None:
        raise BudgetError(f"no method is a net win within {job.budget}: {'; '.join(failed)}")
    outcome = found[1]
    variant = ",".join(filter(None, (outcome.method, outcome.variant)))
    return replace(outcome, method="best", variant=variant)


def _better(job: Job, loss: float, outcome: Outcome, least: float, before: Outcome) -> bool:
    """Less loss, or, where the budget is one of accuracy, a lower price."""
    if job.budget.is_quality:
        return job.price(outcome.pressed) < job.price(before.pressed)
    return loss < least
