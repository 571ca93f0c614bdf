"""Tasks by what a user types."""

import pytest

from actpress.data import load_dataset
from actpress.errors import DataError, TaskError
from actpress.preparation import Preparation
from actpress.tasks import Classification, DenseRegression, MultiLabel, Regression, Segmentation
from actpress.tasks.named import task_of


def test_names_make_tasks() -> None:
    assert task_of("classification") == Classification()
    assert task_of("multilabel:5") == MultiLabel(labels=5)
    assert task_of("segmentation:21") == Segmentation(classes=21)
    assert task_of("regression") == Regression()
    assert task_of("dense-regression") == DenseRegression()
    assert task_of("dense-regression:255") == DenseRegression(peak=255)
    assert task_of("actpress.tasks:Regression") == Regression()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "magic",
            "there is no task 'magic'; expected classification, multilabel:LABELS, segmentation",
        ),
        ("regression:2", "there is no task 'regression:2'"),
        ("segmentation", "needs its number of classes: segmentation:21"),
        ("segmentation:many", "cannot read 'many' in the task segmentation:many"),
        ("segmentation:inf", "cannot read 'inf' in the task segmentation:inf; expected a whole"),
        ("multilabel:2.7", "expected a whole number"),
        ("dense-regression:high", "cannot read 'high' in the task dense-regression:high; expected"),
        ("segmentation:1", "a segmentation has 2 to"),
        ("builtins:dict", "returned a dict; expected a task"),
    ],
)
def test_other_names_are_refused(text: str, told: str) -> None:
    with pytest.raises(TaskError, match=told):
        task_of(text)


def test_data_with_a_task_of_their_own_keep_it() -> None:
    with pytest.raises(DataError, match="the task of fashion-mnist-subset is classification, not"):
        load_dataset("fashion-mnist-subset", preparation=Preparation(task="regression"))
    with pytest.raises(DataError, match="images and classes, which are no data of regression"):
        load_dataset("imagefolder:x", preparation=Preparation(task="regression"))
    same = load_dataset("fashion-mnist-subset", preparation=Preparation(task="classification"))
    assert same.task == Classification()
