"""Latency is that of the modules it was given, on one thread."""

import time

import pytest
import torch
from torch import Tensor, nn

from actpress.evaluation import measure_latency


class Slow(nn.Module):
    """Takes a known time, and remembers with how many threads."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.threads = seconds, set[int]()

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds)
        self.threads.add(torch.get_num_threads())
        return x


def test_latency_is_measured_in_milliseconds_on_one_thread() -> None:
    torch.set_num_threads(2)
    before, after = Slow(0.004), Slow(0.02)
    try:
        found = measure_latency(before, after, torch.zeros(1, 1, 2, 2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert 4 <= found.before_ms < 20 <= found.after_ms
    assert found.device == "cpu"
    assert before.threads == after.threads == {1}


def test_a_slow_network_is_not_run_many_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actpress.evaluation.latency.SECONDS", 0.05)
    calls: list[int] = []

    class Counted(Slow):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(1)
            return super().forward(x)

    measure_latency(Counted(0.03), Slow(0.03), torch.zeros(1, 1, 2, 2))
    assert len(calls) == 2
