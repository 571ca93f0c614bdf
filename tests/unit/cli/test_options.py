"""A network that guesses is warned of before it is compressed."""

import pytest
import torch
from torch import Tensor, nn

from actpress.cli.options import GUESSES, warn_of_guessing
from actpress.data import Dataset, Split


class Nearest(nn.Module):
    """The class whose number is nearest to the mean of the image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = torch.arange(classes)

    def forward(self, x: Tensor) -> Tensor:
        return -(x.mean((1, 2, 3))[:, None] - self.classes).square()


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("trained", [True, False])
def test_a_network_that_guesses_is_warned_of(
    capsys: pytest.CaptureFixture[str],
    classes: int,
    trained: bool,  # noqa: FBT001 - a parameter
) -> None:
    labels = torch.randint(classes, (GUESSES,), generator=torch.Generator().manual_seed(0))
    shown = labels if trained else labels.roll(1)
    part = Split.in_memory(shown.float()[:, None, None, None].expand(-1, 1, 4, 4), labels)
    warn_of_guessing(Nearest(classes), Dataset("d", part, part, part, classes))
    told = " ".join(capsys.readouterr().err.split())
    assert (f"no more than by guessing among {classes} classes" in told) is not trained
