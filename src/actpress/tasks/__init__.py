"""What a network's output means: its decisions, its metric, and what it costs to change it."""

from actpress.tasks.classification import CLASSIFICATION, Classification
from actpress.tasks.task import Task

__all__ = ["CLASSIFICATION", "Classification", "Task"]
