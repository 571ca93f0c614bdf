"""Guessing is told from knowing, and a drop has an interval."""

import pytest
import torch

from actpress.evaluation import Comparison, guessing_accuracy, images_to_tell, is_guessing
from actpress.evaluation.confidence import drop_error_pp


def test_guessing_reaches_the_share_of_the_class_that_is_always_named() -> None:
    labels = torch.tensor([0] * 72 + [1] * 28)
    assert guessing_accuracy(torch.ones(100, dtype=torch.int64), labels) == pytest.approx(0.28)
    assert guessing_accuracy(labels, labels) == pytest.approx(0.72**2 + 0.28**2)


def test_who_knows_beats_guessing_also_where_one_class_is_most() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    by_guessing = guessing_accuracy(labels, labels)
    assert not is_guessing(0.99, by_guessing, 100)
    assert is_guessing(0.80, by_guessing, 100)
    assert not is_guessing(0.5, 0.5, 3), "so few images tell nothing"


def test_the_interval_of_a_drop_is_that_of_the_images_that_differ() -> None:
    # Agresti and Min (2005): 1.96 sqrt(b + c + 1 - (b - c)^2 / (n + 2)) / (n + 2)
    assert drop_error_pp(12, 3, 1000) == pytest.approx(196 * (16 - 81 / 1002) ** 0.5 / 1002)
    assert drop_error_pp(0, 0, 98) == pytest.approx(1.96)


def test_two_networks_are_compared_image_by_image() -> None:
    labels = torch.tensor([0, 1, 2, 3])
    found = Comparison.of(torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 0, 3]), labels)
    assert (found.before, found.after, found.drop_pp) == (0.75, 0.75, 0.0)
    assert found.drop_error_pp == pytest.approx(drop_error_pp(1, 1, 4))


@pytest.mark.parametrize(("drop", "images"), [(0.5, 769), (1.0, 385), (5.0, 77)])
def test_small_drops_take_many_images(drop: float, images: int) -> None:
    assert images_to_tell(drop) == images
    assert drop_error_pp(round(drop * images / 100), 0, images) > drop * 0.9
