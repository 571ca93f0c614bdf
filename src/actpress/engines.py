"""Where the runs of a sweep are made: one after the other here, or on a Ray cluster."""

import copy
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from actpress.api import compress
from actpress.budget import Budget
from actpress.cost import EnergyModel
from actpress.data.dataset import Dataset
from actpress.errors import BudgetError, RunError, TuningError
from actpress.methods import Progress, Settings, Silence
from actpress.run import Source, tidy
from actpress.settings import EngineName


@dataclass(frozen=True)
class Work:
    """What all runs of a sweep have in common; see `sweep`."""

    model: nn.Module
    data: Dataset
    settings: Settings
    energy: EnergyModel | None
    source: Source
    leaves: Sequence[str]
    capture: str
    any_size: bool


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        method: its name.
        budget: what is asked of it.
        folder: run directory that it is written to.
        number: its place among all runs of the sweep, from 1.
    """

    method: str
    budget: Budget
    folder: Path
    number: int

    @property
    def workplace(self) -> Path:
        """Where its checkpoints are until it is written."""
        return self.folder.with_name(f".{self.folder.name}.partial")

    def clear(self) -> None:
        """Remove what only a run that is not finished needs."""
        shutil.rmtree(self.workplace, ignore_errors=True)  # some methods make no checkpoints
        tidy(self.folder)


class Engine(Protocol):
    """Makes runs."""

    def __call__(
        self,
        work: Work,
        runs: Sequence[Run],
        progress: Progress,
        on_run: Callable[[Run], None],
    ) -> Iterator[tuple[Run, str | None]]:
        """Make runs, each into its folder.

        Args:
            work: what they have in common.
            runs: that are not there yet.
            progress: told how far a run is, where runs are made in this process.
            on_run: called when a run begins, or is handed out.

        Yields:
            Every run as it ends, and why it could not be made: a budget out of reach, or training
            that did not hold it.

        Raises:
            ActpressError: anything else that ends a run.
        """
        ...


def make_run(work: Work, run: Run, progress: Progress) -> str | None:
    """Compress, and write the run directory; the reason where a budget cannot be met."""
    try:
        result = compress(
            work.model,
            work.data,
            method=run.method,
            budget=run.budget,
            settings=work.settings,
            energy=work.energy,
            source=work.source,
            leaves=work.leaves,
            capture=work.capture,
            any_size=work.any_size,
            folder=run.workplace,
            progress=progress,
        )
    except (BudgetError, TuningError) as error:
        return str(error)
    result.save(run.folder)
    run.clear()
    return None


def in_turn(
    work: Work, runs: Sequence[Run], progress: Progress, on_run: Callable[[Run], None]
) -> Iterator[tuple[Run, str | None]]:
    """One run after the other in this process; see `Engine`."""
    for run in runs:
        on_run(run)
        yield run, make_run(work, run, progress)


def on_ray(
    work: Work, runs: Sequence[Run], progress: Progress, on_run: Callable[[Run], None]
) -> Iterator[tuple[Run, str | None]]:
    """Several runs at a time on the cluster of `RAY_ADDRESS`, or on this machine; see `Engine`.

    Folders have to be on a file system that all machines share, and what the model and the data
    are made of has to be importable on all. Runs share the processors evenly; on a GPU, each has
    one of its own.
    """
    del progress
    if not runs:
        return
    ray = _ray()
    begun_here = not ray.is_initialized()
    if begun_here:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        environment = {"env_vars": {"PYTHONPATH": paths}}
        ray.init(include_dashboard=False, log_to_driver=False, runtime_env=environment)
    on_gpu = any(parameter.is_cuda for parameter in work.model.parameters())
    if on_gpu and not ray.cluster_resources().get("GPU"):
        raise RunError("the network is on a GPU, but the Ray cluster has none; use --device cpu")
    make = ray.remote(num_cpus=_processors(ray, len(runs)), num_gpus=int(on_gpu), max_retries=0)(
        _make_on_gpu if on_gpu else _make_quietly
    )
    # Its own GPU has another number there.
    handed = replace(work, model=copy.deepcopy(work.model).cpu()) if on_gpu else work
    shared = ray.put(handed)
    pending = dict[Any, Run]()
    try:
        for run in runs:
            on_run(run)
            pending[make.remote(shared, run)] = run
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            run = pending.pop(done)
            yield run, _result_of(ray, done, run)
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)
        if begun_here:
            ray.shutdown()


def _processors(ray: Any, runs: int) -> int:
    """Of each run: an even share, which one machine has to have.

    Raises:
        RunError: no machine takes part.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    processors = [int(machine["CPU"]) for machine in machines if machine.get("CPU", 0) >= 1]
    if not processors:
        raise RunError("no machine of the Ray cluster has a processor; start one that has")
    return max(min(sum(processors) // runs, *processors), 1)


def _make_on_gpu(work: Work, run: Run) -> str | None:
    """On the one GPU that the process sees."""
    return make_run(replace(work, model=work.model.to("cuda")), run, Silence())


def _make_quietly(work: Work, run: Run) -> str | None:
    return make_run(work, run, Silence())


def _result_of(ray: Any, reference: Any, run: Run) -> str | None:
    """What `make_run` returned.

    Raises:
        ActpressError: what it raised, or that its process died.
    """
    try:
        reason: str | None = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause or error) from None
    except ray.exceptions.RayError as error:
        raise RunError(
            f"the process of {run.method} at {run.budget} died ({type(error).__name__}); the same "
            f"command goes on"
        ) from error
    return reason


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise RunError("a sweep on Ray needs it: pip install '.[ray]'") from error
    return ray


ENGINES: Mapping[str, Engine] = {EngineName.HERE: in_turn, EngineName.RAY: on_ray}
"""By the name that `sweep(..., on=)` takes."""
