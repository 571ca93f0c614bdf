"""How long PyTorch takes for one image, before and after: what a user of PyTorch would notice."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch
from torch import Tensor, nn

from actpress.evaluation.metrics import LatencyMetrics

REPEATS, SECONDS = 15, 2.0
"""Pairs of runs that are timed, fewer once so much time is spent."""


def measure_latency(before: nn.Module, after: nn.Module, image: Tensor) -> LatencyMetrics:
    """Medians of paired runs on one thread, after one of each that is not timed.

    Args:
        before: the float network, in eval mode.
        after: the compressed one, frozen (`actpress.freeze`).
        image: shape (1, c, h, w), on the device of both.
    """
    times: tuple[list[float], list[float]] = ([], [])
    began = time.perf_counter()
    with torch.no_grad(), _one_thread():
        for repeat in range(REPEATS + 1):
            for network, own in zip((before, after), times, strict=True):
                start = time.perf_counter()
                network(image)
                _wait_for(image.device)
                if repeat:
                    own.append(1000 * (time.perf_counter() - start))
            if repeat and time.perf_counter() - began > SECONDS:
                break
    return LatencyMetrics(
        device=image.device.type, before_ms=median(times[0]), after_ms=median(times[1])
    )


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
