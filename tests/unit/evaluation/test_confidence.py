"""Guessing is told from knowing, and a drop has an interval."""

import pytest
import torch
from torch import Tensor

from actpress.evaluation import Comparison, images_to_tell, is_guessing
from actpress.tasks import CLASSIFICATION, Metric
from actpress.tasks.intervals import drop_error_pp


def by_guessing(predictions: Tensor, labels: Tensor) -> float:
    return CLASSIFICATION.by_guessing(CLASSIFICATION.evidence(predictions, labels))


def test_guessing_reaches_the_share_of_the_class_that_is_always_named() -> None:
    labels = torch.tensor([0] * 72 + [1] * 28)
    assert by_guessing(torch.ones(100, dtype=torch.int64), labels) == pytest.approx(0.28)
    assert by_guessing(labels, labels) == pytest.approx(0.72**2 + 0.28**2)


def test_who_knows_beats_guessing_also_where_one_class_is_most() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    share = by_guessing(labels, labels)
    assert not is_guessing(0.99, share, 100)
    assert is_guessing(0.80, share, 100)
    assert not is_guessing(0.5, 0.5, 3), "so few images tell nothing"


def test_the_interval_of_a_drop_is_that_of_the_images_that_differ() -> None:
    # Agresti and Min (2005): 1.96 sqrt(b + c + 1 - (b - c)^2 / (n + 2)) / (n + 2)
    assert drop_error_pp(12, 3, 1000) == pytest.approx(196 * (16 - 81 / 1002) ** 0.5 / 1002)
    assert drop_error_pp(0, 0, 98) == pytest.approx(1.96)


def test_two_networks_are_compared_image_by_image() -> None:
    labels = torch.tensor([0, 1, 2, 3])
    before, after = (
        CLASSIFICATION.evidence(torch.tensor(own), labels) for own in ([0, 1, 2, 0], [0, 1, 0, 3])
    )
    found = Comparison.of(CLASSIFICATION, before, after, images=4)
    assert (found.before, found.after, found.drop_pp) == (0.75, 0.75, 0.0)
    assert found.drop_error_pp == pytest.approx(drop_error_pp(1, 1, 4))


def test_a_loss_is_in_the_unit_of_its_metric_and_positive_where_it_is_worse() -> None:
    decibels = Comparison(
        name="PSNR", unit="dB", images=4, before=31.5, after=31.25, drop_error_pp=None
    )
    assert decibels.drop_pp == 0.25
    assert Metric("error", "px", higher_is_better=False).lost(1.0, 1.5) == 0.5
    assert Comparison.model_validate_json(decibels.model_dump_json()) == decibels


def test_accuracy_is_written_as_before_other_metrics_had_names() -> None:
    written = Comparison(images=4, before=1.0, after=0.5, drop_error_pp=0.1).model_dump()
    assert set(written) == {"images", "before", "after", "drop_error_pp"}
    assert Comparison.model_validate(written).name == "accuracy"


@pytest.mark.parametrize(("drop", "images"), [(0.5, 769), (1.0, 385), (5.0, 77)])
def test_small_drops_take_many_images(drop: float, images: int) -> None:
    assert images_to_tell(drop) == images
    assert drop_error_pp(round(drop * images / 100), 0, images) > drop * 0.9
