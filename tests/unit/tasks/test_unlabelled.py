"""Classification without labels."""

import pytest
import torch

from actpress.errors import ModelError
from actpress.tasks import CLASSIFICATION, UNLABELLED

NONE = torch.zeros(4, 0, dtype=torch.int64)


def test_it_judges_outputs_as_classification_does() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 4, 3, generator=generator)
    assert UNLABELLED.decisions(student).equal(student.argmax(1))
    for temperature in (1.0, 2.0):
        expected = CLASSIFICATION.divergence(student, teacher, temperature=temperature)
        assert UNLABELLED.divergence(student, teacher, temperature=temperature) == expected
    scores = [
        task.score(student, torch.Generator().manual_seed(1))
        for task in (UNLABELLED, CLASSIFICATION)
    ]
    assert scores[0] == scores[1]


def test_its_metric_is_agreement() -> None:
    before, after = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 1])
    sameness = UNLABELLED.sameness(after, before)
    assert UNLABELLED.measure(UNLABELLED.evidence(after, before)) == 0.75
    assert UNLABELLED.agreement(sameness) == 0.75


def test_outputs_that_are_no_logits_are_refused() -> None:
    UNLABELLED.check(torch.zeros(4, 3), NONE, images=4)
    with pytest.raises(ModelError, match="expected logits"):
        UNLABELLED.check(torch.zeros(4, 3, 5, 5), NONE, images=4)


def test_there_is_no_loss() -> None:
    with pytest.raises(ModelError, match="have no labels to be trained on"):
        UNLABELLED.loss(torch.zeros(4, 3), NONE)
