"""Other tasks than classification, and images without labels (`make bench-tasks`).

Trains a small U-Net and a small super-resolution network on data it makes, compresses them, and
compares calibration with and without labels on the bundled classifiers; before, one small network
of every task and rank goes through gdr. What is in
`benchmarks/results/tasks.json` already is not measured again; `--page` only writes
docs/results-tasks.md anew.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from actpress.api import compress
from actpress.data import Dataset, Split, load_dataset
from actpress.evaluation import judge, refer
from actpress.graph import capture
from actpress.methods import Settings
from actpress.settings import TuneSettings
from actpress.zoo import reference
from benchmarks.store import Row, environment
from benchmarks.task_kinds import finish, key_of, kinds
from benchmarks.task_networks import Trained, super_resolution, unet
from benchmarks.tasks_page import write_page

RESULTS = Path("benchmarks/results/tasks.json")
NETWORKS: dict[str, Callable[[], Trained]] = {
    "unet": cache(unet),
    "super_resolution": cache(super_resolution),
}
CLASSIFIERS = ("resnet18", "mobilenet_v2", "vgg16_bn")
BUDGET = "4x"
LABELS_BUDGET = "6x"
SETTINGS = Settings(
    calibration_images=256,
    search_images=64,
    decoder_images=128,
    tune=TuneSettings(steps=100, batch_size=16, validation_images=128),
)
QUICK = Settings(calibration_images=250, search_images=64)


@dataclass(frozen=True)
class Wanted:
    """One row that is to be measured."""

    network: str
    method: str
    labels: bool = True

    @property
    def key(self) -> tuple[str, str, bool]:
        """What tells rows apart."""
        return self.network, self.method, self.labels


def wanted() -> Iterator[Wanted]:
    """All rows, the ones of most interest first."""
    for method in ("gdr", "cap"):
        yield from (Wanted(network, method) for network in NETWORKS)
    for network in CLASSIFIERS:
        yield from (Wanted(network, "gdr", labels) for labels in (True, False))


def measure(row: Wanted) -> Row:
    """Compress, and judge by the task's metric on the test images."""
    began = time.perf_counter()
    found = _of_task(row) if row.network in NETWORKS else _of_labels(row)
    return {
        "network": row.network,
        "method": row.method,
        "labels": row.labels,
        **found,
        "seconds": time.perf_counter() - began,
        "environment": environment(),
    }


def _of_task(row: Wanted) -> Row:
    trained = NETWORKS[row.network]()
    result = compress(
        trained.network, trained.data, method=row.method, budget=BUDGET, settings=SETTINGS
    )
    compared = result.metrics.compared
    return {
        "task": trained.data.task.name,
        "metric": compared.name,
        "unit": compared.unit,
        "before": compared.before,
        "after": compared.after,
        "lost": compared.drop_pp,
        "lost_error": compared.drop_error_pp,
        "images": compared.images,
        "budget": result.metrics.budget,
        "net_ratio_batch1": result.metrics.traffic.net_ratio_8bit_batch1.entropy,
        "agreement": result.metrics.agreement,
    }


def _of_labels(row: Wanted) -> Row:
    """The accuracy of a network that was compressed with labels, or without."""
    network, data = reference.load(row.network), load_dataset("fashion-mnist-subset")
    given = data if row.labels else _without_labels(data)
    result = compress(network, given, method=row.method, budget=LABELS_BUDGET, settings=QUICK)
    graph = capture(network, next(data.train.batches(2))[0])
    floats = refer(graph.eval_module, data.test, task=data.task)
    judged = judge(result.model, data.test, floats, task=data.task)
    before, after = data.task.measure(floats.evidence), data.task.measure(judged.evidence)
    return {
        "task": data.task.name,
        "metric": data.task.metric.name,
        "unit": data.task.metric.unit,
        "before": before,
        "after": after,
        "lost": data.task.metric.lost(before, after),
        "lost_error": data.task.loss_error(floats.evidence, judged.evidence),
        "images": len(data.test),
        "budget": result.metrics.budget,
        "net_ratio_batch1": result.metrics.traffic.net_ratio_8bit_batch1.entropy,
        "agreement": result.metrics.agreement,
    }


def _without_labels(data: Dataset) -> Dataset:
    splits = [Split.unlabelled(split.source) for split in (data.train, data.holdout, data.test)]
    return Dataset(data.name, splits[0], splits[1], splits[2], 0)


def main() -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    began = time.perf_counter()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    rows: list[Row] = found.get("rows", [])
    finishes: list[Row] = found.get("finishes", [])
    known = set(map(key_of, finishes))
    for kind in () if options.page else kinds():
        if key_of(kind) not in known:
            finishes.append(finish(kind))
            print(*key_of(kind), finishes[-1]["refused"] or "finished", flush=True)
            write_page(rows, RESULTS, finishes)
    done = {(row["network"], row["method"], row["labels"]) for row in rows}
    for row in () if options.page else wanted():
        if row.key in done:
            continue
        if time.perf_counter() - began > 60 * options.minutes:
            break
        rows.append(measure(row))
        print(
            *row.key, {k: rows[-1][k] for k in ("before", "after", "lost", "seconds")}, flush=True
        )
        write_page(rows, RESULTS, finishes)
    write_page(rows, RESULTS, finishes)


if __name__ == "__main__":
    main()
