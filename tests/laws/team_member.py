"""One of two processes: what the team finds equals what this process finds alone, to the bit.

Started twice by `test_team.py`. Prints what differs, and JSON of what training came to.
"""

import copy
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.budget import Budget
from actpress.calibration import SiteStatistics, Statistics
from actpress.codec import counting
from actpress.data.dataset import Dataset
from actpress.errors import ActpressError, DataError, RunError
from actpress.evaluation import RunInfo, evaluate, judge, refer
from actpress.graph import GradientWatch, capture
from actpress.methods import METHODS, Job, Outcome, Settings
from actpress.pipeline.learn import learnable
from actpress.pressing import CompressedModel, run
from actpress.settings import TuneSettings
from actpress.team import ALONE, Team, join, leave
from actpress.tune import align_rate_model, fit_decoders, held_out_divergence, tune
from tests.conftest import CLASSES, Tiny, _split

IMAGES = 470
"""Five batches, the last of which is smaller: one process has three, the other two."""


def main() -> None:
    torch.set_num_threads(1)
    job = made()
    team = join()
    shared = replace(job, team=team, searches={})
    check_statistics(job, shared)
    alone, together = check_searches(job, shared)
    check_symbols(shared, copy.deepcopy(together.pressed))
    check_judging(job, shared, together.pressed)
    check_errors(team)
    plan = learnable(job, alone.pressed.plan, "cap")
    same("learnt transforms", plan == alone.pressed.plan, False)
    pressed = [each.press(plan, alone.statistics) for each in (job, shared)]
    check_decoders(job, shared, *pressed)
    trained = [trained_with(job, pressed[0]), trained_with(shared, pressed[1])]
    team.check_alike({"trained weights": trained[1]["sum"]})
    if team.is_first:
        sys.stdout.write(json.dumps(trained))
    leave()


def made() -> Job:
    train, holdout, test = (_split(count, 1 + n) for n, count in enumerate((IMAGES, 230, 250)))
    data = Dataset("tiny", train, holdout, test, CLASSES)
    torch.manual_seed(0)
    network = Tiny()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(6):
        for x, labels in data.train.batches(64):
            optimizer.zero_grad()
            F.cross_entropy(network(x), labels).backward()
            optimizer.step()
    graph = capture(network.eval(), next(train.batches(2))[0])
    tune_settings = TuneSettings(steps=20, validate_every=10, batch_size=31)
    settings = Settings(
        calibration_images=IMAGES, decoder_images=IMAGES, search_images=96, tune=tune_settings
    )
    return Job(graph, data, Budget.parse("1.5bits"), settings)


def same(what: str, alone: Any, together: Any) -> None:
    """Stop at the first thing that is not equal to the bit."""
    if isinstance(alone, Tensor):
        equal = torch.equal(alone, together)
    elif isinstance(alone, Mapping):
        equal = alone.keys() == together.keys()
        for key, value in alone.items():
            same(f"{what}, {key}", value, together[key])
    elif isinstance(alone, SiteStatistics | Statistics):
        own, other = vars(alone), vars(together)
        same(what, {k: v for k, v in own.items() if k != "_bases"}, other | {"_bases": 0})
        return
    else:
        equal = alone == together
    if not equal:
        raise SystemExit(f"{what}: {alone} alone, {together} together")


def check_statistics(job: Job, shared: Job) -> None:
    plan = METHODS["int8"](job).pressed.plan
    alone, together = job.observe_plan(plan), shared.observe_plan(plan)
    for field in ("sites", "fisher", "fisher_images", "placements"):
        mine, ours = getattr(alone, field), getattr(together, field)
        if field == "sites":
            for name, own in mine.items():
                same(f"statistics of {name}", vars(own), vars(ours[name]))
        else:
            same(field, mine, ours)


def check_searches(job: Job, shared: Job) -> tuple[Outcome, Outcome]:
    """Greedy searches of both views and layer-wise sensitivities; gives the last greedy one."""
    ran: list[int] = []
    for text in ("3x (fixed, batch 1)", str(job.budget)):
        budget = Budget.parse(text)
        for method in ("gdr", "layerwise_ilp"):
            mine, ours = (
                counted(replace(each, budget=budget), method, ran) for each in (job, shared)
            )
            same(f"{method}, {text}: the plan", mine.pressed.plan, ours.pressed.plan)
            same("codecs and tables", mine.pressed.state_dict(), ours.pressed.state_dict())
            same("nodes", mine.search_node_evals, ours.search_node_evals)
            alone, together = ran[-2:]
            same(f"{method}, {text}: batches", sum(shared.team.gathered(together)), alone)
            same("a part of them", 0 < together < alone, True)
            if method == "gdr":
                greedy = mine, ours
    return greedy


def counted(job: Job, method: str, ran: list[int]) -> Outcome:
    """An outcome; adds how many batches this process went back through for it."""
    went_back, visits = GradientWatch.visit, 0

    def visit(*arguments: Any) -> None:
        nonlocal visits
        visits += 1
        went_back(*arguments)

    with mock.patch.object(GradientWatch, "visit", visit):
        outcome = METHODS[method](job)
    ran.append(visits)
    return outcome


def check_symbols(shared: Job, pressed: CompressedModel) -> None:
    """Counts with tables and without, and the squared errors."""
    images = shared.data.train
    for name, codec in pressed.codecs.items():
        same(f"ranges of {name}", int(codec.q_min.min()) <= int(codec.q_max.max()), True)
    whole = [x for x, _ in images.batches(100)]
    for fitted in (True, False):
        if not fitted:
            for codec in pressed.codecs.values():
                codec.clear_tables()
        with counting(pressed.codecs) as alone:
            run(pressed, whole)
        with counting(pressed.codecs, team=shared.team) as together:
            run(pressed, shared.calibration_batches())
        for name, own in alone.items():
            ours = together[name]
            same(f"counts of {name}", own.counts, ours.counts)
            same(f"lowest of {name}", own.lowest, ours.lowest)
            same(f"values of {name}", own.values, ours.values)
            same(f"errors of {name}", own.squared_error, ours.squared_error)


def check_decoders(job: Job, shared: Job, alone: CompressedModel, ours: CompressedModel) -> None:
    before = {name: tensor.clone() for name, tensor in alone.state_dict().items()}
    for each, pressed in ((job, alone), (shared, ours)):
        batches = each.decoder_batches()
        assert batches is not None
        fit_decoders(pressed, each.graph, batches)
        align_rate_model(pressed, each.rate_batches(), each.symbol_prices(pressed))
    same("fitted decoders and rates", alone.state_dict(), ours.state_dict())
    changed = [n for n, own in alone.state_dict().items() if not torch.equal(own, before[n])]
    same("a decoder was fitted", any(name.endswith("decoder") for name in changed), True)
    settings, team = job.settings.tune, shared.team
    split = job.validation()
    mine = held_out_divergence(alone, job.graph, split, settings)
    same("divergence", mine, held_out_divergence(ours, job.graph, split, settings, team=team))


def check_judging(job: Job, shared: Job, pressed: CompressedModel) -> None:
    test, network, task = job.data.test, job.graph.eval_module, job.graph.task
    mine = refer(network, test, batch=64)
    ours = refer(network, test, batch=64, team=shared.team)
    same("evidence", mine.evidence, ours.evidence)
    same("decisions", mine.decisions, ours.decisions)
    judged = judge(pressed, test, mine, task=task)
    same("judged", vars(judged), vars(judge(pressed, test, ours, task=task, team=shared.team)))
    alone, together = (
        evaluate(pressed, job.graph, test, RunInfo(), team=team) for team in (ALONE, shared.team)
    )
    same("metrics", alone, together)


def check_errors(team: Team) -> None:
    """An error of any process is one of all, and so is a difference between them."""

    def broken() -> Any:
        yield 1
        if not team.is_first:
            raise DataError("image 7 is broken")
        yield 2

    for work in (lambda: list(team.in_order(broken())), lambda: team.from_first(refuse)):
        try:
            work()
        except (DataError, RunError) as error:
            same("the error", str(error) in {"image 7 is broken", "no"}, True)
        else:
            raise SystemExit("no error")
    try:
        team.check_alike({"images": team.rank})
    except ActpressError as error:
        same("the difference", "process 1 has another images than process 0" in str(error), True)
    else:
        raise SystemExit("no difference was told")


def refuse() -> None:
    raise RunError("no")


def trained_with(job: Job, pressed: CompressedModel) -> dict[str, float]:
    """Some steps of training, of which a team shares the batches, with bits to spare.

    The smooth rate hears of the shares alone; without it the gradient is the mean of all images.
    """
    bits = 1e3 * sum(job.symbol_prices(pressed).values())
    report = tune(
        pressed,
        job.graph,
        job.data.train,
        job.validation(),
        job.settings.tune,
        target_bits=bits,
        keep_last=True,
        team=job.team,
    )
    total = sum(float(p.detach().double().sum()) for p in pressed.parameters())
    return {"before": report.loss_before, "after": report.loss_after, "sum": total}


if __name__ == "__main__":
    main()
