"""The co-design: bit-widths and dimensions learned in one search (arXiv 2207.07931).

The greedy search says which sites are projected and which are left as they are; components of a
site, projected or not, are grouped by importance, and every group learns its bit-width, zero bits
meaning dropped. Then steps and projections are tuned for the plan that is better.
"""

from dataclasses import replace
from time import perf_counter

from actpress.errors import BudgetError
from actpress.graph import insert_codecs
from actpress.methods.greedy import gdr
from actpress.pipeline.groups import Groups, groups_of, mixture_of
from actpress.pipeline.job import Job, Outcome
from actpress.pipeline.learn import learn, within_accuracy
from actpress.pipeline.record import SearchRecord, finished_search, keep_search
from actpress.pipeline.settle import settle
from actpress.pipeline.widths import rate_scales, symbol_target, train_widths
from actpress.pressing import CompressedModel
from actpress.tune import mixtures

GREEDY = "greedy"
"""Variant of a result for which the plan of the greedy search was better than learned widths."""


def codesign(job: Job) -> Outcome:
    """Search greedily, then for the widths of groups; tune the better plan.

    An accuracy budget becomes a price: the least at which what was learned keeps the accuracy on
    held-out training images. Where it keeps it at none, GDR's plan is handed back, with the variant
    `untrained`.
    """
    if job.budget.is_quality:
        return within_accuracy(
            job, gdr(_in_subfolder(job, "gdr")), codesign, method_name="codesign"
        )
    start = gdr(_in_subfolder(job, "gdr"))
    try:
        searched = choose_widths(job, start)
    except BudgetError:  # what groups need besides their symbols is more than is left
        greedy = learn(job, start, method="codesign")
    else:
        outcome = learn(job, searched, start, method="codesign")
        outcome = replace(outcome, search_seconds=searched.search_seconds)
        if outcome.variant or outcome.pressed.plan.sites == searched.pressed.plan.sites:
            return outcome
        greedy = outcome
    return replace(greedy, variant=",".join(filter(None, (GREEDY, greedy.variant))))


def choose_widths(job: Job, start: Outcome) -> Outcome:
    """The search alone: a plan of groups that meets the budget, not yet tuned.

    With a folder, the finished search is kept there and a resumed job does not search again.

    Args:
        job: data and budget.
        start: the outcome of a greedy search for the same budget.
    """
    statistics = start.statistics
    record = finished_search(job, "codesign")
    if record is not None:
        return record.outcome(job.press(record.plan, statistics), statistics)
    began = perf_counter()
    plan = start.pressed.plan
    groups = {
        site.site: groups_of(site, statistics.basis_of(site), wanted=job.settings.groups)
        for site in plan
    }
    network = mixture_network(job, start, groups)
    train_widths(job, network, symbol_target(job, start.pressed))
    pressed = settle(job, statistics, plan, groups, mixtures(network))
    seconds = start.search_seconds + perf_counter() - began
    outcome = replace(
        start, pressed=pressed, method="codesign", variant="", path=(), search_seconds=seconds
    )
    keep_search(job, SearchRecord.of(job, outcome))
    return outcome


def mixture_network(job: Job, start: Outcome, groups: dict[str, Groups]) -> CompressedModel:
    """The network with a `MixtureCodec` at every site, its rate aligned to prices.

    In the entropy view each site's smooth rate is scaled to what the start's tables say.
    """
    scales, plan = rate_scales(job, start.pressed), start.pressed.plan
    codecs = {}
    for site in plan:
        codec = mixture_of(
            site,
            groups[site.site],
            start.statistics,
            job.budget.view,
            candidates=job.settings.widths.candidates,
        )
        codec.rate_scale.fill_(scales[site.site])
        codecs[site.site] = codec
    placements = {site.site: site.placement for site in plan}
    network = insert_codecs(job.graph, codecs, placements)
    return CompressedModel(network, plan).eval().to(job.device)


def _in_subfolder(job: Job, name: str) -> Job:
    return replace(job, folder=None if job.folder is None else job.folder / name)
