"""What a command warns of before it begins."""

import pytest
import torch
from torch import Tensor, nn

from actpress.budget import Budget
from actpress.cli.beginning import GUESSES, warn_of_few_images, warn_of_guessing
from actpress.cli.options import warn_of_unused
from actpress.data import Dataset, Split
from actpress.methods import Settings
from actpress.tune import Trainable


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
    assert ("no more than by guessing (" in told) is not trained


def test_a_network_that_names_one_class_guesses_and_it_is_said_how_images_were_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = torch.tensor([1] * 30 + [0] * 70)
    part = Split.in_memory(torch.zeros(100, 1, 4, 4), labels)
    read = {"class_names": ("cat", "dog"), "prepared": "images normalised by mean 0.5 and std 0.5"}
    warn_of_guessing(Nearest(2), Dataset("d", part, part, part, 2, **read))
    told = " ".join(capsys.readouterr().err.split())
    assert "right on 70.0 % of 100 held-out images, no more than by guessing (70.0 %)" in told
    assert "classes in the order cat, dog; images normalised by mean 0.5 and std 0.5" in told


@pytest.mark.parametrize(("budget", "told"), [("0.5pp", True), ("20pp", False), ("1bits", False)])
def test_held_out_images_that_cannot_tell_a_budget_are_called_too_few(
    dataset: Dataset, capsys: pytest.CaptureFixture[str], *, budget: str, told: bool
) -> None:
    warn_of_few_images(Budget.parse(budget), dataset, Settings(search_images=16))
    said = "warning: 80 held-out images cannot tell a drop of 0.5 points from none, which takes"
    assert (said in " ".join(capsys.readouterr().err.split())) is told


def test_a_handful_of_images_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    labels = torch.tensor([0, 1])
    part = Split.in_memory(labels.float()[:, None, None, None].expand(-1, 1, 4, 4), labels)
    warn_of_guessing(Nearest(2), Dataset("d", part, part, part, 2))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("method", "block", "train", "told"),
    [
        ("lsq", 2, Trainable.PROJECTIONS, "lsq projects nothing, so --block does nothing"),
        ("gdr", 2, Trainable.NETWORK, "gdr trains nothing, so --train does nothing"),
        ("lsq", None, Trainable.DECODER, "lsq has no decoders; its steps are trained instead"),
        ("lsq", None, Trainable.NETWORK, ""),
        ("codesign", 2, Trainable.DECODER, ""),
    ],
)
def test_options_without_effect_are_told(
    capsys: pytest.CaptureFixture[str], method: str, block: int | None, train: Trainable, told: str
) -> None:
    warn_of_unused(method, block, train)
    assert capsys.readouterr().err.strip() == told
