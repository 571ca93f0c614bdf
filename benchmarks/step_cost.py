"""One tuning step of the pressed network against one float training step, side by side."""

import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from actpress.budget import Budget
from actpress.data import Dataset
from actpress.graph import Graph
from actpress.methods import Job, Settings
from actpress.methods.transform_coding import plan_at
from actpress.plan import Placement, Transform
from actpress.tune import TuneSettings
from actpress.tune.loop import TuningRun
from actpress.tune.rate import RateBound

BATCH = 64
ROUNDS = 9


def measure_step_cost(graph: Graph, data: Dataset) -> dict[str, float | int]:
    """Median seconds of both steps on the same batch, taken in turn, and their ratio."""
    job = Job(graph, data, Budget.parse("1.34bits"), Settings(calibration_images=200))
    statistic = job.calibrate(Placement.PRE_ACT)
    plan = plan_at(job, statistic, 12.0).with_transform(Transform.LEARNED)
    pressed = job.press(plan, statistic)
    settings = TuneSettings(batch_size=BATCH, validation_images=BATCH)
    run = TuningRun(pressed, graph, data.train, data.holdout, settings, RateBound(1e6))
    x, labels = (tensor.to(job.device) for tensor in next(data.train.batches(BATCH)))

    model = copy.deepcopy(graph.eval_module).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, nesterov=True)

    def float_step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()

    def tuning_step() -> None:
        run.train_step(x, labels)

    ratios, floats, tunings = [], [], []
    for index in range(ROUNDS + 2):
        pair = seconds_of(float_step), seconds_of(tuning_step)
        if index >= 2:  # the first two rounds warm up
            floats.append(pair[0])
            tunings.append(pair[1])
            ratios.append(pair[1] / pair[0])
    return {
        "batch_size": BATCH,
        "rounds": ROUNDS,
        "float_step_seconds": statistics.median(floats),
        "tuning_step_seconds": statistics.median(tunings),
        "ratio": statistics.median(ratios),
    }


def seconds_of(step: Callable[[], None]) -> float:
    """Wall clock of one step, with the GPU waited for."""
    began = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
