"""What a solver prints does not reach standard output; what others print does."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from actpress.methods.layerwise import choose_by_ilp
from actpress.methods.quiet import stdout_discarded


def test_only_what_is_printed_inside_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    library = ctypes.CDLL(None)
    library.puts(b"before")
    with stdout_discarded():
        library.puts(b"a line for debugging")
        os.write(1, b"another\n")
    library.puts(b"after")
    library.fflush(None)
    assert capfd.readouterr().out == "before\nafter\n"


def test_output_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="inside"), stdout_discarded():
        raise ValueError("inside")
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "after\n"


def test_a_closed_output_is_left_closed() -> None:
    code = (
        "import os, sys; from actpress.methods.quiet import stdout_discarded; os.close(1)\n"
        "with stdout_discarded(): sys.stderr.write('done')"
    )
    ran = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=False
    )
    assert "done" in ran.stderr


def test_widths_are_chosen_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    """HiGHS 1.12 prints at each of these problems."""
    for seed in (10, 17, 32):
        random = np.random.default_rng(seed)
        sites = random.integers(5, 60)
        growth = random.uniform(0.3, 1, (sites, 8)).cumsum(1) / 5
        costs = random.uniform(1, 1000, sites)[:, None] * np.arange(1, 9) * growth
        losses = np.sort(random.exponential(size=(sites, 8)) ** 3, 1)[:, ::-1]
        losses = losses * 10.0 ** random.uniform(-8, 0, (sites, 1))
        choose_by_ilp(losses, costs, costs.min(1).sum() * random.uniform(1, 3))
    ctypes.CDLL(None).fflush(None)
    assert capfd.readouterr().out == ""
