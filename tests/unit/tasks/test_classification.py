"""Every form of logits means the same decisions, losses and Fisher information."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.errors import ModelError
from actpress.tasks import CLASSIFICATION

LOGITS = torch.tensor([[2.0, 1.0, -1.0], [0.0, 0.5, 0.25], [-3.0, -4.0, 5.0]])
LABELS = torch.tensor([0, 2, 2])


def measured(predictions: Tensor, labels: Tensor) -> float:
    return CLASSIFICATION.measure(CLASSIFICATION.evidence(predictions, labels))


@pytest.mark.parametrize("shape", [(3, 3), (3, 3, 1), (3, 3, 1, 1)])
def test_axes_of_length_one_change_nothing(shape: tuple[int, ...]) -> None:
    output, teacher = LOGITS.view(shape), (LOGITS / 2).view(shape)
    CLASSIFICATION.check(output, LABELS, images=3)

    predictions = CLASSIFICATION.decisions(output)

    assert predictions.tolist() == [0, 1, 2]
    assert measured(predictions, LABELS) == pytest.approx(2 / 3)
    assert CLASSIFICATION.agreement(
        CLASSIFICATION.sameness(predictions, torch.tensor([0, 0, 0]))
    ) == pytest.approx(1 / 3)
    assert CLASSIFICATION.loss(output, LABELS).equal(F.cross_entropy(LOGITS, LABELS))
    p, q = (LOGITS / 2).softmax(1), LOGITS.softmax(1)
    divergence = (p * (p / q).log()).sum(1).mean()
    assert CLASSIFICATION.divergence(output, teacher) == pytest.approx(float(divergence))


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 1, 1, 1)])
def test_one_logit_tells_two_classes_apart_at_zero(shape: tuple[int, ...]) -> None:
    z, labels = torch.tensor([-1.5, 0.0, 1e-3, 4.0]), torch.tensor([0, 0, 1, 0])
    output = z.view(shape)
    CLASSIFICATION.check(output, labels, images=4)

    assert CLASSIFICATION.decisions(output).tolist() == [0, 0, 1, 1]
    assert measured(CLASSIFICATION.decisions(output), labels) == 0.75
    expected = F.binary_cross_entropy_with_logits(z, labels.float())
    assert CLASSIFICATION.loss(output, labels) == pytest.approx(float(expected))


def test_the_divergence_of_one_logit_is_that_of_two_bernoulli_variables() -> None:
    student, teacher = torch.tensor([[0.3], [-2.0]]), torch.tensor([[1.0], [-1.0]])
    p, q = teacher.sigmoid(), student.sigmoid()
    expected = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()

    assert CLASSIFICATION.divergence(student, teacher) == pytest.approx(float(expected), rel=1e-5)
    assert CLASSIFICATION.divergence(student, student) == 0


def test_the_temperature_keeps_the_size_of_gradients() -> None:
    student, teacher = LOGITS.clone().requires_grad_(), LOGITS + 0.1 * torch.randn(3, 3)
    sizes = []
    for temperature in (1.0, 100.0):
        divergence = CLASSIFICATION.divergence(student, teacher, temperature=temperature)
        sizes.append(torch.autograd.grad(divergence, student)[0].norm())

    assert 0.3 < sizes[1] / sizes[0] < 3


def test_the_second_moment_of_the_score_is_the_fisher_information() -> None:
    """Of one logit: p (1 - p)."""
    z = torch.full((20_000, 1), math.log(3.0)).requires_grad_()

    CLASSIFICATION.score(z, torch.Generator().manual_seed(0)).backward()

    assert z.grad is not None
    assert z.grad.square().mean() == pytest.approx(0.75 * 0.25, rel=0.02)
    assert z.grad.mean() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ((torch.zeros(2, 4),), r"returns a tuple; expected logits: .* wrap the network"),
        ({"logits": torch.zeros(2, 4)}, "returns a dict"),
        (torch.zeros(2, 4, 8, 8), r"shape \(2, 4, 8, 8\); expected logits: .* pool maps"),
        (torch.zeros(2, 4, 2), r"shape \(2, 4, 2\)"),
        (torch.zeros(8, 4), r"for 2 images .* shape \(8, 4\)"),
        (torch.zeros(()), r"shape \(\)"),
        (torch.zeros(2, 0), r"shape \(2, 0\)"),
        (torch.zeros(2, 4, dtype=torch.int64), "returns torch.int64"),
        (
            torch.zeros(2, 3),
            r"tells 3 classes apart, but labels go up to 3; .* with 4 classes or more",
        ),
        (torch.zeros(2, 1), r"tells 2 classes apart, but labels go up to 3"),
    ],
)
def test_other_outputs_are_refused(output: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        CLASSIFICATION.check(output, torch.tensor([0, 3]), images=2)


def test_an_image_alone_is_read_like_many() -> None:
    def predicted(output: Tensor) -> list[int]:
        CLASSIFICATION.check(output, torch.tensor([1]), images=1)
        return CLASSIFICATION.decisions(output).tolist()

    assert predicted(torch.tensor([3.0])) == [1]
    assert predicted(torch.tensor([[1.0, 3.0]])) == [1]
