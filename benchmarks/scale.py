"""What every stage costs against sites, channels, pixels and images (`make bench-scale`).

    python -m benchmarks.scale

Networks are chains of convolutions of equal size on random images, so that one quantity changes at
a time. Seconds are those of the processor, on one thread, the least of `RUNS`. An exponent is the
slope of the seconds over the quantity in a double logarithm, of a least-squares line through the
upper half of the points. Writes `benchmarks/results/scale.json`, docs/results-scale.md and
docs/scale.svg; `--page` only the last two.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isqrt
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import nn

from actpress.allocate import SearchTask, explore, greedy_path, offers
from actpress.budget import Budget
from actpress.data import Dataset, Split
from actpress.evaluation import RunInfo, evaluate, predict
from actpress.graph import capture
from actpress.pipeline.job import Job
from actpress.pipeline.settings import Settings
from actpress.plan import Plan
from actpress.stream import through_bytes
from benchmarks.page import table
from benchmarks.store import Row, environment

RESULTS = Path("benchmarks/results/scale.json")
PAGE, PLOT = Path("docs/results-scale.md"), Path("docs/scale.svg")
Result = TypeVar("Result")
RUNS = 2
CHUNK = 64
"""Images of a batch of gradients."""

CLASSES = 10
AXES: Mapping[str, tuple[int, ...]] = {
    "sites": (2, 4, 8, 16),
    "channels": (32, 64, 128, 256),
    "pixels": (64, 256, 1024, 4096),
    "images": (16, 32, 64, 128),
}
MOST = {"channels": 3.0, "pixels": 1.0, "images": 1.0}
"""Exponents that are asked for; sites have none, as measuring runs the rest of the network behind
each of them."""

TOLERANCE = 0.15
"""Of an exponent: a few points on a machine that does other work."""


@dataclass(frozen=True)
class Point:
    """A network and its data; one of these is changed at a time."""

    sites: int = 4
    channels: int = 32
    pixels: int = 256
    images: int = 32

    @property
    def side(self) -> int:
        """Of the maps, in pixels."""
        return isqrt(self.pixels)


@dataclass
class Clock:
    """Seconds of the processor by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    def time(self, stage: str, work: Callable[[], Result]) -> Result:
        """Run a stage."""
        began = time.process_time()
        result = work()
        self.seconds[stage] = time.process_time() - began
        return result


def network(point: Point) -> nn.Module:
    """So many convolutions with batch norms and activations, and a classifier."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for index in range(point.sites):
        before = point.channels if index else 3
        layers += [
            nn.Conv2d(before, point.channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(point.channels),
            nn.ReLU(),
        ]
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(point.channels, CLASSES)]
    return nn.Sequential(*layers, *pooled).eval()


def data(point: Point) -> Dataset:
    """Random images; half of those that are held out are searched on."""
    generator = torch.Generator().manual_seed(0)

    def split(images: int) -> Split:
        x = torch.randn(images, 3, point.side, point.side, generator=generator)
        return Split.in_memory(x, torch.arange(images) % CLASSES)

    train, holdout, test = map(split, (point.images, 2 * point.images, point.images))
    return Dataset("noise", train, holdout, test, CLASSES)


def stages(point: Point) -> dict[str, float]:
    """Seconds of every stage of a search and of what follows it."""
    clock, own = Clock(), data(point)
    graph = clock.time("capture", lambda: capture(network(point), next(own.train.batches(2))[0]))
    settings = Settings(calibration_images=point.images, search_images=point.images)
    job = Job(graph, own, Budget.parse("6x (entropy, activations)"), settings)
    kinds = offers(job.sites, settings.search.transforms, block=None)
    parts = clock.time("observe", lambda: job.observe(kinds))

    def fit_bases() -> None:
        for site, own in kinds.items():
            for offer in own:
                part = next(p for p in parts if p.block(site) == offer.block and site in p.sites)
                if offer.transform != "identity":
                    part.basis(site, offer.transform)

    clock.time("fit bases", fit_bases)
    images = job.search_images()
    found = clock.time(
        "explore", lambda: explore(graph, parts, kinds, images.split(CHUNK), job.objective, seed=0)
    )
    ladders = [site.ladder(job.objective) for site in found]
    path = clock.time("path", lambda: greedy_path(ladders, job.objective))
    levels = path[len(path) // 2].levels
    states = [ladder[level] for ladder, level in zip(ladders, levels, strict=True)]
    task = SearchTask(
        graph, parts, images, job.images_with_gradients, job.objective, settings.search, graph.task
    )
    clock.time("measure losses", lambda: task.measure(states))
    plan = Plan(
        method="gdr",
        fingerprint=graph.fingerprint,
        sites=tuple(state.plan for state in states),
    )
    statistics = job.observe_plan(plan)
    pressed = clock.time("press, fit tables", lambda: job.press(plan, statistics))
    clock.time("evaluate", lambda: evaluate(pressed, graph, own.test, RunInfo()))
    clock.time("forward", lambda: predict(graph.eval_module, own.test))
    with through_bytes(pressed):
        clock.time("forward through bytes", lambda: predict(pressed, own.test))
    return clock.seconds


def measured() -> list[Row]:
    """Every point of every axis, once."""
    stages(Point(sites=2, channels=8, pixels=64, images=32))  # compiles and warms up
    rows: list[Row] = []
    for axis, values in AXES.items():
        for value in values:
            point = replace(Point(), **{axis: value})
            runs = [stages(point) for _ in range(RUNS)]
            seconds = {stage: min(run[stage] for run in runs) for stage in runs[0]}
            print(axis, value, {stage: round(s, 3) for stage, s in seconds.items()}, flush=True)
            rows.append({"axis": axis, "value": value, "point": asdict(point), "seconds": seconds})
    return rows


def exponent(rows: list[Row], axis: str, stage: str) -> float:
    """Slope of the upper half of the points of an axis, in a double logarithm."""
    points = [(row["value"], row["seconds"][stage]) for row in rows if row["axis"] == axis]
    upper = np.log2(np.array(points[len(points) // 2 - 1 :]))
    return float(np.polyfit(upper[:, 0], upper[:, 1], 1)[0])


def exponents(rows: list[Row]) -> dict[str, dict[str, float]]:
    """By stage and axis."""
    names = list(rows[0]["seconds"])
    return {stage: {axis: exponent(rows, axis, stage) for axis in AXES} for stage in names}


def misses(found: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Stages that grow faster than is asked."""
    for stage, own in found.items():
        for axis, most in MOST.items():
            if own[axis] > most + TOLERANCE:
                yield f"{stage} against {axis}: {own[axis]:.2f}, at most {most:g}"


def draw(rows: list[Row]) -> None:
    """Seconds over each quantity, a line for every stage."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    plots = figure.subplots(1, len(AXES), sharey=True)
    for plot, (axis, values) in zip(plots, AXES.items(), strict=True):
        for stage in rows[0]["seconds"]:
            seconds = [row["seconds"][stage] for row in rows if row["axis"] == axis]
            plot.loglog(values, seconds, marker=".", linewidth=1, label=stage)
        plot.set_xticks(values, [str(value) for value in values])
        plot.minorticks_off()
        plot.set_xlabel(axis)
        plot.grid(visible=True, linewidth=0.3)
    plots[0].set_ylabel("seconds")
    handles, labels = plots[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize="small", frameon=False)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": PLOT.name}):
        figure.savefig(PLOT, metadata={"Date": None})


def write_page(rows: list[Row], commit: str) -> None:
    """The page and its picture."""
    found = exponents(rows)
    cells = [(stage, *(f"{own[axis]:.2f}" for axis in AXES)) for stage, own in found.items()]
    slower = list(misses(found))
    verdict = (
        "Nothing grows faster than that."
        if not slower
        else "Faster than that grow:\n\n" + "\n".join(f"- {line}" for line in slower)
    )
    base = ", ".join(f"{value} {name}" for name, value in asdict(Point()).items())
    PAGE.write_text(f"""# Scaling

Written by `make bench-scale` from `benchmarks/results/scale.json` (commit {commit}); do not edit by
hand. Chains of 3x3 convolutions with equal channels on random images, a site for each; one quantity
is changed at a time from {base} (pixels of a map).
Processor seconds on one thread, the least of {RUNS} runs. An exponent is the slope of the larger
points in a double logarithm; stages of milliseconds have fixed costs, which make it smaller.

![Seconds of each stage over sites, channels, pixels and images](scale.svg)

Asked for are exponents of at most 3 for channels, those of an eigen-decomposition, and 1 for pixels
and images; {TOLERANCE:g} above that is taken for noise. {verdict}

Measured losses grow with the square of the sites where networks are deep: behind each site, what
depends on it runs anew. `explore` counts symbols on the first 64 images at most.

{table(("stage", *AXES), cells)}""")
    draw(rows)


def main() -> None:
    """Measure, unless only the page is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true")
    if not parser.parse_args().page:
        torch.set_num_threads(1)
        rows = measured()
        found = {"commit": environment()["commit"], "rows": rows, "exponents": exponents(rows)}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    kept = json.loads(RESULTS.read_text())
    write_page(kept["rows"], kept["commit"])


if __name__ == "__main__":
    main()
