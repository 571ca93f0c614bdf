"""C on emulated Cortex-M boards (`make bench-device`): RAM, flash, instructions, accuracy.

Needs `ACTPRESS_DATA` with the cifar10 data (docs/networks.md) for ResNet8, gcc-arm-none-eabi,
libnewlib-arm-none-eabi and qemu-system-arm. Runs and exports are kept in `runs/device`; rows that
`benchmarks/results/device.json` holds already are not measured again, and those of runs that are
no longer wanted are left out. `--page` only writes the page and judges targets anew. Networks that
take long in C are measured on fewer images, as rows say: `--only resnet18_fashion_mnist
--test-images 1000`.
"""

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from actpress import zoo
from actpress.api import capture_for
from actpress.budget import Budget
from actpress.cli.integers import calibration_of, integer_form
from actpress.cli.opened import OpenedRun, open_run
from actpress.data import Dataset, load_dataset
from actpress.deploy.c import Firmware, export_c
from actpress.deploy.integer import (
    Convolution,
    Executor,
    IntegerNetwork,
    Stage,
    integer_network,
)
from actpress.deploy.integer.execute import image_codes
from actpress.deploy.memory import map_traffic, rans_layouts
from actpress.evaluation import refer
from actpress.methods import Job, Settings, int8
from actpress.pressing import CompressedModel
from benchmarks.device_boards import codec_flash_bytes, on_board, said_by_main
from benchmarks.device_host import accuracy, compared
from benchmarks.device_micro import loop_rows
from benchmarks.device_page import write_page
from benchmarks.device_runs import CALIBRATION_IMAGES, COMPRESSED, INT8, RUNS, DeviceRun
from benchmarks.store import Row, environment

RESULTS = Path("benchmarks/results/device.json")
GOLDEN_IMAGES = 3
BOARDS = ("m4", "m7")
TIMED = "resnet18_fashion_mnist"
"""Whose export is."""

NOT_TIMED: Row = {"export_s": None, "export_processor_s": None}

FLOAT_BATCH = 100

FEWER_HOST_IMAGES = 100
"""For other forms of a network that was compared on more images already."""


@dataclass(frozen=True)
class Wanted:
    """One row.

    Attributes:
        run: that is exported.
        form: `c-packed`, `c-rans`, or `c-int8`, a byte for every symbol.
        cascades: whether stages may hand on rows.
    """

    run: DeviceRun
    form: str
    cascades: bool

    @property
    def key(self) -> tuple[str, str, bool]:
        """What tells rows apart."""
        return self.run.name, self.form, self.cascades

    @property
    def is_default(self) -> bool:
        """Whether `actpress export` makes this form where nothing is said."""
        return self.form == "c-packed" and self.cascades


def wanted() -> Iterator[Wanted]:
    """All rows, those of most interest first."""
    for run in COMPRESSED:
        yield Wanted(run, "c-packed", cascades=True)
        yield Wanted(run, "c-int8", cascades=True)
        yield Wanted(run, "c-rans", cascades=True)
        yield Wanted(run, "c-packed", cascades=False)


@cache
def data_of(name: str) -> Dataset:
    """A data set."""
    return load_dataset(name)


@cache
def opened(run: DeviceRun) -> OpenedRun:
    """A run, made where it is missing."""
    return open_run(run.make(), weights=None, device=torch.device("cpu"))


@cache
def network_of(run: DeviceRun) -> IntegerNetwork:
    """Its integer form."""
    if run.method == "int8":  # what others are compared with needs no folder and no evaluation
        return integer_network(int8_of(run), calibration_of(data_of(run.data)))
    return integer_form(opened(run), data_of(run.data))


def int8_of(run: DeviceRun) -> CompressedModel:
    """A bundled network with 8 bits for every value."""
    data = data_of(run.data)
    model = getattr(zoo, run.network)().eval()
    graph = capture_for(model, next(data.train.batches(2))[0], (), task=data.task)
    settings = Settings(calibration_images=CALIBRATION_IMAGES)
    return int8(Job(graph, data, Budget.parse("1x"), settings)).pressed


def exported(row: Wanted) -> tuple[Path, Firmware]:
    """The folder of C of a row."""
    data, network = data_of(row.run.data), network_of(row.run)
    folder = RUNS / "-".join((row.run.name, row.form, "cascades" if row.cascades else "plain"))
    coded = row.form == "c-rans"
    firmware = export_c(
        network,
        next(data.holdout.batches(GOLDEN_IMAGES))[0],
        folder,
        title=row.run.name,
        force=True,
        whole_bytes=row.form == "c-int8",
        cascades=row.cascades,
        layouts=rans_layouts(network, calibration_of(data)) if coded else None,
    )
    return folder, firmware


@cache
def accuracy_of(run: DeviceRun, form: str, images: int) -> float:
    """Of the C code on the first test images; kept beside the runs.

    Packed maps and int8 maps hold the same symbols.
    """
    kept = RUNS / f"{run.name}-{form}-accuracy-{images}.json"
    if not kept.exists():
        folder, _ = exported(Wanted(run, form, cascades=True))
        data = data_of(run.data)
        found = accuracy(folder, network_of(run), data.test.take(images), data.task)
        kept.write_text(json.dumps(found) + "\n")
    return float(json.loads(kept.read_text()))


@cache
def float_accuracy_of(run: DeviceRun, images: int) -> float:
    """Of the float network on the first test images."""
    data = data_of(run.data)
    network, split = opened(run).graph.eval_module, data.test.take(images)
    found = refer(network, split, task=data.task, batch=FLOAT_BATCH)
    return data.task.measure(found.evidence)


def measure(row: Wanted, *, host_images: int, test_images: int) -> Row:
    """Export, compare with the reference on this machine and on both boards, and count."""
    data, network = data_of(row.run.data), network_of(row.run)
    form = "c-rans" if row.form == "c-rans" else "c-packed"
    lossy = accuracy_of(row.run, form, test_images)
    reference = accuracy_of(INT8[row.run.network], "c-packed", test_images)
    folder, firmware = exported(row)
    images = next(data.test.batches(host_images))[0].numpy()
    host = compared(folder, network, firmware.plan, images)
    boards = {board: on_board(folder, board) for board in BOARDS}
    m7 = boards["m7"]
    timed = row.run.network == TIMED
    return {
        "network": row.run.network,
        "run": row.run.name,
        "form": row.form,
        "cascades": row.cascades,
        **_memory(firmware),
        "runtime_ram_bytes": _buffers(firmware) + m7.stack_bytes,
        "stack_bytes": m7.stack_bytes,
        "total_ram_bytes": m7.ram_bytes + m7.stack_bytes,
        "flash_bytes": m7.code_bytes + m7.constant_bytes,
        "code_bytes": m7.code_bytes,
        "codec_flash_bytes": codec_flash_bytes(folder),
        "instructions": m7.instructions,
        "maps_moved_bytes": m7.map_loaded + m7.map_stored,
        "maps_account_bytes": _account(row.run, firmware),
        "boards": {name: dataclasses.asdict(figures) for name, figures in boards.items()},
        "accuracy": lossy,
        "accuracy_int8": reference,
        "accuracy_float": float_accuracy_of(row.run, test_images),
        "accuracy_drop_pp": 100 * (reference - lossy),
        "test_images": min(test_images, len(data.test)),
        "macs": _macs(network),
        "host": dataclasses.asdict(host),
        "equal": host.equal and all(figures.equal for figures in boards.values()),
        "main_equal": main_equal(folder, network, images) if row.is_default else None,
        **(export_seconds(row.run, folder) if row.is_default and timed else NOT_TIMED),
        "commit": environment()["commit"],
    }


def main_equal(folder: Path, network: IntegerNetwork, images: NDArray[np.float32]) -> bool:
    """Whether main.c prints the reference's logits of the first test image, here and on boards."""
    codes = image_codes(network.input, images[:1])
    image = folder / "first_test_image"
    image.write_bytes(codes.astype(np.uint8).tobytes())
    expected = Executor(network).logits(images[:1])[0].tolist()
    return all(said_by_main(folder, board, image) == expected for board in (None, *BOARDS))


def _account(run: DeviceRun, firmware: Firmware) -> int:
    """Bytes of maps that the plan moves for the image that boards count with."""
    network, data = network_of(run), data_of(run.data)
    image = image_codes(network.input, next(data.holdout.batches(1))[0].numpy())
    _, codes = Executor(network, firmware.plan.kept).run(image)
    return map_traffic(firmware.plan, {name: each[0] for name, each in codes.items()}).bytes


def export_seconds(run: DeviceRun, folder: Path) -> Row:
    """What `actpress export --to c` takes from the first import to the last file.

    The processor's seconds do not depend on what else this machine does.
    """
    out = folder.with_name(f"{folder.name}-command")
    command = ["export", str(run.folder), "--to", "c", "--out", str(out), "--force"]
    begun, before = time.perf_counter(), _processor_seconds()
    subprocess.run([sys.executable, "-m", "actpress", *command], check=True)  # noqa: S603
    return {
        "export_s": time.perf_counter() - begun,
        "export_processor_s": _processor_seconds() - before,
    }


def _processor_seconds() -> float:
    """Of all processes that this one waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory(firmware: Firmware) -> Row:
    plan = firmware.plan
    return {
        "arena_bytes": plan.arena_bytes,
        "activation_ram_bytes": plan.arena_bytes - _buffers(firmware),
        "line_buffer_bytes": _buffers(firmware),
        "largest_int8_pair_bytes": largest_pair(firmware),
    }


def _buffers(firmware: Firmware) -> int:
    return firmware.plan.buffers[firmware.plan.peak_chain].bytes


def largest_pair(firmware: Firmware) -> int:
    """What a stage reads and writes as whole int8 maps, skip connections included, at most."""
    return max(
        sum(size for size in _sizes(stage).values())
        for chain in firmware.int8_plan.chains
        for stage in chain.stages
    )


def _sizes(stage: Stage) -> dict[str, int]:
    maps = {reading.map.name: reading.map for reading in stage.readings}
    if stage.target is not None:
        maps[stage.target.name] = stage.target
    return {name: each.channels * each.height * each.width for name, each in maps.items()}


def _macs(network: IntegerNetwork) -> int:
    total = 0
    for stage in network.stages:
        if isinstance(stage.operation, Convolution):
            _, height, width = stage.size
            total += stage.operation.macs_per_pixel * height * width
    return total


def key_of(row: Row) -> tuple[str, str, bool]:
    """As `Wanted.key` of a row that was measured."""
    return row["run"], row["form"], row["cascades"]


def main() -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host-images", type=int, default=1000)
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--only", help="measure rows of this network alone")
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    asked = parser.parse_args()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    keys = {row.key for row in wanted()}
    rows: list[Row] = [row for row in known.get("rows", []) if key_of(row) in keys]
    loops: list[Row] = known.get("loops", [])
    if not loops and not asked.page:
        loops = loop_rows(RUNS / "loops")
    done = {key_of(row) for row in rows}
    for row in () if asked.page else wanted():
        if row.key not in done and asked.only in (None, row.run.network):
            images = min(asked.host_images, FEWER_HOST_IMAGES)
            found = measure(
                row,
                host_images=asked.host_images if row.is_default else images,
                test_images=asked.test_images,
            )
            rows.append(found)
            write_page(rows, loops, RESULTS)
            print(
                f"{found['run']}, {found['form']}, cascades {found['cascades']}: "
                f"{found['total_ram_bytes']:,} bytes, {found['instructions']:,} instructions, "
                f"equal {found['equal']}, {found['accuracy_drop_pp']:.2f} points lost",
                flush=True,
            )
    write_page(rows, loops, RESULTS)


if __name__ == "__main__":
    main()
