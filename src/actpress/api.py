"""The library in a few calls: `compress` and `inspect`."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actpress.budget import Budget, View
from actpress.cost import EnergyModel
from actpress.data.dataset import Dataset, Split
from actpress.data.loaders import TorchData, from_torch
from actpress.deploy.freeze import freeze
from actpress.errors import ActpressError, BudgetError, DataError, ModelError
from actpress.evaluation import RunInfo, evaluate, measure_latency, refer
from actpress.evaluation.judging import BATCH
from actpress.graph import (
    Graph,
    Site,
    check_weights_finite,
    images_at_once,
    unwrapped,
)
from actpress.graph import capture as captured
from actpress.methods import (
    METHODS,
    Job,
    Outcome,
    Progress,
    Settings,
    Silence,
    check_labels,
    given,
    read_images,
)
from actpress.methods.by_hand import VARIANT as GIVEN
from actpress.pipeline.job import PeakRam
from actpress.plan import Plan
from actpress.pressing import CompressedModel, check_plan
from actpress.result import Result
from actpress.rules import Rule, check_rules, rules_of, rules_text
from actpress.run import Held, Source, check_inputs, facts_of, held, source_of
from actpress.settings import MEETING_RAM, WITHOUT_BUDGET, Capture, way_of
from actpress.tasks import CLASSIFICATION, Task
from actpress.team import ALONE, Team

RAM_IMAGES = 256
"""Training images that bound what no codec bounds, where a budget is of RAM."""


def compress(
    model: nn.Module,
    data: Dataset | TorchData,
    *,
    holdout: TorchData | None = None,
    test: TorchData | None = None,
    task: Task | None = None,
    rules: Sequence[Rule | Mapping[str, Any]] = (),
    plan: Plan | Path | str | None = None,
    method: str = "cap",
    budget: str | Budget = "8x",
    settings: Settings | None = None,
    energy: EnergyModel | None = None,
    source: Source | None = None,
    leaves: Sequence[str] = (),
    capture: str = Capture.AUTO,
    any_size: bool = False,
    folder: Path | str | Held | None = None,
    progress: Progress | None = None,
    team: Team = ALONE,
) -> Result:
    """Compress the activations of a trained network and measure what that costs.

    Args:
        model: trained network; it is not changed.
        data: images to calibrate, tune and, at the very end, test on; or torch's own `Dataset` or
            `DataLoader` of the training images, see `actpress.data.from_torch`.
        holdout: with training images of torch's, those that nothing is trained on.
        test: likewise, those that are tested on. Where one is missing, it is set apart from the
            training images, and told.
        task: what outputs and targets of torch's data mean, see `actpress.tasks`; classification by
            default. A `Dataset` names its own.
        rules: what happens at some sites, as `Rule`s or their data, such as
            `{"sites": "layer1.*", "what": "leave"}`; later ones win.
        plan: a plan, or the path of one, that is pressed as it is instead of a search.
        method: one of `METHODS`.
        budget: `8x` less moved than at 8 bit, codecs included; `6x-energy`, `1bits` per value,
            `0.5pp` loss of accuracy or another metric in %, `0.3dB` of PSNR, or `24KiB-ram`, peak
            RAM of packed maps and line buffers in C.
        settings: data amounts, search and tuning.
        energy: of the memory, for the report.
        source: where model and data came from, for `evaluate` in a later process; one with digests
            of the images says that they were read, and are not broken.
        leaves: module paths to trace around.
        capture: `fx` or `export`, torch's two ways to find what a network computes; `auto` exports
            what torch.fx cannot trace.
        any_size: the compressed network is to take other heights and widths than those of the data.
        folder: for checkpoints; an existing one is continued from, if weights and images are the
            same. No other command can use it meanwhile.
        progress: told how far the work is.
        team: other processes that share the work, see `actpress.team.join`; all of them call this
            with the same arguments, and have the same result.

    Raises:
        ActpressError: see the subclasses in `actpress.errors`.
    """
    budget = Budget.parse(budget) if isinstance(budget, str) else budget
    if method not in METHODS:
        raise ActpressError(f"there is no method {method!r}; expected {', '.join(METHODS)}")
    if budget.is_ram and method not in MEETING_RAM and plan is None:
        able = " and ".join(MEETING_RAM)
        raise BudgetError(f"a budget of peak RAM is met by the methods {able}, not by {method}")
    wanted = rules_of(rules)
    check_rules(wanted, method, has_plan=plan is not None)
    given_plan = Plan.load(Path(plan)) if isinstance(plan, str | Path) else plan
    data = opened(data, holdout, test, task)
    model = unwrapped(model)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    example = next(data.train.batches(2))[0].to(device)
    graph = capture_for(model, example, leaves, task=data.task, how=capture, any_size=any_size)
    settings, progress = settings or Settings(), progress or Silence()
    check_labels(data, budget, settings)
    check_network(graph, data)
    if given_plan is not None:
        check_plan(graph, given_plan)
    source = source or source_of(
        model, data, leaves=leaves, capture=way_of(capture), any_size=any_size
    )
    if source.images_sha256 is None:
        digests = read_images(data, settings, progress)
        source = source.model_copy(update={"images_sha256": digests})
    team.check_alike(_what_decides(source))
    with _folder_of(team, folder) as kept:
        team.from_first(lambda: None if kept is None else check_inputs(kept, source))
        job = Job(
            graph,
            data,
            budget,
            settings,
            energy or EnergyModel(),
            kept,
            progress,
            peak_ram=_peak_ram(data) if budget.is_ram else None,
            rules=wanted,
            team=team,
        )
        return _made(job, method, given_plan, source)


@contextmanager
def _folder_of(team: Team, folder: Path | str | Held | None) -> Iterator[Path | None]:
    """The folder for checkpoints, which the first process has to itself; None for the others.

    Raises:
        RunError: another command has it; in all processes.
    """
    with ExitStack() as stack:
        taken: list[Held] = []

        def take() -> None:
            if folder is not None:
                taken.append(stack.enter_context(held(folder)))

        team.from_first(take)  # by all processes: those of a command know no folder but the first
        yield taken[0].path if taken else None


def _made(job: Job, method: str, plan: Plan | None, source: Source) -> Result:
    """What a method makes, or a plan that is given instead, and what that is worth."""
    graph, test, task = job.graph, job.data.test, job.data.task
    job.check_memory()
    job.progress.start("float network", len(test))
    reference = refer(
        graph.eval_module,
        test,
        task=task,
        batch=images_at_once(graph, BATCH),
        on_batch=job.progress.advance,
        team=job.team,
    )
    task.measure(reference.evidence)  # a metric that fails does so now, not after the work
    job.check_rules(budgeted=method not in WITHOUT_BUDGET and plan is None)
    outcome = METHODS[method](job) if plan is None else given(job, plan)
    info = replace(run_info(outcome, source, job, plan), held_out=job.held_out(outcome.pressed))
    job.progress.start("evaluate", len(test))
    metrics = evaluate(
        outcome.pressed,
        graph,
        test,
        info,
        statistics=outcome.statistics,
        energy=job.energy,
        reference=reference,
        on_batch=job.progress.advance,
        team=job.team,
    )
    latency = job.team.from_first(
        lambda: measure_latency(graph.eval_module, freeze(outcome.pressed), graph.example[0][:1])
    )
    measured = metrics.model_copy(update={"latency": latency})
    return Result(outcome.pressed, measured, source, task)


def _what_decides(source: Source) -> dict[str, object]:
    """What processes must have alike to come to one result."""
    return {
        "weights": source.weights_sha256,
        "images": source.images_sha256,
        "version of torch": torch.__version__,
        "kind of processor": torch.backends.cpu.get_cpu_capability(),
        "number of threads": torch.get_num_threads(),
    }


def _peak_ram(data: Dataset) -> Callable[[CompressedModel], PeakRam]:
    """Peak RAM in C; only ranges of values without a codec come from the images."""

    def of(pressed: CompressedModel) -> PeakRam:
        from actpress.deploy.memory import PlannedPeak  # noqa: PLC0415 - few budgets ask for it

        return PlannedPeak.of(pressed, [next(data.train.batches(RAM_IMAGES))[0]])

    return of


def opened(
    data: Dataset | TorchData,
    holdout: TorchData | None,
    test: TorchData | None,
    task: Task | None = None,
) -> Dataset:
    """The data that the caller gave, in three splits.

    Raises:
        DataError: other splits or another task beside a `Dataset`, which has them, or none of the
            forms.
    """
    if isinstance(data, Dataset):
        if task not in (None, data.task):
            raise DataError(
                f"{data.name} has its own task, {data.task.name}; give task with a torch Dataset "
                f"or DataLoader alone, or as the task of that actpress.data.Dataset"
            )
        if holdout is not None or test is not None:
            raise DataError(
                f"{data.name} has its own holdout and test splits; give holdout and test with a "
                f"torch Dataset or DataLoader alone"
            )
        return data
    if isinstance(data, torch.utils.data.Dataset | torch.utils.data.DataLoader):
        return from_torch(data, holdout=holdout, test=test, task=task or CLASSIFICATION)
    raise DataError(
        f"data is a {type(data).__name__}; expected an actpress.data.Dataset, or a Dataset or "
        f"DataLoader of torch.utils.data"
    )


def inspect(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    *,
    leaves: Sequence[str] = (),
    capture: str = Capture.AUTO,
    any_size: bool = False,
) -> tuple[Site, ...]:
    """The stored activations of a network, in the order in which it computes them.

    Args:
        model: any network that torch.fx can trace or torch.export can export; it is not changed.
        example: one input batch, or a tuple of them.
        leaves: module paths to trace around.
        capture: as for `compress`.
        any_size: likewise.
    """
    return captured(model, example, leaves=leaves, how=capture, any_size=any_size).sites


def capture_for(
    model: nn.Module,
    example: Tensor,
    leaves: Sequence[str],
    *,
    task: Task = CLASSIFICATION,
    how: str = Capture.AUTO,
    any_size: bool = False,
) -> Graph:
    """Capture a network that is to be compressed: it must have sites.

    Raises:
        ActpressError: there is no such way to capture.
        ModelError: it stores no activation that could be compressed.
    """
    graph = captured(model, example, leaves=leaves, task=task, how=how, any_size=any_size)
    if not graph.sites:
        raise ModelError(
            f"{type(model).__name__} stores no activation between its operations, so there is "
            f"nothing to compress; expected a network with at least two layers"
        )
    return graph


def check_network(graph: Graph, data: Dataset) -> None:
    """Refuse at once what long work could only end in.

    Raises:
        ModelError: weights are not finite, or outputs not of the data's task.
        DataError: an image in memory is not finite.
    """
    check_weights_finite(graph.root)
    with torch.no_grad():
        output = graph.eval_module(*graph.example)
    images = len(graph.example[0])
    for split in (data.train, data.holdout, data.test):
        graph.task.check(output, _targets(split, images), images=images)
        split.check_finite()


def _targets(split: Split, images: int) -> Any | None:
    """All targets that are in memory, or the first ones; None where none are known."""
    if not split.is_labelled:
        return None
    return (
        split.pairs(torch.arange(min(images, len(split))))[1]
        if split.labels is None
        else split.labels
    )


def run_info(outcome: Outcome, source: Source, job: Job, plan: Plan | None = None) -> RunInfo:
    """What a method did, for the metrics.

    Args:
        outcome: of the method.
        source: of model and data.
        job: that it did.
        plan: that was given instead of a search.
    """
    settings = job.settings
    unbudgeted = outcome.method in WITHOUT_BUDGET or outcome.variant == GIVEN
    return RunInfo(
        model=source.model,
        data=source.data,
        method=outcome.method,
        variant=outcome.variant,
        seed=settings.seed,
        budget="" if unbudgeted else str(job.budget),
        objective=str(job.objective),
        batch=job.budget.batch,
        search=outcome.path,
        search_node_evals=outcome.search_node_evals,
        search_seconds=outcome.search_seconds,
        tune_seconds=outcome.tune_seconds,
        settings=facts_of(settings)
        | facts_besides(job.rules, plan)
        | {"torch": torch.__version__, "threads": torch.get_num_threads()},
    )


def facts_besides(rules: Sequence[Rule], plan: Plan | None) -> dict[str, str]:
    """What decides a result besides its settings, where it is not as usual."""
    facts = {"rules": rules_text(rules)} if rules else {}
    if plan is not None:
        facts["plan_sha256"] = hashlib.sha256(plan.to_json().encode()).hexdigest()
    return facts


__all__ = ["Result", "View", "compress", "inspect"]
