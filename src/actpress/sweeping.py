"""Several methods at several budgets: a run directory each, and one comparison."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from actpress.budget import Budget, Count
from actpress.cost import EnergyModel
from actpress.data.dataset import Dataset
from actpress.engines import ENGINES, Engine, Run, Work
from actpress.errors import ActpressError, BudgetError, RunError
from actpress.evaluation import Metrics
from actpress.methods import METHODS, Progress, Settings, Silence, read_images
from actpress.plan import first_complaint
from actpress.report import render_sweep, sweep_csv
from actpress.run import (
    LOCK,
    METRICS,
    Source,
    differences,
    facts_of,
    followed,
    load_metrics,
    locked,
    read_request,
    source_of,
    write_text,
)
from actpress.settings import WITHOUT_BUDGET, Capture, EngineName, way_of

JSON, CSV, HTML, REQUEST = "sweep.json", "sweep.csv", "sweep.html", "request.json"


class _Failure(BaseModel):
    """What could not be made."""

    model_config = ConfigDict(extra="forbid")

    method: str
    budget: str
    reason: str


class _Comparison(BaseModel):
    """What an earlier command wrote of itself; its runs are read from their own folders."""

    failed: tuple[_Failure, ...]


@dataclass(frozen=True)
class NextRun:
    """A run that is about to begin.

    Attributes:
        method, budget: of it.
        number: its place among all runs of the sweep, from 1.
        runs: of the sweep, those included that are finished already.
    """

    method: str
    budget: str
    number: int
    runs: int


@dataclass(frozen=True)
class Sweep:
    """What a sweep measured.

    Attributes:
        runs: all that the folder holds, by method and rising bits.
        failed: (method, budget, reason) of what was asked and could not be made: a budget out of
            reach, or training that did not hold it.
    """

    runs: tuple[Metrics, ...]
    failed: tuple[tuple[str, str, str], ...]


def sweep(
    model: nn.Module,
    data: Dataset,
    out: Path | str,
    *,
    methods: Sequence[str],
    budgets: Sequence[str | Budget],
    settings: Settings | None = None,
    energy: EnergyModel | None = None,
    source: Source | None = None,
    leaves: Sequence[str] = (),
    capture: str = Capture.AUTO,
    any_size: bool = False,
    on: str = EngineName.HERE,
    progress: Progress | None = None,
    on_run: Callable[[NextRun], None] = lambda run: None,
) -> Sweep:
    """Compress a network with every method at every budget, and compare.

    Each run is written to its own folder below `out` as soon as it is done; runs that are there
    already are not made again, so that a sweep that was stopped goes on, also inside a run.

    Args:
        model: trained network, logits out; it is not changed.
        data: as for `compress`.
        out: folder; `sweep.json`, `sweep.csv` and `sweep.html` in it hold the comparison.
        methods: names of `METHODS`.
        budgets: as for `compress`; a method that cannot meet one is listed with the reason.
        settings: of all runs.
        energy: of the memory, for the reports.
        source: where model and data came from.
        leaves: module paths to trace around.
        capture: as for `compress`.
        any_size: likewise.
        on: `here`, one run after the other, or `ray`, several at a time on the cluster that
            `RAY_ADDRESS` names or else on this machine (see `on_ray`).
        progress: told how far the work of the present run is, where it is done here.
        on_run: called before each run that is not finished already.

    Raises:
        ActpressError: an unknown method or engine; `out` holds a sweep of another network, data
            or settings, or another sweep is at work there.
    """
    _check_asked(methods, budgets, on)
    settings = settings or Settings()
    source = source or source_of(
        model, data, leaves=leaves, capture=way_of(capture), any_size=any_size
    )
    if source.images_sha256 is None:
        digests = read_images(data, settings, progress)
        source = source.model_copy(update={"images_sha256": digests})
    wanted = {
        "source": source.model_dump(mode="json"),
        "settings": facts_of(settings),
        "energy": facts_of(energy or EnergyModel()),
    }
    out = followed(Path(out))
    _check_own(out)
    with locked(out):
        _check_request(out, wanted)
        points = list(_points(methods, budgets))
        runs = [
            Run(method, budget, out.absolute() / _name(method, budget), number)
            for number, (method, budget) in enumerate(points, start=1)
        ]
        work = Work(model, data, settings, energy, source, leaves, capture, any_size)
        before, failed = _failed_before(out, points), dict[Run, str]()
        for run, reason in _ended(ENGINES[on], work, runs, progress or Silence(), on_run):
            if reason is not None:
                failed[run] = reason
            _write(out, _finished(out), before + _rows(failed))
        if len(failed) == len(points):
            raise BudgetError(f"no method met any budget: {'; '.join(failed.values())}")
        return Sweep(tuple(_finished(out)), tuple(_rows(failed)))


def _check_asked(methods: Sequence[str], budgets: Sequence[object], on: str) -> None:
    if not methods or not budgets:
        raise ActpressError("a sweep needs at least one method and one budget")
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise ActpressError(
            f"there is no method {', '.join(unknown)}; expected some of {', '.join(METHODS)}"
        )
    if on not in ENGINES:
        raise ActpressError(f"a sweep runs on one of {', '.join(ENGINES)}, not on {on!r}")


def _ended(
    engine: Engine,
    work: Work,
    runs: Sequence[Run],
    progress: Progress,
    on_run: Callable[[NextRun], None],
) -> Iterator[tuple[Run, str | None]]:
    """All runs, those first that are there already."""
    waiting = []
    for run in runs:
        if (run.folder / METRICS).exists():
            run.clear()
            yield run, None
        else:
            waiting.append(run)

    def begun(run: Run) -> None:
        on_run(NextRun(run.method, str(run.budget), run.number, len(runs)))

    yield from engine(work, waiting, progress, begun)


def _rows(failed: Mapping[Run, str]) -> list[tuple[str, str, str]]:
    """(method, budget, reason), in the order of the runs."""
    runs = sorted(failed, key=lambda run: run.number)
    return [(run.method, str(run.budget), failed[run]) for run in runs]


def _points(
    methods: Sequence[str], budgets: Sequence[str | Budget]
) -> Iterator[tuple[str, Budget]]:
    parsed = list(dict.fromkeys(Budget.parse(b) if isinstance(b, str) else b for b in budgets))
    for method in dict.fromkeys(methods):
        for budget in parsed[:1] if method in WITHOUT_BUDGET else parsed:
            yield method, budget


def _name(method: str, budget: Budget) -> str:
    if method in WITHOUT_BUDGET:
        return method
    counted = "activations" if budget.count is Count.ACTIVATIONS else f"batch{budget.batch}"
    return f"{method}-{budget.amount:g}{budget.kind}-{budget.view}-{counted}"


def _check_own(out: Path) -> None:
    """Refuse a folder that no sweep made.

    Raises:
        RunError: it is one.
    """
    nothing_yet = {LOCK, f".{REQUEST}.part"}  # a sweep that was killed before its request
    if not out.exists() or (out / REQUEST).is_file():
        return
    if not out.is_dir() or {path.name for path in out.iterdir()} - nothing_yet:
        raise RunError(f"{out} exists and holds no sweep; choose another --out")


def _check_request(out: Path, wanted: Mapping[str, Any]) -> None:
    """A folder keeps what its runs have in common, so that runs of different kinds do not mix."""
    text = json.dumps(wanted, indent=1) + "\n"
    path = out / REQUEST
    if not path.exists():
        write_text(path, text)
    elif other := differences(read_request(path), json.loads(text)):
        raise RunError(
            f"{out} holds a sweep of another request: {other}; continue it with the same network, "
            f"data and settings, or choose another --out"
        )


def _failed_before(out: Path, points: Sequence[tuple[str, Budget]]) -> list[tuple[str, str, str]]:
    """What earlier commands could not make and this one is not asked for."""
    path = out / JSON
    if not path.is_file():
        return []
    try:
        rows = _Comparison.model_validate_json(path.read_bytes()).failed
    except ValidationError as error:
        raise RunError(
            f"{path} is damaged: {first_complaint(error)}; remove it, the same command writes it "
            f"again"
        ) from error
    asked = {(method, str(budget)) for method, budget in points}
    earlier = [(row.method, row.budget, row.reason) for row in rows]
    return [row for row in earlier if row[:2] not in asked]


def _finished(out: Path) -> list[Metrics]:
    """All runs of the folder, by method and rising bits."""
    folders = [path.parent for path in out.glob(f"*/{METRICS}")]
    runs = [load_metrics(folder) for folder in folders if not folder.name.startswith(".")]
    order = list(METHODS)
    for run in runs:
        if run.method not in order:
            raise RunError(
                f"{out} holds a run of the method {run.method!r}, which this actpress does not "
                f"have; remove its folder"
            )
    return sorted(runs, key=lambda run: (order.index(run.method), run.bits_per_value.entropy))


def _write(out: Path, runs: Sequence[Metrics], failed: Sequence[tuple[str, str, str]]) -> None:
    if not runs:
        return
    rows = [run.model_dump(mode="json", exclude={"sites", "search"}) for run in runs]
    missed = [dict(zip(("method", "budget", "reason"), row, strict=True)) for row in failed]
    text = json.dumps({"runs": rows, "failed": missed}, indent=1) + "\n"
    write_text(out / JSON, text)
    write_text(out / CSV, sweep_csv(runs))
    write_text(out / HTML, render_sweep(runs, missed))
