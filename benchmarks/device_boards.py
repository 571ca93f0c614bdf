"""What an exported folder does: on this machine against the reference, and on emulated boards."""

import ctypes
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actpress.deploy.integer import Executor, IntegerNetwork
from actpress.deploy.integer.execute import image_codes
from actpress.deploy.memory import MemoryPlan, packed

HOST_FLAGS = ("-std=c99", "-O2", "-DNET_WATCH", "-shared", "-fPIC")
SHIM = """
#include <string.h>
#include "net.h"
static uint8_t *seen;
void net_watch(uint32_t map, const uint8_t *packed, uint32_t bytes)
{
    (void)map;
    memcpy(seen, packed, bytes);
    seen += bytes;
}
void bench_run(const uint8_t *image, int32_t *logits, uint8_t *maps)
{
    seen = maps;
    memcpy(net_input(), image, NET_INPUT_BYTES);
    net_run(logits);
}
"""
REFERENCE_BATCH = 20
OF_CODECS = r"^(un)?pack_|^same$|_lines(_\d+)?_(values|start)|_of_\d+_bits"
SIZED = 4
"""Columns of a symbol that has a size: address, size, kind, name."""


@dataclass(frozen=True)
class BoardFigures:
    """Of one emulated board.

    Attributes:
        equal: whether logits and stored maps of all golden images were those of the reference.
        stack_bytes: deepest stack, the caller's included.
        ram_bytes: static memory of network and weights.
        code_bytes, constant_bytes: of flash.
        instructions: of one inference.
        loaded, stored: bytes from and to memory.
        arena_loaded, arena_stored: of these, from and to the arena.
        map_loaded, map_stored: of these, from and to stored maps; the rest is line buffers.
    """

    equal: bool
    stack_bytes: int
    ram_bytes: int
    code_bytes: int
    constant_bytes: int
    instructions: int
    loaded: int
    stored: int
    arena_loaded: int
    arena_stored: int
    map_loaded: int
    map_stored: int


def on_board(folder: Path, board: str) -> BoardFigures:
    """Run an exported folder on an emulated board, `m4` or `m7`."""
    done = subprocess.run(  # noqa: S603  the folder was written by this benchmark
        ["make", "-s", "-C", str(folder), "qemu", f"BOARD={board}"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout + done.stderr

    def number(pattern: str) -> int:
        found = re.search(pattern, said)
        assert found is not None, f"{folder}: no {pattern} in\n{said}"
        return int(found.group(1))

    return BoardFigures(
        equal="maps and logits" in said and "NOT equal" not in said,
        stack_bytes=number(r"stack (\d+) bytes"),
        ram_bytes=number(r"RAM (\d+) bytes"),
        code_bytes=number(r"code (\d+),"),
        constant_bytes=number(r"constants (\d+)"),
        instructions=number(r"instructions (\d+)"),
        loaded=number(r"loaded (\d+) bytes"),
        stored=number(r"stored (\d+) bytes"),
        arena_loaded=number(r"of the arena (\d+)"),
        arena_stored=number(r"in the arena (\d+)"),
        map_loaded=number(r"maps: loaded (\d+)"),
        map_stored=number(r"maps: loaded \d+ bytes, stored (\d+)"),
    )


def codec_flash_bytes(folder: Path) -> int:
    """Code and tables that pack, unpack and turn codes into line values, of the M7 build."""
    total = 0
    for source in ("net", "weights"):
        done = subprocess.run(  # noqa: S603  the folder was written by this benchmark
            ["arm-none-eabi-nm", "-S", str(folder / "build" / f"m7-{source}.o")],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        )
        for line in done.stdout.splitlines():
            parts = line.split()
            if len(parts) == SIZED and re.search(OF_CODECS, parts[3]):
                total += int(parts[1], 16)
    return total


@dataclass(frozen=True)
class HostFigures:
    """Of the build for this machine.

    Attributes:
        images: that were compared.
        symbols: stored symbols that were compared, of all images.
        equal: whether every one of them and every logit is that of the reference.
    """

    images: int
    symbols: int
    equal: bool


def on_host(
    folder: Path, network: IntegerNetwork, plan: MemoryPlan, images: NDArray[np.float32]
) -> HostFigures:
    """Compare every logit and every stored symbol of images (n, c, h, w) with the reference."""
    (folder / "bench_shim.c").write_text(SHIM)
    command = ["cc", *HOST_FLAGS, "net.c", "weights.c", "bench_shim.c", "-o", "bench.so"]
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603  the compiler
    library = ctypes.CDLL(str((folder / "bench.so").resolve()))
    targets = [chain.last.target for chain in plan.chains if chain.last.target is not None]
    size = sum(plan.layouts[target.name].size_bytes for target in targets)
    image, executor, equal = image_codes(network.input, images), Executor(network), True
    for first in range(0, len(image), REFERENCE_BATCH):
        batch = image[first : first + REFERENCE_BATCH]
        logits, codes = executor.run(batch)
        for at in range(len(batch)):
            found, maps = np.zeros(logits.shape[1], np.int32), np.zeros(size + 1, np.uint8)
            data = np.ascontiguousarray(batch[at].astype(np.uint8))
            library.bench_run(*(a.ctypes.data_as(ctypes.c_void_p) for a in (data, found, maps)))
            expected = b"".join(packed(codes[t.name][at], plan.layouts[t.name]) for t in targets)
            equal &= maps[:size].tobytes() == expected and found.tolist() == logits[at].tolist()
    symbols = len(image) * sum(t.channels * t.height * t.width for t in targets)
    return HostFigures(len(image), symbols, equal)
