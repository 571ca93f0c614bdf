"""The float network predicts an image once, and the same."""

import pytest
import torch
from torch import Tensor, nn

from actpress.tune import teacher as module
from actpress.tune.teacher import Teacher
from actpress.zoo import reference


class Counting(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.images = network, 0

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        self.images += len(x)
        return self.network(x), {"mean": x.mean((1, 2, 3))}


@pytest.fixture
def network() -> Counting:
    return Counting(reference.load("resnet18").eval())


def test_images_of_other_epochs_are_not_predicted_again(network: Counting) -> None:
    teacher, images = Teacher(network), torch.randn(16, 1, 32, 32)
    first = teacher(images[:8]), teacher(images[8:])
    assert network.images == 16
    order = torch.randperm(16)[:8]
    logits, more = teacher(images[order])
    assert network.images == 16
    assert torch.equal(logits, torch.cat([first[0][0], first[1][0]])[order])
    assert torch.equal(more["mean"], images[order].mean((1, 2, 3)))
    with torch.no_grad():
        assert torch.equal(logits, network(images[order])[0]), "to the bit, whatever is beside it"


def test_an_image_that_was_never_seen_is_predicted(network: Counting) -> None:
    teacher, images = Teacher(network), torch.randn(4, 1, 32, 32)
    teacher(images)
    images[2, 0, 0, 0] += 1
    with torch.no_grad():
        wanted = network.network(images)
    assert torch.equal(teacher(images)[0], wanted)
    assert network.images == 8


def test_no_more_is_kept_than_there_is_room_for(
    network: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 100)
    teacher, images = Teacher(network), torch.randn(4, 1, 32, 32)
    assert torch.equal(teacher(images)[0], teacher(images)[0])
    assert network.images == 8
