"""Peak memory of calibration and search at 3x224x224 (`make bench-memory`).

ResNet18 in torchvision's layout with random weights, and images that are made when they are asked
for, so that what grows with their number is the product's own. For each number of calibration
images, in a process of its own: capture, calibration, the greedy search, and the first plan
pressed with its tables fitted. Writes `benchmarks/results/memory.json` and
docs/results-memory.md; what is measured already is not measured again.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.allocate import SearchTask, offers, search
from actpress.budget import Budget
from actpress.calibration import Statistics
from actpress.data import Dataset, Split, load_dataset
from actpress.graph import capture
from actpress.methods import Job, Settings
from actpress.zoo import resnet18
from benchmarks.memory import peak_memory_mib, reset_peak_memory
from benchmarks.page import TARGETS, Target, table, target_line, target_of, write_results
from benchmarks.store import Row, environment

RESULTS = Path("benchmarks/results/memory.json")
WHOLE = 250
"""Calibration images of the row that goes all the way."""

GROWING = 100, 400, 1000
"""Calibration images of the rows that end with calibration, which alone sees them all."""

MOST_MIB = 2.5 * 1024
PAGE = Path("docs/results-memory.md")
STAGES = "before", "calibration", "search", "press"

INTRODUCTION = (
    "Written by `make bench-memory` from `benchmarks/results/memory.json`; do not edit by hand. "
    "ResNet18 in torchvision's layout with random weights at 3x224x224, on one thread; images are "
    "made when they are asked for. *before* is Python with everything loaded and the network "
    "captured, *calibration* has statistics and Fisher information of all that sites are offered "
    "besides, *search* the greedy search on 128 images, *press* the first plan with code tables "
    "fitted on the calibration images. Rows that end with calibration show how memory grows with "
    "the images, which nothing keeps.\n"
)
GROWTH = 1.05
"""Four times as many images may take so much more, for what the allocator leaves over."""

HELD_OUT, TESTED = 256, 8


@dataclass(frozen=True)
class Enlarged:
    """Images of another source at 3x224x224, made when they are asked for."""

    split: Split
    count: int

    def __len__(self) -> int:
        return self.count

    def load(self, indices: Tensor) -> Tensor:
        """See `ImageSource.load`."""
        small = self.split.load(indices % len(self.split))
        wide = F.interpolate(small, size=(224, 224), mode="bilinear")
        return wide.expand(-1, 3, -1, -1).contiguous()


def measured(images: int, *, whole: bool) -> Row:
    """The row of this process.

    Args:
        images: to calibrate on.
        whole: whether it goes on after calibration.
    """
    small = load_dataset("fashion-mnist-subset")
    counts = {"train": images, "holdout": HELD_OUT, "test": TESTED}
    train, holdout, test = (
        Split(Enlarged(getattr(small, part), count), torch.zeros(count, dtype=torch.int64))
        for part, count in counts.items()
    )
    data = Dataset("enlarged", train, holdout, test, 1000)
    torch.manual_seed(0)
    network = resnet18(num_classes=1000).eval()
    reset_peak_memory()
    began, row = time.process_time(), Row(images=images, whole=whole)

    def note(stage: str) -> None:
        row[f"{stage}_peak_mib"] = peak_memory_mib()
        row[f"{stage}_processor_s"] = time.process_time() - began

    graph = capture(network, next(data.train.batches(2))[0])
    budget = Budget.parse("6x (entropy, activations)")
    job = Job(graph, data, budget, Settings(calibration_images=images))
    note("before")
    kinds = offers(job.sites, job.settings.search.transforms, block=None)
    parts = job.observe(kinds)
    note("calibration")
    if not whole:
        return {**row, "environment": environment()}
    work = SearchTask(
        graph,
        parts,
        job.search_images(),
        job.images_with_gradients,
        job.objective,
        job.settings.search,
        graph.task,
    )
    plan = search(work, kinds, job.planned_target()).plan_within(job.target(), method="gdr")
    note("search")
    job.press(plan, Statistics.chosen(parts, plan))
    note("press")
    return {**row, "environment": environment()}


def main() -> None:
    """Measure what is missing, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, help="only print the row of so many")
    parser.add_argument("--whole", action="store_true", help="likewise, beyond calibration")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.images:
        print(json.dumps(measured(options.images, whole=options.whole)))
        return
    rows: list[Row] = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    for images, whole in (*((count, False) for count in GROWING), (WHOLE, True)):
        if (images, whole) not in {(row["images"], row["whole"]) for row in rows}:
            command = [sys.executable, "-m", "benchmarks.search_memory", "--images", str(images)]
            command += ["--whole"] if whole else []
            done = subprocess.run(  # noqa: S603 - our own program
                command, stdout=subprocess.PIPE, text=True, check=True
            )
            rows.append(json.loads(done.stdout))
            write(rows)
    write(rows)


def write(rows: list[Row]) -> None:
    """The rows, judged."""
    targets = [
        target_of(
            "ResNet18 at 3x224x224, calibration and search, largest resident set",
            f"at most {MOST_MIB:.0f} MiB",
            f"{row['press_peak_mib']:.0f} MiB with {row['images']} calibration images",
            met=row["press_peak_mib"] <= MOST_MIB,
        )
        for row in rows
        if row["whole"]
    ]
    growing = sorted((row for row in rows if not row["whole"]), key=lambda row: row["images"])
    if len(growing) > 1:
        few, many = growing[0], growing[-1]
        ratio = many["calibration_peak_mib"] / few["calibration_peak_mib"]
        targets.append(
            target_of(
                f"calibration with {many['images']} images against {few['images']}",
                "not growing",
                f"{ratio:.2f}x",
                met=ratio <= GROWTH,
            )
        )
    write_results(rows, targets, RESULTS)
    PAGE.write_text(page(rows, targets))


def page(rows: list[Row], targets: list[Target]) -> str:
    """The whole page."""
    columns = ("images", *(f"{stage}, MiB" for stage in STAGES), "processor, min", "commit")
    cells = [
        (
            str(row["images"]),
            *(_mib(row.get(f"{stage}_peak_mib")) for stage in STAGES),
            f"{max(row.get(f'{stage}_processor_s', 0) for stage in STAGES) / 60:.1f}",
            row["environment"]["commit"],
        )
        for row in rows
    ]
    return "\n".join(
        [
            "# Memory at 3x224x224\n",
            INTRODUCTION,
            "\n".join([TARGETS, *(target_line(**target) for target in targets)]) + "\n",
            "## Rows\n",
            "Largest resident set of the process, up to the end of each stage.\n",
            table(columns, cells),
            *_missing(rows),
        ]
    )


def _missing(rows: list[Row]) -> list[str]:
    known = {(row["images"], row["whole"]) for row in rows}
    missing = [
        f"calibration with {count} images" for count in GROWING if (count, False) not in known
    ]
    missing += [] if (WHOLE, True) in known else [f"search and press with {WHOLE}"]
    told = f"Not measured yet: {', '.join(missing)}; `make bench-memory` goes on with them.\n"
    return [told] if missing else []


def _mib(peak: float | None) -> str:
    return "" if peak is None else f"{peak:.0f}"


if __name__ == "__main__":
    main()
