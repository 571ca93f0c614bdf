"""The co-design: bit-widths and dimensions learned in one search (docs/methods.md).

Components of a site are grouped by importance; every group learns its bit-width, starting from the
steps of the greedy search, and zero bits drop it. Then projections are tuned for the widths that
won.
"""

import math
from dataclasses import replace
from time import perf_counter

from actpress.allocate import (
    GroupedSite,
    Groups,
    build_ladders,
    choose_packed_widths,
    component_losses,
    make_groups,
)
from actpress.budget import Budget, BudgetKind, View
from actpress.codec import LinearProjection, MixtureCodec
from actpress.errors import BudgetError, TuningError
from actpress.graph import insert_codecs
from actpress.methods.cap import gdr
from actpress.methods.job import Job, Outcome
from actpress.methods.learning import learn, untrained
from actpress.methods.record import SearchRecord, read_record, write_record
from actpress.methods.settle import settle
from actpress.methods.widths import rate_scales, train_widths
from actpress.plan import Transform
from actpress.pressing import CompressedModel
from actpress.tune import mixtures

TRANSFORM = Transform.FISHER_PCA

GREEDY = "greedy"
"""Variant of a result for which the plan of the greedy search was better than learned widths."""

BLOCK = 2
"""Side of the blocks of pixels that are projected together, unless the settings say otherwise."""

LEAST_SHARE, TRIALS = 0.25, 3
"""For an accuracy budget: the range of shares of GDR's bits, up to 1, that is bisected so often."""


def codesign(job: Job) -> Outcome:
    """Search greedily, then for the widths of groups; tune the projections of the better plan.

    An accuracy budget is turned into bits: fewer than those at which GDR keeps the accuracy on
    held-out training images, as long as the co-design keeps it there too. Where it never does,
    GDR's plan is handed back, with the variant `untrained`.
    """
    job = replace(job, settings=replace(job.settings, block=job.settings.block or BLOCK))
    if job.budget.kind is BudgetKind.ACCURACY_DROP:
        return _within_accuracy(job)
    start = gdr(_in_subfolder(job, "gdr"))
    searched = choose_widths(job, start)
    outcome = learn(job, searched, start, method="codesign")
    outcome = replace(outcome, search_seconds=searched.search_seconds)
    if any(site.groups for site in outcome.pressed.plan):
        return outcome
    return replace(outcome, variant=",".join(filter(None, (GREEDY, outcome.variant))))


def choose_widths(job: Job, start: Outcome) -> Outcome:
    """The search alone: a plan of groups that meets the budget, projections not yet tuned.

    With a folder, the finished search is kept there and a resumed job does not search again.

    Args:
        job: data and budget.
        start: the outcome of a greedy search for the same budget.
    """
    statistics = start.statistics
    record = None if job.folder is None else read_record(job.folder, job)
    if record is not None:
        return record.outcome(job.press(record.plan, statistics), statistics)
    began = perf_counter()
    groups = group_components(job, start)
    searched = mixture_network(job, start, groups)
    train_widths(job, searched)
    pressed = settle(job, statistics, groups, mixtures(searched))
    seconds = start.search_seconds + perf_counter() - began
    outcome = replace(
        start, pressed=pressed, method="codesign", variant="", path=(), search_seconds=seconds
    )
    if job.folder is not None:
        write_record(job.folder, SearchRecord.of(job, outcome))
    return outcome


def group_components(job: Job, start: Outcome) -> dict[str, Groups]:
    """The groups of every site, with widths to start from.

    In the entropy view they give about the steps of the greedy search. In the fixed view they are
    those that save the most loss per bit by estimate: what packing costs is not what ranges cost.
    """
    batches = job.search_images().split(64)
    ladders = build_ladders(
        job.graph, start.statistics, batches, view=job.budget.view, transform=TRANSFORM
    )
    losses = component_losses(job.graph, ladders, batches, seed=job.settings.search.seed)
    groups = {
        ladder.site: make_groups(ladder, site.step, dropped, job.settings.grouping, job.budget.view)
        for ladder, site, (dropped, _) in zip(ladders, start.pressed.plan, losses, strict=True)
    }
    if job.budget.view is View.ENTROPY:
        return groups
    sites = [
        GroupedSite(
            groups[ladder.site],
            ladder.basis.variances,
            dropped,
            noisy,
            job.weight(ladder.site) * ladder.values / len(ladder.mean),
        )
        for ladder, (dropped, noisy) in zip(ladders, losses, strict=True)
    ]
    return dict(zip(groups, choose_packed_widths(sites, job.cost_target()), strict=True))


def mixture_network(job: Job, start: Outcome, groups: dict[str, Groups]) -> CompressedModel:
    """The network with a `MixtureCodec` at every site, its rate aligned to what the budget counts.

    In the entropy view each site's smooth rate is scaled to what the start's tables say.
    """
    scales, statistics, plan = (
        rate_scales(job, start.pressed),
        start.statistics,
        start.pressed.plan,
    )
    codecs = {}
    for site in plan:
        basis = statistics.basis(site.site, TRANSFORM)
        own = groups[site.site]
        codec = MixtureCodec(
            LinearProjection(
                basis, statistics.sites[site.site].mean, site.components, block=site.block
            ),
            own.index,
            own.log2_range,
            own.width,
            view=job.budget.view,
            candidates=job.settings.widths.candidates,
        )
        codec.rate_scale.fill_(scales[site.site])
        codecs[site.site] = codec
    placements = {site.site: site.placement for site in plan}
    return CompressedModel(insert_codecs(job.graph, codecs, placements), plan).eval().to(job.device)


def _within_accuracy(job: Job) -> Outcome:
    floor = job.accuracy_floor()
    found = gdr(_in_subfolder(job, "gdr"))
    most = job.cost(found.pressed) / sum(site.values for site in job.graph.sites)
    low, high = LEAST_SHARE, 1.0
    best: Outcome | None = None
    trials_s = found.search_seconds
    for _ in range(TRIALS):
        share = math.sqrt(low * high)
        budget = Budget(BudgetKind.BITS_PER_VALUE, share * most, job.budget.view)
        trial = _in_subfolder(replace(job, budget=budget), f"{budget.amount:.4f}bits")
        began = perf_counter()
        try:
            outcome = codesign(trial)
        except (BudgetError, TuningError):  # too few bits to reach, or to train within
            trials_s += perf_counter() - began
            low = share
            continue
        trials_s += outcome.search_seconds + outcome.tune_seconds
        if job.held_out_accuracy(outcome.pressed) >= floor:
            high, best = share, outcome
        else:
            low = share
    if best is None:
        return replace(untrained(found, "codesign", 0.0), search_seconds=trials_s)
    return replace(best, search_seconds=trials_s - best.tune_seconds)


def _in_subfolder(job: Job, name: str) -> Job:
    return replace(job, folder=None if job.folder is None else job.folder / name)
