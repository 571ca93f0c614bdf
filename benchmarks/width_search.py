"""What a search for bit-widths finds, before any tuning: moving windows, all widths at once, GDR.

All three plans get decoders in closed form and are compared on held-out training images, those that
the search does not see.
"""

import time
from dataclasses import replace

from actpress.methods import Job, Outcome, compensate
from actpress.methods.codesign import choose_widths
from actpress.plan import Transform
from actpress.tune import held_out_divergence
from benchmarks.memory import peak_memory_mib, reset_peak_memory
from benchmarks.store import Row


def measure_width_search(job: Job, start: Outcome, candidates: int | None) -> Row:
    """Search for widths from a greedy plan, and judge what it finds.

    Args:
        job: network, data, budget and settings.
        start: the outcome of the greedy search for this budget.
        candidates: widths that a group weighs; None judges `start` itself.
    """
    outcome, seconds = start, 0.0
    reset_peak_memory()
    if candidates is not None:
        widths = replace(job.settings.widths, candidates=candidates)
        searching = replace(job, settings=replace(job.settings, widths=widths))
        began = time.perf_counter()
        outcome = choose_widths(searching, start)
        seconds = time.perf_counter() - began
    peak_mib = peak_memory_mib()
    plan = outcome.pressed.plan.with_transform(Transform.LEARNED)
    pressed = compensate(job, plan, start.statistics, job.cost_target())
    validation = job.validation()
    settings = replace(job.settings.tune, validation_images=len(validation))
    return {
        "held_out_divergence": held_out_divergence(pressed, job.graph, validation, settings),
        "held_out_images": len(validation),
        "budget_share": job.cost(pressed) / job.cost_target(),
        "search_seconds": seconds,
        "peak_memory_mib": peak_mib,
    }
