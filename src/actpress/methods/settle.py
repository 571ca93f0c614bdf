"""From learned widths to a plan that meets the budget exactly."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from actpress.allocate import CODED_BIT_WIDTH, Groups
from actpress.budget import View
from actpress.calibration import Statistics
from actpress.codec import WIDEST, MixtureCodec
from actpress.errors import BudgetError
from actpress.methods.job import RESERVE, Job
from actpress.methods.scaling import CLOSE_ENOUGH, scale_steps
from actpress.plan import GroupPlan, Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel

FITS = 4
"""Times that widths are fitted again where calibration narrowed the ranges that they cover."""


def settle(
    job: Job,
    statistics: Statistics,
    groups: Mapping[str, Groups],
    codecs: Mapping[str, MixtureCodec],
) -> CompressedModel:
    """The plan of the widths that won, brought to the budget, and pressed.

    In the entropy view all steps are scaled together until the real tables cost what they may. In
    the fixed view the closest decisions are taken back: the groups whose weights say least.

    Args:
        job: data and budget.
        statistics: of the float network.
        groups: of every site.
        codecs: of every site, as the search left them.

    Raises:
        BudgetError: the budget is not met.
    """
    choices = {name: _Choice.of(codec) for name, codec in codecs.items()}
    if job.budget.view is View.FIXED:
        return _settle_widths(job, statistics, groups, choices)
    return _settle_steps(job, statistics, groups, choices)


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


def _settle_steps(
    job: Job,
    statistics: Statistics,
    groups: Mapping[str, Groups],
    choices: Mapping[str, _Choice],
) -> CompressedModel:
    target = job.cost_target()
    found = scale_steps(
        _plan(job, statistics, groups, choices),
        lambda plan: job.press(plan, statistics),
        lambda pressed: job.cost(pressed) / target - 1,
    )
    if found.excess > 0:
        raise BudgetError(
            f"the widths found exceed the budget {job.budget} by {100 * found.excess:.1f} %, and "
            f"larger steps do not mend it; ask for more bits"
        )
    return found.pressed


def _settle_widths(
    job: Job,
    statistics: Statistics,
    groups: Mapping[str, Groups],
    choices: Mapping[str, _Choice],
) -> CompressedModel:
    """Fit the widths; where calibration finds narrower ranges, spend what that leaves over.

    Training may come to fill all levels of all widths: these never cost more than the budget.
    """
    target = nominal = job.cost_target()
    most = target / (1 - RESERVE)
    best: CompressedModel | None = None
    for _ in range(FITS):
        _fit_widths(job, groups, choices, nominal)
        pressed = job.press(_plan(job, statistics, groups, choices), statistics)
        cost = job.cost(pressed)
        if cost <= target and (best is None or cost > job.cost(best)):
            best = pressed
        if target * (1 - CLOSE_ENOUGH) <= cost <= target or nominal == most:
            break
        nominal = min(nominal * target / cost, most)
    assert best is not None, "the first attempt fits: packing never needs more than the widths"
    return best


def _fit_widths(
    job: Job, groups: Mapping[str, Groups], choices: Mapping[str, _Choice], target: float
) -> None:
    """Lower the least certain widths while there are too many bits; then raise what still fits."""
    blocks = {name: job.graph.site(name).values // len(groups[name].index) for name in choices}
    sizes = {
        (name, group): job.weight(name) * blocks[name] * len(groups[name].members(group))
        for name, choice in choices.items()
        for group in range(len(choice.widths))
    }

    def cost() -> float:
        return sum(size * choices[name].widths[group] for (name, group), size in sizes.items())

    def best(direction: int, room: float) -> tuple[str, int] | None:
        """The change of least regret per bit that is possible, and that fits into `room`."""
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
                f"every site it is {cost() / target:.2f} times too small"
            )
        choices[lowered[0]].widths[lowered[1]] -= 1
    while cost() < target * (1 - CLOSE_ENOUGH):
        raised = best(+1, target - cost())
        if raised is None:
            return
        choices[raised[0]].widths[raised[1]] += 1


def _plan(
    job: Job,
    statistics: Statistics,
    groups: Mapping[str, Groups],
    choices: Mapping[str, _Choice],
) -> Plan:
    sites = [
        _site_plan(job, name, statistics.block(name), groups[name], choice)
        for name, choice in choices.items()
    ]
    return Plan(method="codesign", fingerprint=job.graph.fingerprint, sites=tuple(sites))


def _site_plan(job: Job, name: str, block: int, groups: Groups, choice: _Choice) -> SitePlan:
    coded = job.budget.view is View.ENTROPY
    planned = []
    for group, width in enumerate(choice.widths):
        bit_width = CODED_BIT_WIDTH if coded and width else width
        step = 2 ** (choice.log2_ranges[group] - width)
        planned.append(
            GroupPlan(
                components=groups.members(group),
                bit_width=bit_width,
                step=step,
                between_levels=not coded,
            )
        )
    kept = [group for group in planned if group.bit_width]
    return SitePlan(
        site=name,
        placement=Placement.PRE_ACT,
        transform=Transform.FISHER_PCA,
        channels=job.graph.site(name).channels,
        block=block,
        rank=sum(len(group.components) for group in kept),
        step=min(group.step for group in kept),
        bit_width=max(group.bit_width for group in kept),
        groups=tuple(planned),
    )
