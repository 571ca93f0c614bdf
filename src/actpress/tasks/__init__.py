"""What a network's output means: its decisions, its metric, and what it costs to change it."""

from actpress.tasks.classification import CLASSIFICATION, Classification
from actpress.tasks.custom import Custom
from actpress.tasks.metric import DECIBEL, PERCENT, Metric
from actpress.tasks.multilabel import MultiLabel
from actpress.tasks.regression import DenseRegression, Regression
from actpress.tasks.segmentation import Segmentation
from actpress.tasks.task import Task
from actpress.tasks.unlabelled import UNLABELLED, Unlabelled

__all__ = [
    "CLASSIFICATION",
    "DECIBEL",
    "PERCENT",
    "UNLABELLED",
    "Classification",
    "Custom",
    "DenseRegression",
    "Metric",
    "MultiLabel",
    "Regression",
    "Segmentation",
    "Task",
    "Unlabelled",
]
