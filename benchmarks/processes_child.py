"""One of the processes that `benchmarks.processes` times; the first prints JSON.

    torchrun --nproc-per-node N -m benchmarks.processes_child NETWORK

Statistics of the team are compared with those of this process alone.
"""

import json
import sys
import time
from dataclasses import replace
from typing import Any

import torch

from actpress.plan import Placement
from actpress.settings import TuneSettings
from actpress.team import join, leave
from actpress.tune.loop import TuningRun
from actpress.tune.rate import RateBound
from benchmarks.speed_child import reference_coded

WARM, STEPS = 3, 20


def main() -> None:
    """Train some steps, and say how long they took."""
    torch.set_num_threads(1)
    job, pressed = reference_coded(sys.argv[1], learned=True)
    team = join()
    alone = job.calibrate(Placement.PRE_ACT)
    together = replace(job, team=team).calibrate(Placement.PRE_ACT)
    settings = TuneSettings(steps=WARM + STEPS, validation_images=100)
    run = TuningRun(
        pressed,
        job.graph,
        job.data.train,
        job.validation(),
        settings,
        RateBound(1e12),
        team=team,
    )
    began = (0.0, 0.0)
    for number, (share, (x, target)) in enumerate(run._remaining_batches()):  # noqa: SLF001
        if number == WARM:
            team.gathered(0)
            began = time.perf_counter(), time.process_time()
        run.train_step(x, target, share=share)
    seconds, processor_s = (
        now - then
        for now, then in zip((time.perf_counter(), time.process_time()), began, strict=True)
    )
    busiest_s = max(team.gathered(processor_s))
    if team.is_first:
        sys.stdout.write(
            json.dumps(
                {
                    "steps": STEPS,
                    "batch": settings.batch_size,
                    "seconds": seconds,
                    "busiest_processor_s": busiest_s,
                    "statistics_equal": _equal(alone, together),
                }
            )
        )
    leave()


def _equal(alone: Any, together: Any) -> bool:
    return all(
        value.equal(vars(together.sites[name])[key])
        if isinstance(value, torch.Tensor)
        else value == vars(together.sites[name])[key]
        for name, own in alone.sites.items()
        for key, value in vars(own).items()
    )


if __name__ == "__main__":
    main()
