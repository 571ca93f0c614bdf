"""Instructions of single loops of exported C on the emulated Cortex-M7.

A network of one 3x3 convolution, 16 to 16 channels at 32x32, is exported with 4-bit maps. Programs
that include its net.c call nothing but the loop in question, under the counter of `make qemu`.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from actpress.calibration import calibrate
from actpress.deploy.c import export_c
from actpress.deploy.integer import IntegerNetwork, integer_network
from actpress.deploy.memory import rans_layouts
from actpress.graph import capture
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import fit_tables, press
from benchmarks.store import Row, environment

CHANNELS, SIDE, BITS, IMAGES = 16, 32, 4, 16
MAKE = ("make", "-s", "BOARD=m7", "-C")
SYMBOLS = CHANNELS * SIDE * SIDE
PRODUCTS = SYMBOLS * CHANNELS * 9
PROGRAM = """
#define net_run all_of_net_run
#include "net.c"
#undef net_run
#include "console.h"
#include "golden.h"
void net_run(int32_t *logits);
void net_run(int32_t *logits)
{
    (void)logits;
    for (uint32_t y = 0; y < ROWSu; y++) { BODY }
}
int main(void)
{
    int32_t logits[NET_OUTPUTS];
    memcpy(net_input(), golden_images[0], NET_INPUT_BYTES);
    all_of_net_run(logits);
    net_run(logits);
    after_run();
    return 0;
}
"""
RULES = """
include Makefile
loop: loop.c
\t$(ARM)gcc $(ARM_FLAGS) $(NET_FLAGS) loop.c golden.c build/m7-weights.o board/startup.c \\
\t    board/semihost.c $(ARM_LINK) -o build/loop.elf
\t$(QEMU) -kernel build/loop.elf -plugin build/count.so,out=build/loop.counts
\t@cat build/loop.counts
"""


@dataclass(frozen=True)
class Loop:
    """One loop.

    Attributes:
        what: is counted, for people.
        body: C, for row y.
        count: how many of them all rows have.
        most: target, instructions each.
    """

    what: str
    body: str
    count: int
    most: float


READ = "read_row(stages[1].source, y, 0, arena(stages[1].rows_at));"
CONVOLVE = "stages[0].compute(&stages[0], y);"
PACKED = (
    Loop(
        "an unpacked 4-bit symbol, its table included",
        READ,
        SYMBOLS,
        3.5,
    ),
    Loop(
        "a product of a 3x3 int8 convolution, 16 to 16 channels at 32x32",
        CONVOLVE,
        PRODUCTS,
        2.5,
    ),
)
RANS = (
    Loop("a decoded rANS symbol, its table included", READ, SYMBOLS, 14),
    Loop(
        "an encoded rANS symbol",
        "pack_row(stages[0].target, y, arena(stages[0].row_at));",
        SYMBOLS,
        40,
    ),
)
LOOPS = {"packed": PACKED, "rans": RANS}
"""By how maps lie in memory."""


def loop_rows(folder: Path) -> list[Row]:
    """Export the network into a folder, and count every loop: instructions each."""
    return list(_counted(folder))


def _counted(folder: Path) -> Iterator[Row]:
    network, images = one_convolution()
    layouts = {"packed": None, "rans": rans_layouts(network, [images])}
    for maps, loops in LOOPS.items():
        own = folder / maps
        export_c(
            network,
            images[:1],
            own,
            title="one convolution",
            force=True,
            cascades=False,
            layouts=layouts[maps],
        )
        yield from _counted_in(own, loops)


def _counted_in(folder: Path, loops: tuple[Loop, ...]) -> Iterator[Row]:
    _run([*MAKE, str(folder), "qemu"])
    (folder / "loop.mk").write_text(RULES)
    for loop in loops:
        (folder / "loop.c").write_text(
            PROGRAM.replace("ROWS", str(SIDE)).replace("BODY", loop.body)
        )
        said = _run([*MAKE, str(folder), "-f", "loop.mk", "loop"])
        found = re.search(r"instructions (\d+)", said)
        assert found is not None, said
        yield {
            "what": loop.what,
            "instructions": int(found.group(1)) / loop.count,
            "most": loop.most,
            "commit": environment()["commit"],
        }


def one_convolution() -> tuple[IntegerNetwork, torch.Tensor]:
    """The network in integers, and images."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(CHANNELS, 10),
    ).eval()
    images = torch.randn(IMAGES, CHANNELS, SIDE, SIDE)
    graph = capture(network, images[:2])
    site = graph.sites[0]
    statistics = calibrate(graph, [images], {site.name: Placement.POST_ACT})
    deviation = float(statistics.sites[site.name].covariance.diagonal().mean()) ** 0.5
    chosen = SitePlan(
        site=site.name,
        placement=Placement.POST_ACT,
        transform=Transform.IDENTITY,
        channels=CHANNELS,
        rank=CHANNELS,
        step=deviation / 2 ** (BITS - 2),
        bit_width=BITS,
    )
    plan = Plan(method="none", fingerprint=graph.fingerprint, sites=(chosen,))
    pressed = press(graph, plan, statistics)
    fit_tables(pressed, [images])
    return integer_network(pressed, [images]), images


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout + done.stderr
