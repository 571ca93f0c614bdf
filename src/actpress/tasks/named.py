"""Tasks by what a user types."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from actpress.errors import TaskError
from actpress.factories import call_factory
from actpress.tasks.classification import Classification
from actpress.tasks.custom import Custom
from actpress.tasks.multilabel import MultiLabel
from actpress.tasks.regression import DenseRegression, Regression
from actpress.tasks.segmentation import Segmentation
from actpress.tasks.task import Task
from actpress.tasks.unlabelled import Unlabelled


@dataclass(frozen=True)
class _Named:
    """A task, and what the number behind its name means; None where it takes none."""

    make: Callable[[str | None], Task]
    number: str | None = None
    needs_number: bool = False


def _segmentation(number: str | None) -> Task:
    assert number is not None, "checked before"
    return Segmentation(classes=int(number))


def _multilabel(number: str | None) -> Task:
    assert number is not None, "checked before"
    return MultiLabel(labels=int(number))


def _dense_regression(peak: str | None) -> Task:
    return DenseRegression() if peak is None else DenseRegression(peak=float(peak))


NAMED: Mapping[str, _Named] = {
    "classification": _Named(lambda _: Classification()),
    "multilabel": _Named(_multilabel, "labels", needs_number=True),
    "segmentation": _Named(_segmentation, "classes", needs_number=True),
    "regression": _Named(lambda _: Regression()),
    "dense-regression": _Named(_dense_regression, "peak"),
}

FORMS = (
    "classification, multilabel:LABELS, segmentation:CLASSES, regression, dense-regression[:PEAK]"
)


def task_of(text: str) -> Task:
    """The task that a user named.

    >>> task_of("segmentation:21").classes
    21
    >>> task_of("dense-regression").name
    'dense regression'

    Args:
        text: a name with its number, or `package.module:factory`, which takes nothing and returns
            a task.

    Raises:
        TaskError: there is no such task; says which there are.
    """
    name, colon, number = text.partition(":")
    named = NAMED.get(name)
    if named is None and colon:
        task = call_factory(text, error=TaskError)
        if not all(hasattr(task, name) for name in ("divergence", "score", "decisions", "metric")):
            raise TaskError(f"{text} returned a {type(task).__name__}; expected a task, as {FORMS}")
        return cast(Task, task)
    if named is None or bool(colon) > (named.number is not None):
        raise TaskError(f"there is no task {text!r}; expected {FORMS} or package.module:factory")
    if not colon:
        if named.needs_number:
            raise TaskError(f"the task {text} needs its number of {named.number}: {name}:21")
        return named.make(None)
    try:
        return named.make(number)
    except ValueError as error:
        kind = "whole number" if named.needs_number else "number"
        raise TaskError(f"cannot read {number!r} in the task {text}; expected a {kind}") from error


def name_of_task(task: Task) -> str | None:
    """What `task_of` makes that task of; None where there is no such name.

    >>> name_of_task(Segmentation(classes=21))
    'segmentation:21'
    >>> name_of_task(Segmentation(classes=21, ignored=254)) is None
    True
    """
    match task:
        case Segmentation():
            text = f"segmentation:{task.classes}"
        case MultiLabel():
            text = f"multilabel:{task.labels}"
        case DenseRegression():
            text = f"dense-regression:{task.peak}"
        case Regression():
            text = "regression"
        case _:
            text = "classification"
    return text if task_of(text) == task else None


def is_same_task(one: Task, other: Task) -> bool:
    """Whether outputs and targets mean the same; without labels, those of the task behind.

    Of a metric by a function its name and unit are compared, as a factory may make the function
    anew.
    """
    one, other = (task.of if isinstance(task, Unlabelled) else task for task in (one, other))
    if isinstance(one, Custom) and isinstance(other, Custom):
        return (one.name, one.metric) == (other.name, other.metric)
    return one == other
