"""Compiled loops leave the process as they found it."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import torch
from actpress.kernels import count_in_contexts
before = torch.get_num_threads()
count_in_contexts(torch.randn(4, 3, 5).round(), 0, torch.zeros(3, 1, 4, dtype=torch.int64))
print(before, torch.get_num_threads())
"""


def test_counting_keeps_the_number_of_threads_of_torch() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "1"]


SEVERAL = """
import os
from concurrent.futures import ThreadPoolExecutor
import numba
import torch
from actpress.kernels import count_in_contexts, quantize_pack
torch.set_num_threads(2)
q_min, q_max = (torch.full((16,), bound, dtype=torch.int32) for bound in (-4, 3))
x = torch.randn(16, 16, 40, 40)

def work(_):
    counts = torch.zeros(16, 25, 9, dtype=torch.int64)
    count_in_contexts(x.round(), -4, counts)
    packed = quantize_pack(x, torch.ones(16), q_min, q_max, (3,) * 16)
    return counts.sum().item(), packed.long().sum().item()

with ThreadPoolExecutor(3) as pool:
    found = set(pool.map(work, range(60)))
print(len(found), numba.threading_layer(), torch.get_num_threads())
"""


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_several_threads_use_compiled_loops(layer: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", SEVERAL],
        env={**environment, "NUMBA_THREADING_LAYER": layer},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", layer, "2"]
