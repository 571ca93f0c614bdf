"""The co-design: bit-widths and dimensions learned in one search (docs/methods.md).

Components of a site are grouped by importance; every group learns its bit-width, and zero bits drop
it. Then projections are tuned for the widths that won.
"""

from dataclasses import replace
from itertools import islice
from time import perf_counter

from actpress.allocate import (
    CODED_BIT_WIDTH,
    Groups,
    Ladder,
    build_ladders,
    component_losses,
    make_groups,
    screened_levels,
)
from actpress.budget import Budget, BudgetKind, View
from actpress.calibrate import Statistics
from actpress.codec import LinearProjection, MixtureCodec
from actpress.errors import BudgetError
from actpress.graph import insert_codecs
from actpress.methods.cap import gdr
from actpress.methods.learning import learn
from actpress.methods.record import SearchRecord, read_record, write_record
from actpress.methods.settle import settle
from actpress.methods.task import Outcome, Task
from actpress.methods.widths import train_widths
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.press import PressedModel
from actpress.tune import align_rate_model, mixtures

TRANSFORM = Transform.FISHER_PCA

GENEROSITY = (1.0, 1.2, 1.5, 2.0)
"""Shares of GDR's bits that are tried, in turn, for an accuracy budget."""


def codesign(task: Task) -> Outcome:
    """Group, search widths within the budget, tune the projections.

    An accuracy budget is first turned into bits: those at which GDR keeps the accuracy on held-out
    training images, or some more where the co-design does not keep it there.
    """
    if task.budget.kind is BudgetKind.ACCURACY_DROP:
        return _within_accuracy(task)
    return learn(task, choose_widths(task), method="codesign")


def choose_widths(task: Task) -> Outcome:
    """The search alone: a plan of groups that meets the budget, projections not yet tuned.

    With a folder, the finished search is kept there and a resumed task does not search again.
    """
    statistics = task.calibrate_with_fisher(Placement.PRE_ACT)
    record = None if task.folder is None else read_record(task.folder, task)
    if record is not None:
        return record.outcome(task.press(record.plan, statistics), statistics)
    began = perf_counter()
    ladders, start = start_plan(task, statistics)
    groups = group_components(task, ladders, start)
    searched = mixture_network(task, statistics, start, groups)
    train_widths(task, searched)
    pressed = settle(task, statistics, groups, mixtures(searched))
    seconds = perf_counter() - began
    outcome = Outcome(pressed, statistics, "codesign", search_seconds=seconds)
    if task.folder is not None:
        write_record(task.folder, SearchRecord.of(task, outcome))
    return outcome


def start_plan(task: Task, statistics: Statistics) -> tuple[list[Ladder], Plan]:
    """Ladders of all sites, and the plan that Fisher estimates alone choose for the budget."""
    batches = task.search_images().split(64)
    view, seed = task.budget.view, task.settings.search.seed
    ladders = build_ladders(task.graph, statistics, batches, view=view, transform=TRANSFORM)
    levels = screened_levels(task.graph, ladders, batches, task.budget, seed=seed)
    states = [ladder.levels[level] for ladder, level in zip(ladders, levels, strict=True)]
    sites = tuple(
        SitePlan(
            site=ladder.site,
            placement=ladder.placement,
            transform=TRANSFORM,
            channels=len(ladder.mean),
            rank=state.rank,
            step=state.step,
            bit_width=CODED_BIT_WIDTH,
        )
        for ladder, state in zip(ladders, states, strict=True)
    )
    return ladders, Plan(method="codesign", fingerprint=task.graph.fingerprint, sites=sites)


def group_components(task: Task, ladders: list[Ladder], start: Plan) -> dict[str, Groups]:
    """The groups of every site, with widths that give about the steps of the plan."""
    batches = task.search_images().split(64)
    losses = component_losses(task.graph, ladders, batches, seed=task.settings.search.seed)
    return {
        ladder.site: make_groups(
            ladder, site.step, dropped, task.settings.grouping, task.budget.view
        )
        for ladder, site, (dropped, _) in zip(ladders, start, losses, strict=True)
    }


def mixture_network(
    task: Task, statistics: Statistics, start: Plan, groups: dict[str, Groups]
) -> PressedModel:
    """The network with a `MixtureCodec` at every site, its rate aligned to what the budget counts.

    In the entropy view each site's smooth rate is scaled to what the tables of the start plan say.
    """
    scales = _rate_scales(task, statistics, start)
    codecs = {}
    for site in start:
        basis = statistics.basis(site.site, TRANSFORM)
        own = groups[site.site]
        codec = MixtureCodec(
            LinearProjection(basis, statistics.sites[site.site].mean, site.channels),
            own.index,
            own.log2_range,
            own.width,
            view=task.budget.view,
            candidates=task.settings.widths.candidates,
        )
        codec.rate_scale.fill_(scales[site.site])
        codecs[site.site] = codec
    placements = {site.site: site.placement for site in start}
    return PressedModel(insert_codecs(task.graph, codecs, placements), start).eval().to(task.device)


def _rate_scales(task: Task, statistics: Statistics, start: Plan) -> dict[str, float]:
    if task.budget.view is View.FIXED:
        return {site.site: task.weight(site.site) for site in start}
    pressed = task.press(start, statistics)
    align_rate_model(pressed, list(islice(task.calibration_batches(), 3)), task.costs(pressed))
    return {name: float(codec.rate_scale) for name, codec in pressed.codecs.items()}


def _within_accuracy(task: Task) -> Outcome:
    allowed = task.budget.amount
    floor = task.accuracy_floor()
    found = gdr(_in_subfolder(task, "gdr"))
    values = sum(site.values for site in task.graph.sites)
    bits = accuracy = tried_s = 0.0
    for share in GENEROSITY:
        bits = share * sum(task.costs(found.pressed).values()) / values
        budget = Budget(BudgetKind.BITS_PER_VALUE, bits, task.budget.view)
        outcome = codesign(_in_subfolder(replace(task, budget=budget), f"{bits:.4f}bits"))
        accuracy = task.held_out_accuracy(outcome.pressed)
        if accuracy >= floor:
            before_s = found.search_seconds + tried_s
            return replace(outcome, search_seconds=outcome.search_seconds + before_s)
        tried_s += outcome.search_seconds + outcome.tune_seconds
    raise BudgetError(
        f"the co-design reaches an accuracy of {accuracy:.4f} on held-out training images at "
        f"{bits:.3f} bits/value; a drop of at most {allowed:g} points needs {floor:.4f}; tune "
        f"longer, or give bits"
    )


def _in_subfolder(task: Task, name: str) -> Task:
    return replace(task, folder=None if task.folder is None else task.folder / name)
