"""An exported folder built for this machine: against the reference, and on whole test sets."""

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from actpress.data.dataset import Split
from actpress.deploy.integer import Executor, IntegerNetwork
from actpress.deploy.integer.execute import image_codes
from actpress.deploy.memory import MemoryPlan, packed
from actpress.tasks import Task
from actpress.tasks.nest import joined

FLAGS = ("-std=c99", "-O3", "-march=native", "-shared", "-fPIC")
SHIM = """
#include <string.h>
#include "net.h"
#ifdef NET_WATCH
static uint8_t *seen;
void net_watch(uint32_t map, const uint8_t *packed, uint32_t bytes)
{
    (void)map;
    memcpy(seen, packed, bytes);
    seen += bytes;
}
#endif
void bench_run(const uint8_t *image, int32_t *logits, uint8_t *maps)
{
#ifdef NET_WATCH
    seen = maps;
#else
    (void)maps;
#endif
    memcpy(net_input(), image, NET_INPUT_BYTES);
    net_run(logits);
}
"""
BATCH = 20


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


def compared(
    folder: Path, network: IntegerNetwork, plan: MemoryPlan, images: NDArray[np.float32]
) -> HostFigures:
    """Compare every logit and every stored symbol of images (n, c, h, w) with the reference."""
    library = _built(folder, "watched", "-DNET_WATCH")
    targets = [chain.last.target for chain in plan.chains if chain.last.target is not None]
    size = sum(plan.layouts[target.name].size_bytes for target in targets)
    image, executor, equal = image_codes(network.input, images), Executor(network, plan.kept), True
    for first in range(0, len(image), BATCH):
        batch = image[first : first + BATCH]
        logits, codes = executor.run(batch)
        for at in range(len(batch)):
            maps = np.zeros(size + 1, np.uint8)
            found = _run(library, batch[at], logits.shape[1], maps)
            expected = b"".join(packed(codes[t.name][at], plan.layouts[t.name]) for t in targets)
            equal &= maps[:size].tobytes() == expected and found.tolist() == logits[at].tolist()
    symbols = len(image) * sum(t.channels * t.height * t.width for t in targets)
    return HostFigures(len(image), symbols, equal)


def accuracy(folder: Path, network: IntegerNetwork, split: Split, task: Task) -> float:
    """In [0, 1], of what the C code computes for the images of a split."""
    library, outputs = _built(folder, "fast"), network.stages[-1].rescale.channels
    evidence = []
    for images, target in split.batches(BATCH):
        codes, unseen = image_codes(network.input, images.numpy()), np.zeros(1, np.uint8)
        logits = np.stack([_run(library, image, outputs, unseen) for image in codes])
        decisions = task.decisions(torch.from_numpy(logits * network.logit_scale))
        evidence.append(task.evidence(decisions, target))
    return task.measure(joined(evidence))


def _built(folder: Path, name: str, *flags: str) -> ctypes.CDLL:
    (folder / "bench_shim.c").write_text(SHIM)
    command = ["cc", *FLAGS, *flags, "net.c", "weights.c", "bench_shim.c", "-o", f"{name}.so"]
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603  the compiler
    return ctypes.CDLL(str((folder / f"{name}.so").resolve()))


def _run(
    library: ctypes.CDLL, image: NDArray[np.int64], outputs: int, maps: NDArray[np.uint8]
) -> NDArray[np.int32]:
    logits = np.zeros(outputs, np.int32)
    data = np.ascontiguousarray(image.astype(np.uint8))
    library.bench_run(*(each.ctypes.data_as(ctypes.c_void_p) for each in (data, logits, maps)))
    return logits
