"""Speed of bit packing against `copy_`: 64 MiB of float32, every width, preallocated output.

One thread is timed by its own processor time, so that other work on the machine counts only for the
memory that it takes; two threads against one by the clock on the wall, which needs two free cores.
"""

import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from actpress.kernels import bit_widths_of, quantize_pack, unpack_dequantize
from benchmarks.store import Row

SHAPE = (64, 64, 64, 64)
ROUNDS = 15
Clock = Callable[[], float]


def measure_packing() -> Row:
    """GB/s of the float side for every width; ratios are medians over rounds, side by side."""
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    gigabytes = 4 * x.numel() / 1e9
    widths = {}
    for width in range(1, 9):
        work = _Work(x, width)
        alone = _times(work, threads=1, clock=time.thread_time)
        wall = _times(work, threads=1, clock=time.perf_counter)
        both = _times(work, threads=2, clock=time.perf_counter)
        widths[str(width)] = {
            "copy_gb_per_s": gigabytes / statistics.median(alone["copy"]),
            "pack_gb_per_s": gigabytes / statistics.median(alone["pack"]),
            "unpack_gb_per_s": gigabytes / statistics.median(alone["unpack"]),
            "pack_against_copy": _ratio(alone["copy"], alone["pack"]),
            "unpack_against_copy": _ratio(alone["copy"], alone["unpack"]),
            "copy_two_threads": _ratio(wall["copy"], both["copy"]),
            "pack_two_threads": _ratio(wall["pack"], both["pack"]),
            "unpack_two_threads": _ratio(wall["unpack"], both["unpack"]),
        }
    return {
        "model": "none",
        "method": "packing",
        "variant": "64 MiB",
        "seed": 0,
        "widths": widths,
        "load_average": os.getloadavg()[0],
    }


class _Work:
    """One width: what is timed, into outputs that exist."""

    def __init__(self, x: Tensor, width: int) -> None:
        components = x.shape[1]
        self.x, self.out = x, torch.zeros_like(x)
        self.step = torch.full((components,), 0.7)
        self.q_min = torch.full((components,), -(1 << width - 1), dtype=torch.int32)
        self.q_max = self.q_min + (1 << width) - 1
        self.bit_widths = bit_widths_of(self.q_min, self.q_max)
        self.packed = quantize_pack(x, self.step, self.q_min, self.q_max, self.bit_widths)

    def copy(self) -> None:
        self.out.copy_(self.x)

    def pack(self) -> None:
        quantize_pack(self.x, self.step, self.q_min, self.q_max, self.bit_widths, out=self.packed)

    def unpack(self) -> None:
        spatial = self.x.shape[2:]
        unpack_dequantize(
            self.packed, self.step, self.q_min, self.bit_widths, spatial, out=self.out
        )


def _times(work: _Work, *, threads: int, clock: Clock) -> dict[str, list[float]]:
    """Seconds of every round, after one that is not counted."""
    torch.set_num_threads(threads)
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS + 1):
        for part in (work.copy, work.pack, work.unpack):
            began = clock()
            part()
            seconds.setdefault(part.__name__, []).append(clock() - began)
    torch.set_num_threads(1)
    return {name: times[1:] for name, times in seconds.items()}


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """How many times as fast the second is: the median over rounds."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
