"""Other tools' memory on the same networks (`make bench-peers`): Vela, TFLM, aidge-export-cpp.

Installs pinned packages into a temporary environment. Vela and TFLM take the int8 file of MLPerf
Tiny's ResNet8, `--model` or the first `*.tflite` in `$ACTPRESS_DATA`'s folder; aidge-export-cpp a
small network of four convolutions with maps of 4, 4, 2 and 2 bits, which is exported by actpress,
too. Writes `benchmarks/results/peers.json` and the page of `make bench-device`.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from actpress.calibration import calibrate
from actpress.deploy.c import export_c
from actpress.deploy.integer import IntegerNetwork, integer_network
from actpress.graph import capture
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import fit_tables, press
from benchmarks.device_host import compared
from benchmarks.device_page import rewrite_page
from benchmarks.page import write_results
from benchmarks.store import Row, environment

RESULTS = Path("benchmarks/results/peers.json")
HERE = Path(__file__).parent
PACKAGES = {
    "vela": ("ethos-u-vela==5.2.0",),
    "tflm": ("tflite-micro==0.dev20261023182759",),
    "aidge": tuple(
        f"aidge-{part}==0.10.1" for part in ("core", "backend-cpu", "quantization", "export-cpp")
    ),
}
BITS, STRIDES, CHANNELS, SIDE, CLASSES = (4, 4, 2, 2), (1, 1, 2, 1), (3, 16, 16, 32, 32), 32, 10
IMAGES, COMPARED = 16, 100
KIB = 1024
TAKEN = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
"""What TFLM prints."""


class Environment:
    """A Python of its own with pinned packages.

    Args:
        folder: where it goes.
        requirements: for pip.
    """

    def __init__(self, folder: Path, requirements: tuple[str, ...]) -> None:
        venv.create(folder, with_pip=True)
        self.bin = folder / "bin"
        self.run("pip", "install", "--quiet", *requirements)

    def run(self, program: str, *arguments: str | Path) -> str:
        """What a program of it says on stdout and stderr."""
        command = [str(self.bin / program), *map(str, arguments)]
        where = self.bin.parent  # aidge writes a file where it runs
        done = subprocess.run(  # noqa: S603  programs of pinned packages
            command, cwd=where, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr


def vela_row(python: Environment, model: Path, folder: Path) -> Row:
    """Vela's own account of a compiled model; its unit of SRAM is KiB."""
    arguments = ("--accelerator-config", "ethos-u55-128", "--optimise", "Size")
    python.run("vela", model, *arguments, "--output-dir", folder)
    (summary,) = folder.glob("*_summary_*.csv")
    with summary.open() as lines:
        (said,) = csv.DictReader(lines)
    return {
        "network": "resnet8_cifar10",
        "form": "vela",
        "what": "ethos-u55-128, default configuration, --optimise Size, as the compiler says",
        "activation_ram_bytes": round(float(said["sram_memory_used"]) * KIB),
        "moved_bytes": round(float(said["sram_total_bytes"])),
    }


def tflm_rows(python: Environment, model: Path) -> Iterator[Row]:
    """TFLM's arena on this machine, and the part that holds whole int8 tensors."""
    said = python.run("python", HERE / "peers_tflm.py", model)
    taken = {name: int(count) for name, count in TAKEN.findall(said)}
    assert len(taken) == 3, said
    for name, what in (
        ("total", "whole arena of a 64-bit host build, whose structures are larger than a board's"),
        ("head", "of it tensors, whole int8 maps"),
    ):
        yield {
            "network": "resnet8_cifar10",
            "form": "tflm",
            "what": what,
            "activation_ram_bytes": taken[name],
            "moved_bytes": None,
        }


def small_network() -> tuple[nn.Sequential, Tensor]:
    """Convolutions of 3x3 with ReLU, the global mean and a linear layer; images (n, c, h, w)."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for into, out, stride in zip(CHANNELS, CHANNELS[1:], STRIDES, strict=False):
        layers += [nn.Conv2d(into, out, 3, stride=stride, padding=1), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS[-1], CLASSES)]
    return nn.Sequential(*layers).eval(), torch.rand(IMAGES, CHANNELS[0], SIDE, SIDE) * 2 - 1


def small_integers() -> tuple[IntegerNetwork, Tensor]:
    """The small network in integers, its maps with `BITS`."""
    network, images = small_network()
    graph = capture(network, images[:2])
    chosen = graph.sites[: len(BITS)]
    placements = {site.name: Placement.POST_ACT for site in chosen}
    statistics = calibrate(graph, [images], placements)
    sites = tuple(
        SitePlan(
            site=site.name,
            placement=Placement.POST_ACT,
            transform=Transform.IDENTITY,
            channels=channels,
            rank=channels,
            step=float(statistics.sites[site.name].covariance.diagonal().mean()) ** 0.5
            / 2 ** (bits - 2),
            bit_width=bits,
        )
        for site, channels, bits in zip(chosen, CHANNELS[1:], BITS, strict=True)
    )
    plan = Plan(method="none", fingerprint=graph.fingerprint, sites=sites)
    pressed = press(graph, plan, statistics)
    fit_tables(pressed, [images])
    return integer_network(pressed, [images]), images


def own_row(folder: Path) -> Row:
    """Our export of the small network, compared with the reference on this machine."""
    network, images = small_integers()
    firmware = export_c(network, images[:3], folder, title="small network", force=True)
    inputs = torch.rand(COMPARED, CHANNELS[0], SIDE, SIDE) * 2 - 1
    return {
        "network": "small",
        "form": "c-packed",
        "what": "whole arena: maps, line buffers and the image",
        "activation_ram_bytes": firmware.plan.arena_bytes,
        "moved_bytes": None,
        "equal": compared(folder, network, firmware.plan, inputs.numpy()).equal,
    }


def aidge_rows(python: Environment, folder: Path) -> Iterator[Row]:
    """What aidge-export-cpp plans for the small network, and whether its code compiles."""
    network, images = small_network()
    layers = [layer for layer in network if isinstance(layer, nn.Conv2d | nn.Linear)]
    arrays = {"images": images.numpy(), "strides": np.array(STRIDES), "bits": np.array(BITS)}
    for index, layer in enumerate(layers):
        arrays[f"weight{index}"] = layer.weight.detach().numpy()
        assert layer.bias is not None
        arrays[f"bias{index}"] = layer.bias.detach().numpy()
    np.savez(folder / "network.npz", allow_pickle=False, **arrays)
    said = python.run("python", HERE / "peers_aidge.py", folder / "network.npz", folder)
    planned = json.loads(said.strip().splitlines()[-1])
    for name, what in (
        ("plain", "as it exports a network quantized to 4 bits"),
        ("packed", "its packed types, and its planner shown packed sizes"),
        ("wrapped", "the same with maps that wrap around"),
    ):
        yield {
            "network": "small",
            "form": "aidge",
            "what": what,
            "activation_ram_bytes": planned[name],
            "moved_bytes": None,
            "compiles": compiles(folder / name),
        }


def compiles(project: Path) -> bool:
    """Whether g++ takes the generated code."""
    command = [
        "g++",
        "-std=c++17",
        "-fsyntax-only",
        "-Idnn",
        "-Idnn/include",
        "dnn/src/forward.cpp",
    ]
    done = subprocess.run(command, cwd=project, capture_output=True, check=False)  # noqa: S603
    return done.returncode == 0


def measured(model: Path, folder: Path) -> Iterator[Row]:
    """All rows."""
    yield own_row(folder / "own")
    vela = Environment(folder / "vela", PACKAGES["vela"])
    yield vela_row(vela, model, folder / "compiled")
    yield from tflm_rows(Environment(folder / "tflm", PACKAGES["tflm"]), model)
    (folder / "projects").mkdir()
    yield from aidge_rows(Environment(folder / "aidge", PACKAGES["aidge"]), folder / "projects")


def model_of(asked: Path | None) -> Path:
    """The file, as asked for or beside the data."""
    if asked is not None:
        return asked
    data = Path(os.environ.get("ACTPRESS_DATA", ""))
    found = sorted((data.parent if data.is_file() else data).glob("*resnet8*int8*.tflite"))
    if not found:
        sys.exit("no *resnet8*int8*.tflite beside $ACTPRESS_DATA; name the file with --model")
    return found[0]


def main() -> None:
    """Measure everything, then write the JSON file and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="int8 .tflite of MLPerf Tiny's ResNet8")
    model = model_of(parser.parse_args().model).resolve()
    packages = [name for names in PACKAGES.values() for name in names]
    with tempfile.TemporaryDirectory() as folder:
        rows = [{**row, "commit": environment()["commit"]} for row in measured(model, Path(folder))]
    write_results(rows, [], RESULTS, packages=packages)
    rewrite_page(RESULTS.with_name("device.json"))
    for row in rows:
        print(f"{row['form']}: {row['activation_ram_bytes']:,} bytes, {row['what']}")


if __name__ == "__main__":
    main()
