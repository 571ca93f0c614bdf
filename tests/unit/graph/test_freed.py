import sys

import pytest
import torch

from actpress.graph import give_back_freed


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_freed_memory_goes_back_and_what_is_used_stays() -> None:
    pieces = [torch.ones(16_000) for _ in range(4000)]  # too small to be mapped one by one
    kept = pieces[::2]
    before = resident_bytes()
    del pieces

    give_back_freed()

    assert before - resident_bytes() > 64_000_000 // 2
    assert all(bool((piece == 1).all()) for piece in kept)


def resident_bytes() -> int:
    """Memory that the process has."""
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - no file of ours
        return int(statm.read().split()[1]) * 4096
