"""A search says how far it is, so that the time left can be told."""

from dataclasses import dataclass, field

import pytest

from actpress.budget import Budget
from actpress.data import Dataset
from actpress.graph import Graph
from actpress.methods import METHODS, Job, Settings


@dataclass
class Steps:
    """Totals of stages and what was done of each."""

    steps: dict[str, list[float]] = field(default_factory=dict)
    stage: str = ""

    def start(self, stage: str, total: float) -> None:
        self.stage = stage
        self.steps[stage] = [total]

    def advance(self, done: float, note: str = "") -> None:
        del note
        self.steps[self.stage].append(done)


def test_a_search_tells_of_all_its_parts(graph: Graph, dataset: Dataset) -> None:
    steps = Steps()
    settings = Settings(calibration_images=64, search_images=32)
    METHODS["gdr"](Job(graph, dataset, Budget.parse("4x"), settings, progress=steps))

    total, *search = steps.steps["search"]
    assert total == 100
    assert min(search) >= 0
    assert sum(search) == pytest.approx(total)
    assert len(search) >= 3  # exploring, measuring, and the end
    assert steps.steps["calibrate"][0] == sum(steps.steps["calibrate"][1:]) == 64
