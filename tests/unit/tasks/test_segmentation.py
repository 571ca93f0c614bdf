"""Segmentation: what is measured over a whole set, what an output says, what is refused."""

import math

import pytest
import torch
from torch.nn import functional as F

from actpress.errors import ModelError, TaskError
from actpress.tasks import Segmentation

TASK = Segmentation(classes=3)


def test_mean_iou_is_of_the_whole_set_and_not_a_mean_over_images() -> None:
    found = torch.tensor([[[0, 0], [1, 1]], [[2, 2], [2, 0]]], dtype=torch.uint8)
    true = torch.tensor([[[0, 1], [1, 1]], [[2, 2], [255, 2]]])
    # class 0: 1 right of 3 found or true; class 1: 2 of 3; class 2: 2 of 3, as one is ignored
    expected = (1 / 3 + 2 / 3 + 2 / 3) / 3
    whole = TASK.evidence(found, true)
    parts = torch.cat([TASK.evidence(found[at : at + 1], true[at : at + 1]) for at in (0, 1)])
    assert whole.equal(parts)
    assert TASK.measure(whole) == pytest.approx(expected)
    means = [TASK.measure(whole[at : at + 1]) for at in (0, 1)]
    assert sum(means) / 2 != pytest.approx(expected)


def test_a_class_that_is_nowhere_does_not_count() -> None:
    same = torch.tensor([[[0, 1]]])
    assert TASK.measure(TASK.evidence(same.to(torch.uint8), same)) == 1.0
    nothing = TASK.evidence(same.to(torch.uint8), torch.full_like(same, 255))
    with pytest.raises(TaskError, match="no pixel of any image counts"):
        TASK.measure(nothing)


def test_the_divergence_is_the_mean_over_pixels() -> None:
    student, teacher = torch.randn(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    p, q = teacher.softmax(1), student.softmax(1)
    assert TASK.divergence(student, teacher) == pytest.approx(
        float((p * (p / q).log()).sum(1).mean()), rel=1e-5
    )
    assert TASK.divergence(teacher, teacher) == 0


def test_the_score_gives_the_fisher_information_of_that_divergence() -> None:
    """Half of delta' F delta is the divergence of a small change of all pixels of an image."""
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    delta = 0.05 * torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(2))
    repeated = logits.expand(40_000, 3, 2, 2).clone().requires_grad_()
    TASK.score(repeated, torch.Generator().manual_seed(0)).backward()
    assert repeated.grad is not None
    along = (repeated.grad * delta).flatten(1).sum(1)
    predicted = 0.5 * float(along.square().mean())
    assert predicted == pytest.approx(float(TASK.divergence(logits + delta, logits)), rel=0.05)


def test_one_logit_tells_two_classes_apart() -> None:
    two = Segmentation(classes=2)
    logits = torch.tensor([-1.0, 2.0]).view(1, 1, 1, 2)
    two.check(logits, torch.zeros(1, 1, 2, dtype=torch.int64), images=1)
    assert two.decisions(logits).tolist() == [[[0, 1]]]
    expected = F.binary_cross_entropy_with_logits(logits.flatten(), torch.tensor([1.0, 1.0]))
    assert two.loss(logits, torch.ones(1, 1, 2, dtype=torch.int64)) == pytest.approx(
        float(expected)
    )


def test_ignored_pixels_have_no_loss() -> None:
    logits = torch.zeros(1, 3, 1, 2)
    assert TASK.loss(logits, torch.tensor([[[1, 255]]])) == pytest.approx(math.log(3))
    assert TASK.loss(logits, torch.tensor([[[255, 255]]])) == 0


@pytest.mark.parametrize(
    "raw",
    [
        torch.zeros(2, 4, 4),
        torch.zeros(2, 4, dtype=torch.int64),
        torch.full((2, 4, 4), 3),
        torch.full((2, 4, 4), -1),
        torch.zeros(2, 3, 4, 4, dtype=torch.int64),
        [0, 1],
    ],
)
def test_other_targets_are_none(raw: object) -> None:
    assert TASK.as_target(raw) is None


def test_masks_of_one_channel_and_any_integers_are_taken() -> None:
    mask = torch.tensor([[0, 2], [255, 1]], dtype=torch.uint8).view(1, 1, 2, 2)
    taken = TASK.as_target(mask)
    assert taken is not None
    assert taken.equal(mask[:, 0].long())


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(2, 4, 8, 8), r"shape \(2, 4, 8, 8\); expected logits \(n, 3, h, w\)"),
        (torch.zeros(2, 3), r"shape \(2, 3\)"),
        (torch.zeros(2, 3, 4, 4), "maps of 4x4, the targets of 8x8; expected the same size"),
        ({"out": torch.zeros(2, 3, 8, 8)}, "returns a dict"),
    ],
)
def test_other_outputs_are_refused(output: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        TASK.check(output, torch.zeros(2, 8, 8, dtype=torch.int64), images=2)


def test_few_images_that_count_have_no_interval() -> None:
    task = Segmentation(classes=3)
    target = torch.tensor([[[0, 1]], [[255, 255]]])
    evidence = task.evidence(target.clamp(max=2).to(torch.uint8), target)
    assert task.measure(evidence) == 1
    assert task.loss_error(evidence[:1], evidence[:1]) is None, "one image says nothing"
    assert task.loss_error(evidence[1:].repeat(9, 1, 1), evidence[1:].repeat(9, 1, 1)) is None
    assert task.loss_error(evidence, evidence) == 0


def test_classes_must_be_there() -> None:
    with pytest.raises(TaskError, match="2 to 255 classes"):
        Segmentation(classes=1)
