"""Exported C, compiled for this machine and called from Python."""

import ctypes
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actpress.deploy.c.network import sources
from actpress.deploy.integer import IntegerNetwork, Weights
from actpress.deploy.integer.arithmetic import Array
from actpress.deploy.memory import MemoryPlan, packed

FLAGS = (
    "-std=c99",
    "-ffp-contract=off",
    "-pedantic",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-O1",
    "-DNET_WATCH",
)
SHIM = """
#include <string.h>
#include "net.h"
static uint8_t *seen;
static uint32_t seen_bytes;
void net_watch(uint32_t map, const uint8_t *packed, uint32_t bytes)
{
    (void)map;
    memcpy(seen + seen_bytes, packed, bytes);
    seen_bytes += bytes;
}
uint32_t shim_run(const uint8_t *image, net_output *logits, uint8_t *maps)
{
    seen = maps, seen_bytes = 0;
    memcpy(net_input(), image, NET_INPUT_BYTES);
    net_run(logits);
    return seen_bytes;
}
"""


@dataclass(frozen=True)
class HostNetwork:
    """A network in C.

    Attributes:
        network, plan: that it was made of.
        library: compiled.
    """

    network: IntegerNetwork
    plan: MemoryPlan
    library: ctypes.CDLL

    def run(self, image: Array) -> tuple[list[float], bytes]:
        """Codes of one image (h, w, c) -> logits, and all stored maps, packed."""
        kind = np.float32 if self.network.weights is Weights.FLOAT32 else np.int32
        logits: NDArray[Any] = np.zeros(self.network.stages[-1].rescale.channels, kind)
        maps = np.zeros(sum(block.bytes for block in self.plan.maps) + 1, np.uint8)
        data: NDArray[np.uint8] = np.ascontiguousarray(image.astype(np.uint8))
        count = self.library.shim_run(
            *(each.ctypes.data_as(ctypes.c_void_p) for each in (data, logits, maps))
        )
        return logits.tolist(), maps[:count].tobytes()

    def expected(self, codes: Mapping[str, Array], at: int) -> bytes:
        """All stored maps of an image, packed, as the reference has them."""
        return b"".join(
            packed(codes[chain.last.target.name][at], self.plan.layouts[chain.last.target.name])
            for chain in self.plan.chains
            if chain.last.target is not None
        )


def on_host(network: IntegerNetwork, plan: MemoryPlan, folder: Path, *flags: str) -> HostNetwork:
    """Compile a network for this machine."""
    folder.mkdir(exist_ok=True)
    for name, text in {**sources(network, plan, "test").files, "shim.c": SHIM}.items():
        (folder / name).write_text(text)
    files = ("net.c", "weights.c", "shim.c")
    command = ("cc", *FLAGS, *flags, "-shared", "-fPIC", *files, "-o", "net.so")
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603  the compiler
    return HostNetwork(network, plan, ctypes.CDLL(str(folder / "net.so")))
