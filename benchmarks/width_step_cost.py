"""One step of the search for bit-widths against one CAP tuning step, side by side."""

import statistics
from dataclasses import replace

from torch import Tensor

from actpress.budget import Budget
from actpress.data import Dataset
from actpress.graph import Graph
from actpress.methods import Job, Settings, gdr
from actpress.methods.codesign import BLOCK, group_components, mixture_network
from actpress.plan import Transform
from actpress.pressing import CompressedModel
from actpress.tune import Learned, TuneSettings, WidthSettings, mixtures
from actpress.tune.loop import TuningRun
from actpress.tune.rate import RateBound
from benchmarks.step_cost import seconds_of

BATCH = 32
ROUNDS = 9
CANDIDATES = (3, 9)


def measure_width_step_cost(graph: Graph, data: Dataset) -> dict[str, float | int]:
    """Median seconds of all steps on the same batch, taken in turn, and their ratios to CAP's."""
    job = Job(graph, data, Budget.parse("0.8bits"), Settings(calibration_images=200, block=BLOCK))
    start = gdr(job)
    groups = group_components(job, start)
    tuned = job.press(start.pressed.plan.with_transform(Transform.LEARNED), start.statistics)
    runs = {"cap": _run(job, tuned, None)}
    for candidates in CANDIDATES:
        settings = replace(job.settings, widths=WidthSettings(candidates=candidates))
        network = mixture_network(replace(job, settings=settings), start, groups)
        codecs = mixtures(network).values()
        learned = [
            Learned(tuple(codec.logits for codec in codecs), settings.widths.logit_lr),
            Learned(tuple(codec.log2_range for codec in codecs), settings.widths.range_lr),
        ]
        runs[f"search_{candidates}"] = _run(job, network, learned)
    x, labels = next(data.train.batches(BATCH))
    x, labels = x.to(job.device), labels.to(job.device)
    rounds = [_seconds(runs, x, labels) for _ in range(ROUNDS + 2)][2:]  # two rounds warm up
    result: dict[str, float | int] = {"batch_size": BATCH, "rounds": ROUNDS}
    for name in runs:
        result[f"{name}_step_seconds"] = statistics.median(row[name] for row in rounds)
        if name != "cap":
            result[f"{name}_ratio"] = statistics.median(row[name] / row["cap"] for row in rounds)
    return result


def _seconds(runs: dict[str, TuningRun], x: Tensor, labels: Tensor) -> dict[str, float]:
    return {
        name: seconds_of(lambda run=run: run.train_step(x, labels))  # type: ignore[misc]
        for name, run in runs.items()
    }


def _run(job: Job, pressed: CompressedModel, learned: list[Learned] | None) -> TuningRun:
    settings = TuneSettings(batch_size=BATCH, validation_images=BATCH)
    return TuningRun(
        pressed,
        job.graph,
        job.data.train,
        job.validation(),
        settings,
        RateBound(1e9),
        learned=learned,
    )
