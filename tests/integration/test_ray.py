"""Sweeps on a Ray cluster give the runs that a sweep in one process gives."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from actpress import engines
from actpress.data.dataset import Dataset, Split
from actpress.errors import ActpressError, RunError
from actpress.methods import Settings
from actpress.sweeping import NextRun, sweep

ray = pytest.importorskip("ray", reason="sweeps on several processes need Ray")

SMALL = Settings(calibration_images=64, search_images=16)


@pytest.fixture
def data() -> Dataset:
    def split(size: int) -> Split:
        generator = torch.Generator().manual_seed(size)
        labels = torch.arange(size) % 2
        noise = torch.randn(size, 1, 8, 8, generator=generator)
        return Split.in_memory(noise + labels.reshape(-1, 1, 1, 1), labels)

    return Dataset("made", split(128), split(64), split(32), 2)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)).eval()


@pytest.fixture
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_runs_on_ray_are_those_made_here(model: nn.Module, data: Dataset, tmp_path: Path) -> None:
    handed_out: list[NextRun] = []

    def swept(name: str, on: str) -> dict[str, tuple[float, float]]:
        found = sweep(
            model,
            data,
            tmp_path / name,
            methods=["int8", "gdr"],
            budgets=["2x (entropy, activations)", "900x (entropy, batch 1)"],
            settings=SMALL,
            on=on,
            on_run=handed_out.append,
        )
        assert [row[:2] for row in found.failed] == [("gdr", "900x (entropy, batch 1)")]
        return {run.method: (run.accuracy, run.bits_per_value.entropy) for run in found.runs}

    here, on_ray = swept("here", "here"), swept("ray", "ray")
    assert on_ray == here
    assert [run.number for run in handed_out] == [1, 2, 3, 1, 2, 3]
    folders = {path.name for path in (tmp_path / "ray").iterdir() if path.is_dir()}
    assert folders == {path.name for path in (tmp_path / "here").iterdir() if path.is_dir()}
    assert ray.is_initialized(), "a cluster that was there before is left as it was"
    handed_out.clear()
    swept("ray", "ray")
    assert [run.method for run in handed_out] == ["gdr"], "what is there is not made again"


@pytest.mark.usefixtures("cluster")
def test_an_error_and_a_process_that_dies_end_the_sweep_with_one_line(
    data: Dataset, tmp_path: Path
) -> None:
    def swept(model: nn.Module) -> None:
        sweep(
            model,
            data,
            tmp_path / type(model).__name__,
            methods=["gdr"],
            budgets=["2x"],
            settings=SMALL,
            on="ray",
        )

    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ActpressError):
        swept(Branching())

    class Fatal(nn.Module):
        def __reduce__(self) -> tuple[object, ...]:
            return __import__("os")._exit, (1,)

    with pytest.raises(RunError, match=r"the process of gdr at 2x .* died"):
        swept(Fatal())


class Machines:
    """What Ray tells of a cluster."""

    def __init__(self, *processors: int) -> None:
        self.processors = processors

    def nodes(self) -> list[dict[str, object]]:
        dead = {"Alive": False, "Resources": {"CPU": 1.0}}
        return [dead, *({"Alive": True, "Resources": {"CPU": n}} for n in self.processors)]


def test_a_run_takes_no_more_processors_than_one_machine_has() -> None:
    assert engines._processors(Machines(8, 8), 1) == 8
    assert engines._processors(Machines(8, 8), 4) == 4
    assert engines._processors(Machines(8, 2), 9) == 1
    with pytest.raises(RunError, match="no machine"):
        engines._processors(Machines(), 1)


def test_an_unknown_engine_is_refused(model: nn.Module, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ActpressError, match="one of here, ray, not on 'spark'"):
        sweep(model, data, tmp_path, methods=["int8"], budgets=["2x"], on="spark")
