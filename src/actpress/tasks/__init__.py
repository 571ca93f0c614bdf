"""What a network's output means: its decisions, its metric, and what it costs to change it."""

from actpress.tasks.classification import CLASSIFICATION, Classification
from actpress.tasks.task import Task
from actpress.tasks.unlabelled import UNLABELLED, Unlabelled

__all__ = ["CLASSIFICATION", "UNLABELLED", "Classification", "Task", "Unlabelled"]
