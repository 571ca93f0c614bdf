"""The library in a few calls: `compress`, `inspect`, `Result.save`."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from actpress.evaluation import Metrics, RunInfo, evaluate, measure_latency, refer
from actpress.evaluation.judging import BATCH
from actpress.graph import (
    Graph,
    Site,
    check_weights_finite,
    hash_weights,
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
from actpress.rules import Rule, check_rules, rules_of, rules_text
from actpress.run import (
    METRICS,
    REPORT,
    SOURCE,
    Source,
    check_inputs,
    check_weights,
    facts_of,
    metrics_json,
    network_of,
    new_folder,
    save_model,
    write_text,
)
from actpress.settings import WITHOUT_BUDGET, Capture
from actpress.tasks import CLASSIFICATION, Task
from actpress.team import ALONE, Team

RAM_IMAGES = 256
"""Training images that bound what no codec bounds, where a budget is of RAM."""


@dataclass(frozen=True)
class Result:
    """A compressed network, its numbers, and where it came from.

    Attributes:
        model: the network; an ordinary `nn.Module` with the outputs of the original.
        metrics: measured on the test split.
        source: of model and data.
    """

    model: CompressedModel
    metrics: Metrics
    source: Source

    def save(
        self,
        folder: Path | str,
        *,
        force: bool = False,
        model: str | None = None,
        model_args: Mapping[str, object] | None = None,
        weights: Path | str | None = None,
        data: str | None = None,
    ) -> None:
        """Write a run directory: plan, codec, metrics, report.

        Args:
            folder: to be made.
            force: replace an earlier run.
            model: `package.module:factory` of the float network, by which commands such as
                `actpress evaluate` find it; without it they know a description alone.
            model_args: keyword arguments of the factory.
            weights: file that they load into what the factory makes; None where it has its weights.
            data: name or factory of the data, likewise.

        Raises:
            RunError: the folder exists and `force` is not set, or the factory makes a network with
                other weights.
            ModelError: there is no such factory, or the weights do not fit.
        """
        named = self
        if model is not None:
            path = None if weights is None else Path(weights)
            check_weights(self.source, network_of(model, model_args, path))
            update = {
                "model": model,
                "model_args": json.dumps(model_args) if model_args else None,
                "weights": None if path is None else str(path.resolve()),
            }
            named = replace(self, source=self.source.model_copy(update=update))
        if data is not None:
            named = replace(named, source=named.source.model_copy(update={"data": data}))
        with new_folder(Path(folder), force=force) as partial:
            named.write_files(partial)

    def write_files(self, folder: Path) -> None:
        """Write the files of a run directory into a folder that exists."""
        from actpress.report import render_html  # noqa: PLC0415 - templates load slowly

        save_model(self.model, folder)
        write_text(folder / METRICS, metrics_json(self.metrics))
        write_text(folder / REPORT, render_html(self.metrics))
        write_text(folder / SOURCE, self.source.model_dump_json(indent=2) + "\n")


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
    folder: Path | str | None = None,
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
        folder: for checkpoints; an existing one is continued from, if weights and images are the
            same.
        progress: told how far the work is.
        team: other processes that share the work, see `actpress.team.join`; all of them call this
            with the same arguments, and have the same result.

    Raises:
        ActpressError: see the subclasses in `actpress.errors`.
    """
    budget = Budget.parse(budget) if isinstance(budget, str) else budget
    if method not in METHODS:
        raise ActpressError(f"there is no method {method!r}; expected {', '.join(METHODS)}")
    if budget.is_ram and method != "gdr" and plan is None:
        raise BudgetError(f"a budget of peak RAM is met by the method gdr alone, not by {method}")
    wanted = rules_of(rules)
    check_rules(wanted, method, has_plan=plan is not None)
    given_plan = Plan.load(Path(plan)) if isinstance(plan, str | Path) else plan
    data = opened(data, holdout, test, task)
    model = unwrapped(model)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    example = next(data.train.batches(2))[0].to(device)
    graph = capture_for(model, example, leaves, task=data.task, how=capture)
    settings, progress = settings or Settings(), progress or Silence()
    check_labels(data, budget, settings)
    check_network(graph, data)
    if given_plan is not None:
        check_plan(graph, given_plan)
    source = source or describe_source(model, data, leaves, capture)
    if source.images_sha256 is None:
        digests = read_images(data, settings, progress)
        source = source.model_copy(update={"images_sha256": digests})
    team.check_alike(_what_decides(source))
    kept = None if folder is None or not team.is_first else Path(folder)
    team.from_first(lambda: None if kept is None else check_inputs(kept, source))
    progress.start("float network", len(data.test))
    reference = refer(
        graph.eval_module,
        data.test,
        task=data.task,
        batch=images_at_once(graph, BATCH),
        on_batch=progress.advance,
        team=team,
    )
    data.task.measure(reference.evidence)  # a metric that fails does so now, not after the work
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
    job.check_rules(budgeted=method not in WITHOUT_BUDGET and given_plan is None)
    outcome = METHODS[method](job) if given_plan is None else given(job, given_plan)
    info = replace(
        run_info(outcome, source, job, given_plan),
        held_out=job.held_out(outcome.pressed),
    )
    progress.start("evaluate", len(data.test))
    metrics = evaluate(
        outcome.pressed,
        graph,
        data.test,
        info,
        statistics=outcome.statistics,
        energy=energy,
        reference=reference,
        on_batch=progress.advance,
        team=team,
    )
    latency = team.from_first(
        lambda: measure_latency(graph.eval_module, freeze(outcome.pressed), example[:1])
    )
    return Result(outcome.pressed, metrics.model_copy(update={"latency": latency}), source)


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
) -> tuple[Site, ...]:
    """The stored activations of a network, in the order in which it computes them.

    Args:
        model: any network that torch.fx can trace or torch.export can export; it is not changed.
        example: one input batch, or a tuple of them.
        leaves: module paths to trace around.
        capture: as for `compress`.
    """
    return captured(model, example, leaves=leaves, how=_way(capture)).sites


def capture_for(
    model: nn.Module,
    example: Tensor,
    leaves: Sequence[str],
    *,
    task: Task = CLASSIFICATION,
    how: str = Capture.AUTO,
) -> Graph:
    """Capture a network that is to be compressed: it must have sites.

    Raises:
        ActpressError: there is no such way to capture.
        ModelError: it stores no activation that could be compressed.
    """
    graph = captured(model, example, leaves=leaves, task=task, how=_way(how))
    if not graph.sites:
        raise ModelError(
            f"{type(model).__name__} stores no activation between its operations, so there is "
            f"nothing to compress; expected a network with at least two layers"
        )
    return graph


def _way(capture: str) -> Capture:
    if capture not in list(Capture):
        raise ActpressError(f"there is no capture {capture!r}; expected {', '.join(Capture)}")
    return Capture(capture)


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


def describe_source(
    model: nn.Module, data: Dataset, leaves: Sequence[str], capture: str = Capture.AUTO
) -> Source:
    """A source for a model that was built by the caller."""
    return Source(
        model=type(unwrapped(model)).__name__,
        data=data.name,
        input=data.input_shape,
        leaves=tuple(leaves),
        capture=_way(capture),
        weights_sha256=hash_weights(model),
    )


__all__ = ["Result", "View", "compress", "inspect"]
