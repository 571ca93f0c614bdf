"""How much memory values of images take is the user's to say."""

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from torch import nn

import actpress
from actpress.data import Dataset
from actpress.errors import BudgetError
from actpress.methods import Settings

SEARCH = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from actpress.budget import Budget
from actpress.data import Dataset, Split
from actpress.graph import capture
from actpress.methods import METHODS, Job, Settings

def peak_mib():  # of this program alone: getrusage begins with what its parent took
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

def split(images):
    return Split.in_memory(torch.randn(images, 3, 96, 96), torch.randint(4, (images,)))

torch.set_num_threads(1)
torch.manual_seed(0)
data = Dataset("large maps", split(48), split(64), split(8), 4)
layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()]
layers += [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)]
graph = capture(nn.Sequential(*layers).eval(), next(data.train.batches(2))[0])
settings = Settings(calibration_images=48, search_images=48, working_mib=int(sys.argv[1]))
job = Job(graph, data, Budget.parse("4x"), settings)
before = peak_mib()
outcome = METHODS["gdr"](job)
print(json.dumps([peak_mib() - before, job.price(outcome.pressed)]))
"""
BYTES_PER_VALUE = 64
"""Of a site, as docs/methods.md says."""

BESIDE_MIB = 320
"""Compiled loops, torch's own kernels and what is kept of sites."""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_a_search_keeps_to_its_working_memory() -> None:
    grown, prices = {}, {}
    for mib in (512, 32):  # the first compiles loops, where that was not done before
        command = [sys.executable, "-c", SEARCH, str(mib)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        grown[mib], prices[mib] = json.loads(done.stdout)
    assert grown[32] < 32 + BESIDE_MIB
    assert grown[32] + 100 < grown[512] < 512 + BESIDE_MIB
    assert prices[32] == pytest.approx(prices[512], rel=0.02)  # both within a budget's last 2 %


@pytest.mark.parametrize("mib", [0, -1, 1.5])
def test_memory_is_told_in_whole_mib(mib: Any) -> None:
    with pytest.raises(BudgetError, match=f"whole number of MiB, one at least, not {mib}"):
        Settings(working_mib=mib)


def test_memory_for_less_than_an_image_is_refused(dataset: Dataset) -> None:
    image = next(dataset.train.batches(1))[0]
    layers = [nn.Conv2d(image.shape[1], 1024, 3, padding=1), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, dataset.classes)]
    pooled, mapped = 1024, 1024 * image[0, 0].numel()
    needed = math.ceil(BYTES_PER_VALUE * (mapped + pooled) / (1 << 20))
    assert needed > 1
    says = f"1 MiB does not hold .* of one image; this network needs at least {needed} MiB"
    with pytest.raises(BudgetError, match=says):
        actpress.compress(
            nn.Sequential(*layers).eval(), dataset, method="gdr", settings=Settings(working_mib=1)
        )
