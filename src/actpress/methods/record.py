"""A finished search on disk, so that a resumed task does not search again."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from actpress.calibrate import Statistics
from actpress.errors import RunError
from actpress.evaluate import PathPoint
from actpress.graph import hash_weights
from actpress.methods.task import Outcome, Task
from actpress.plan import Plan, first_complaint
from actpress.press import PressedModel

FILE = "search.json"


class SearchRecord(BaseModel):
    """What a search found, greedy or for bit-widths.

    Attributes:
        identity: of weights, budget and settings; another one is refused.
        plan: that meets the budget.
        method, variant, path, search_node_evals, search_seconds: as in `Outcome`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    plan: Plan
    method: str
    variant: str
    path: tuple[PathPoint, ...]
    search_node_evals: int
    search_seconds: float

    @classmethod
    def of(cls, task: Task, outcome: Outcome) -> Self:
        """The record of an outcome that was not trained yet."""
        return cls(
            identity=identity_of(task),
            plan=outcome.pressed.plan,
            method=outcome.method,
            variant=outcome.variant,
            path=outcome.path,
            search_node_evals=outcome.search_node_evals,
            search_seconds=outcome.search_seconds,
        )

    def outcome(self, pressed: PressedModel, statistics: Statistics) -> Outcome:
        """The outcome again, with its plan pressed anew."""
        return Outcome(
            pressed,
            statistics,
            self.method,
            self.variant,
            self.path,
            self.search_node_evals,
            self.search_seconds,
        )


def write_record(folder: Path, record: SearchRecord) -> None:
    """Write under a temporary name, then rename."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{FILE}.part"
    partial.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / FILE)


def identity_of(task: Task) -> str:
    """What decides the search of a task, besides its data."""
    settings = task.settings
    amounts = settings.calibration_images, settings.search_images, settings.holdout_images
    how = settings.block, settings.search, settings.grouping, settings.widths, settings.tune
    return f"{hash_weights(task.graph.root)}|{task.budget}|{amounts}|{how}"


def read_record(folder: Path, task: Task) -> SearchRecord | None:
    """The search of an interrupted task, if it had finished.

    Raises:
        RunError: the file is damaged, or of another network, budget or settings.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        record = SearchRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        what = first_complaint(error) if isinstance(error, ValidationError) else str(error)
        raise RunError(f"{path} is damaged: {what}; delete {folder} to start again") from error
    if record.plan.fingerprint != task.graph.fingerprint or record.identity != identity_of(task):
        raise RunError(
            f"{path} belongs to another network, budget or settings; delete {folder} to start again"
        )
    return record
