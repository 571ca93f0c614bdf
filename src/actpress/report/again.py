"""What a second evaluation of a run adds to the first: what `actpress evaluate` prints."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from actpress.evaluation.metrics import Metrics
from actpress.report.accounting import energy_assumptions, measured_fact
from actpress.report.quality import agreement, decisions_fact
from actpress.report.quantities import energy

AS_BEFORE = ", as in the run"


def print_evaluation(metrics: Metrics, run: Metrics, console: Console) -> None:
    """Print what was measured now, beside what the run says; its table of sites is not repeated.

    Args:
        metrics: measured now.
        run: as the run was saved.
        console: to print on.
    """
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, fact in _facts(metrics, run):
        table.add_row(label, Text(fact))
    console.print(table)


def _facts(metrics: Metrics, run: Metrics) -> Iterator[tuple[str, str]]:
    yield "tested on", f"{metrics.images:,} images of {metrics.data}{agreement(metrics)}"
    now, before = decisions_fact(metrics), decisions_fact(run)
    yield metrics.metric, _beside(now, before) if metrics.metric == run.metric else now
    yield "bits/value", _beside(_bits(metrics), _bits(run))
    if metrics.measured is not None:
        yield "measured", measured_fact(metrics.measured)
    if metrics.energy != run.energy:
        yield "energy", f"{_energy(metrics)}; {energy_assumptions(metrics.energy)}"


def _beside(now: str, before: str) -> str:
    return now + AS_BEFORE if now == before else f"{now}; in the run {before}"


def _bits(metrics: Metrics) -> str:
    bits = metrics.bits_per_value
    return f"{bits.fixed:.3f} fixed, {bits.entropy:.3f} entropy"


def _energy(metrics: Metrics) -> str:
    before, after = metrics.energy.before_pj, metrics.energy.after_pj
    return f"{energy(before)} -> {energy(after.fixed)} fixed, {energy(after.entropy)} entropy"
