"""Compiled loops leave the process as they found it."""

import os
import subprocess
import sys

PROGRAM = """
import torch
from actpress.kernels import count_symbols
before = torch.get_num_threads()
int32 = torch.zeros(3, dtype=torch.int32)
count_symbols(torch.randn(4, 3, 5), torch.ones(3), int32, torch.zeros(3, 4, dtype=torch.int64))
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
