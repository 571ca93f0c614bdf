import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from actpress.graph import macs_per_image


class Several(nn.Module):
    """Operators of every kind that costs something."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.depthwise(self.stem(x)))).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = F.scaled_dot_product_attention(x, x, x)
        return self.head(torch.einsum("npc,npd->ncd", x, x))


@pytest.mark.parametrize("inference", [False, True])
def test_counts_what_torchs_own_counter_does(*, inference: bool) -> None:
    torch.manual_seed(0)
    model, x = Several().eval(), torch.randn(3, 3, 9, 11)
    with torch.inference_mode(inference), torch.set_grad_enabled(False):
        with FlopCounterMode(display=False) as counter:
            model(x)
        assert macs_per_image(model, x) == counter.get_total_flops() // 6 > 10_000


def test_counting_does_not_load_the_compiler() -> None:
    program = (
        "import sys, torch\n"
        "from actpress.graph import macs_per_image\n"
        "assert macs_per_image(torch.nn.Linear(3, 5), torch.zeros(2, 3)) == 15\n"
        "assert 'torch._dynamo.symbolic_convert' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603
