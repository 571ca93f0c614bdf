"""From learned widths to a plan that meets the budget exactly."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from actpress.budget import View
from actpress.calibration import Statistics
from actpress.codec import WIDEST, MixtureCodec
from actpress.errors import BudgetError
from actpress.pipeline.groups import Groups, with_groups
from actpress.pipeline.job import Job
from actpress.pipeline.meet import CLOSE_ENOUGH, meet
from actpress.plan import Plan
from actpress.pressing import CompressedModel


def settle(
    job: Job,
    statistics: Statistics,
    start: Plan,
    groups: Mapping[str, Groups],
    codecs: Mapping[str, MixtureCodec],
) -> CompressedModel:
    """The plan of the widths that won, brought to the budget, and pressed.

    In the entropy view all steps are scaled together until the real tables cost what they may. In
    the fixed view the closest decisions are taken back: the groups whose weights say least.

    Args:
        job: data and budget.
        statistics: of the float network.
        start: the plan that the search started from.
        groups: of every site.
        codecs: of every site, as the search left them.

    Raises:
        BudgetError: the budget is not met.
    """
    choices = {name: _Choice.of(codec) for name, codec in codecs.items()}

    def plan() -> Plan:
        sites = tuple(
            with_groups(
                site,
                groups[site.site],
                choices[site.site].widths,
                choices[site.site].log2_ranges,
                job.budget.view,
            )
            for site in start
        )
        return Plan(method="codesign", fingerprint=start.fingerprint, sites=sites)

    def propose(aim: float) -> Plan:
        if job.budget.view is View.FIXED:
            fit_widths(job, groups, choices, aim - fetched)
        return plan()

    pressed = job.press(plan(), statistics)
    fetched = job.price(pressed) - sum(job.symbol_prices(pressed).values())
    return meet(job, propose, lambda plan: job.press(plan, statistics), target=job.target()).pressed


@dataclass
class _Choice:
    """Widths of the groups of one site, and what the search thought of each.

    Attributes:
        widths: in bits.
        log2_ranges: see `MixtureCodec`.
        scores: log-weight by group and width; minus infinity outside of the last window.
    """

    widths: list[int]
    log2_ranges: list[float]
    scores: list[list[float]]

    @classmethod
    def of(cls, codec: MixtureCodec) -> "_Choice":
        scores = torch.full((len(codec.lowest), WIDEST + 1), -torch.inf, device=codec.lowest.device)
        scores.scatter_(
            1, codec.widths(), (codec.logits / codec.temperature).log_softmax(1).detach()
        )
        widths = codec.chosen_widths().tolist()
        widths[0] = max(widths[0], 1)  # a site keeps at least its most important group
        return cls(widths, codec.log2_range.tolist(), scores.tolist())

    def regret(self, group: int, width: int) -> float:
        """Log-weight given up by another width; widths out of sight cost a lot each."""
        score = self.scores[group]
        best = max(score)
        away = min(abs(width - seen) for seen, value in enumerate(score) if value > -torch.inf)
        return 100.0 * away if away else best - score[width]


def fit_widths(
    job: Job, groups: Mapping[str, Groups], choices: Mapping[str, _Choice], target: float
) -> None:
    """Lower the least certain widths while they cost too much; then raise what still fits.

    Args:
        job: prices.
        groups: of every site.
        choices: changed in place.
        target: what the symbols of all sites may cost.

    Raises:
        BudgetError: one bit for the first group of every site costs more.
    """
    sites = {name: job.graph.site(name) for name in choices}
    sizes = {
        (name, group): job.objective.stored_bit_price(sites[name])
        * (sites[name].values // len(groups[name].index))
        * len(groups[name].members(group))
        for name, choice in choices.items()
        for group in range(len(choice.widths))
    }

    def cost() -> float:
        return sum(size * choices[name].widths[group] for (name, group), size in sizes.items())

    def best(direction: int, room: float) -> tuple[str, int] | None:
        """The change of least regret per price that is possible, and that fits into `room`."""
        regrets = {}
        for (name, group), size in sizes.items():
            choice, width = choices[name], choices[name].widths[group] + direction
            lowest = 1 if group == 0 else 0
            if lowest <= width <= WIDEST and size * direction <= room:
                regret = choice.regret(group, width) - choice.regret(group, width - direction)
                regrets[name, group] = regret / size
        return min(regrets, key=lambda key: regrets[key]) if regrets else None

    while cost() > target:
        lowered = best(-1, 0.0)
        if lowered is None:
            raise BudgetError(
                f"the budget {job.budget} cannot be reached; with one bit for the first group of "
                f"every site it is {cost() / max(target, 1e-9):.2f} times too small"
            )
        choices[lowered[0]].widths[lowered[1]] -= 1
    while cost() < target * (1 - CLOSE_ENOUGH / 2):
        raised = best(+1, target - cost())
        if raised is None:
            return
        choices[raised[0]].widths[raised[1]] += 1
