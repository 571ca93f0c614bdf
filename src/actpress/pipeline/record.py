"""A finished search on disk, so that a resumed job does not search again."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from actpress.calibration import Statistics
from actpress.errors import RunError
from actpress.evaluation import PathPoint
from actpress.files import write_text
from actpress.graph import hash_weights
from actpress.pipeline.job import Job, Outcome
from actpress.plan import Plan, first_complaint
from actpress.pressing import CompressedModel

FILE = "search.json"


class SearchRecord(BaseModel):
    """What a search found, greedy or for bit-widths.

    Attributes:
        identity: of weights, budget and settings; another one is refused.
        plan: that meets the budget.
        method, variant, path, search_node_evals, search_seconds: as in `Outcome`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    identity: str
    plan: Plan
    method: str
    variant: str
    path: tuple[PathPoint, ...]
    search_node_evals: int
    search_seconds: float

    @classmethod
    def of(cls, job: Job, outcome: Outcome) -> Self:
        """The record of an outcome that was not trained yet."""
        return cls(
            identity=identity_of(job),
            plan=outcome.pressed.plan,
            method=outcome.method,
            variant=outcome.variant,
            path=outcome.path,
            search_node_evals=outcome.search_node_evals,
            search_seconds=outcome.search_seconds,
        )

    def outcome(self, pressed: CompressedModel, statistics: Statistics) -> Outcome:
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


def finished_search(job: Job, method: str) -> SearchRecord | None:
    """A search of this very job that had finished: of this process, or of one that was interrupted.

    Args:
        job: that is asked.
        method: whose search; the first process of a team reads it for all.

    Raises:
        RunError: the job's folder holds a damaged one, or that of something else.
    """
    known, folder = job.searches.get(_key(job, method)), job.folder
    if known is not None:
        return known
    return job.team.from_first(lambda: None if folder is None else read_record(folder, job))


def keep_search(job: Job, record: SearchRecord) -> None:
    """Carry a finished search along, on disk too where the job has a folder."""
    job.searches[_key(job, record.method)] = record
    if job.folder is not None:
        write_record(job.folder, record)


def _key(job: Job, method: str) -> str:
    return f"{method}|{identity_of(job)}"


def write_record(folder: Path, record: SearchRecord) -> None:
    """Write a record whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FILE, record.model_dump_json(indent=1) + "\n")


def identity_of(job: Job) -> str:
    """What decides the search of a job, besides its data."""
    settings = job.settings
    amounts = settings.calibration_images, settings.search_images, settings.holdout_images
    how = settings.block, settings.search, settings.widths, settings.tune
    rules = f"|{job.rules}" if job.rules else ""
    return f"{hash_weights(job.graph.root)}|{job.budget}|{amounts}|{how}|{job.energy}{rules}"


def read_record(folder: Path, job: Job) -> SearchRecord | None:
    """The search of an interrupted job, if it had finished.

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
    if record.plan.fingerprint != job.graph.fingerprint or record.identity != identity_of(job):
        raise RunError(
            f"{path} belongs to another network, budget or settings; delete {folder} to start again"
        )
    return record
