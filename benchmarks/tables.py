"""Code tables of the whole network against those of an earlier build, on the same symbols.

    git worktree add /tmp/earlier aab34da
    python -m benchmarks.tables /tmp/earlier

The plan is that of `gdr` at the entropy headline of ResNet18. Its symbols on calibration images
fit the tables of both builds, and its symbols on test images are counted under both; the earlier
build fits and counts in a process of its own (`benchmarks/tables_child.py`). Writes
`benchmarks/results/tables.json`, which docs/results-net.md quotes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from actpress.budget import Budget, View
from actpress.codec import SiteCodec
from actpress.codec.passing import seen_by
from actpress.evaluation import RunInfo, evaluate
from actpress.methods import METHODS, Job
from actpress.pressing import CompressedModel, run
from benchmarks.net import CALIBRATION_IMAGES, HEADLINES, Wanted, data, graph_of, settings_of
from benchmarks.store import environment

RESULTS = Path("benchmarks/results/tables.json")
CHILD = Path(__file__).with_name("tables_child.py")
MODEL, VIEW = "resnet18", View.ENTROPY
TEST_IMAGES = 500


class SymbolWriter:
    """A probe that keeps the symbols of one codec."""

    def __init__(self) -> None:
        self.batches: list[Tensor] = []

    def update(self, codec: SiteCodec, x: Tensor, q: Tensor, x_hat: Tensor) -> None:
        """Add one batch."""
        self.batches.append(q.to("cpu", torch.int16))


def write_symbols(pressed: CompressedModel, images: Iterable[Tensor], path: Path) -> None:
    """The symbols of every site, shape (n, k, ...), int16, in one file."""
    writers = {name: SymbolWriter() for name in pressed.codecs}
    with seen_by({codec: writers[name] for name, codec in pressed.codecs.items()}):
        run(pressed, images)
    save_file({name: torch.cat(own.batches).contiguous() for name, own in writers.items()}, path)


def earlier_bits(earlier: Path, folder: Path) -> dict[str, float]:
    """What the earlier build's tables take, bits per image and bits fetched."""
    variables = os.environ | {"PYTHONPATH": str(earlier / "src"), "OMP_NUM_THREADS": "1"}
    found = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(CHILD), str(folder)],
        env=variables,
        check=True,
        capture_output=True,
        text=True,
    )
    bits: dict[str, float] = json.loads(found.stdout)
    return bits


def main() -> None:
    """Measure, write the file, print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("earlier", type=Path)
    earlier = parser.parse_args().earlier.resolve()
    budget = Budget.parse(f"{HEADLINES[VIEW][MODEL]:g}x", view=VIEW)
    wanted = Wanted(MODEL, "gdr", budget)
    job = Job(graph_of(MODEL), data(MODEL), wanted.budget, settings_of(wanted))
    pressed = METHODS["gdr"](job).pressed
    test = job.data.test.take(TEST_IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        write_symbols(pressed, job.calibration_batches(), Path(folder) / "calibration.safetensors")
        write_symbols(pressed, (x for x, _ in test.batches(100)), Path(folder) / "test.safetensors")
        before = earlier_bits(earlier, Path(folder))
    info = RunInfo(method="gdr", budget=str(wanted.budget), batch=1)
    metrics = evaluate(pressed, job.graph, test, info)
    now = {
        "symbol_bits": sum(site.bits[VIEW] for site in metrics.sites),
        "table_bits": metrics.traffic.table_bits + metrics.traffic.index_bits,
    }
    row = {
        "model": MODEL,
        "budget": str(wanted.budget),
        "calibration_images": CALIBRATION_IMAGES,
        "test_images": TEST_IMAGES,
        "now": now,
        "earlier": before,
        "symbol_bits_ratio": now["symbol_bits"] / before["symbol_bits"],
        "commit": environment()["commit"],
    }
    RESULTS.write_text(json.dumps(row, indent=1) + "\n")
    print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
