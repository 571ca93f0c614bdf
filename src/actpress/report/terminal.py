"""The result of a run in the terminal: the table of sites, the account, and what it took."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from actpress.budget import View
from actpress.evaluation.metrics import Metrics, SiteMetrics
from actpress.report.accounting import (
    AccountRow,
    account_rows,
    context_fact,
    credit_fact,
    energy_assumptions,
    extra_macs_fact,
    latency_fact,
    measured_fact,
)
from actpress.report.columns import Column, Layout, print_fitting
from actpress.report.quality import agreement, decisions_fact
from actpress.report.quantities import dimensions, duration, kib, percent
from actpress.report.wording import (
    block_fact,
    caveats,
    headline,
    left_alone,
    rank,
    view_of,
)

_SiteColumn = Column[SiteMetrics]
_LEGEND = "Stored: pre or post activation. Bits: per original value. KiB: traffic, after by {view}."
_BLOCKS = " Rank of 2x2: of blocks of so many pixels."


def print_metrics(metrics: Metrics, console: Console) -> None:
    """Print one row per site with totals, then the account of the network and its cost.

    Where the console is narrow the transform, placement, reads and shape give way, in this order;
    names are shortened last.
    """
    console.print(Text(headline(metrics), style="bold"))
    for caveat in caveats(metrics):
        console.print(Text(caveat, style="yellow"))
    console.print()
    print_fitting(console, _layouts(metrics), metrics.sites)
    blocks = any(site.block > 1 for site in metrics.sites)
    legend = _LEGEND.format(view="plain packing" if view_of(metrics) is View.FIXED else "entropy")
    console.print(Text(legend + (_BLOCKS if blocks else ""), style="dim"))
    console.print()
    console.print(_account_table(account_rows(metrics)))
    console.print()
    console.print(_facts_table(metrics))


def _layouts(metrics: Metrics) -> list[Layout[SiteMetrics]]:
    name = _SiteColumn("site", lambda site: site.name, total="total", text=True)
    shape = _SiteColumn("shape", lambda site: dimensions(site.shape))
    reads = _SiteColumn("reads", lambda site: str(site.reads))
    placement = _SiteColumn("stored", lambda site: site.placement.removesuffix("_act"))
    transform = _SiteColumn("basis", lambda site: site.transform)
    ranks = _SiteColumn("rank", rank)
    fixed, entropy = _bits_columns(metrics)
    share, before, after = _traffic_columns(metrics)
    numbers = [ranks, fixed, entropy, share, before, after]
    return [
        [name, shape, reads, placement, transform, *numbers],
        [name, shape, reads, placement, *numbers],
        [name, shape, reads, *numbers],
        [name, shape, *numbers],
        [name, *numbers],
        [name, ranks, entropy, after],
    ]


def _bits_columns(metrics: Metrics) -> tuple[_SiteColumn, _SiteColumn]:
    total = metrics.bits_per_value
    return (
        _SiteColumn(
            "bits\nfixed", lambda site: _bits(site.bits_per_value.fixed), _bits(total.fixed)
        ),
        _SiteColumn(
            "bits\nentropy", lambda site: _bits(site.bits_per_value.entropy), _bits(total.entropy)
        ),
    )


def _traffic_columns(metrics: Metrics) -> tuple[_SiteColumn, _SiteColumn, _SiteColumn]:
    total, view = metrics.traffic, view_of(metrics)
    return (
        _SiteColumn("share", lambda site: percent(site.traffic_share, 1)),
        _SiteColumn("KiB\n8 bit", lambda site: kib(site.traffic_bits_8bit), kib(total.bits_8bit)),
        _SiteColumn("KiB\nafter", lambda site: kib(site.traffic_bits[view]), kib(total.bits[view])),
    )


def _bits(value: float) -> str:
    return f"{value:.2f}"


def _account_table(rows: tuple[AccountRow, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("per inference", style="dim", no_wrap=True)
    for header in ("8 bit", "fixed", "entropy"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.label, row.before, row.fixed, row.entropy)
    return table


def _facts_table(metrics: Metrics) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, fact in _facts(metrics):
        table.add_row(label, Text(fact))
    return table


def _facts(metrics: Metrics) -> Iterator[tuple[str, str]]:
    variant = f" ({metrics.variant})" if metrics.variant else ""
    yield "method", f"{metrics.method}{variant}, budget {metrics.budget or 'none'}"
    yield metrics.metric, decisions_fact(metrics)
    yield "tested on", f"{metrics.images:,} images{agreement(metrics)}"
    yield "extra MACs", extra_macs_fact(metrics)
    if latency := latency_fact(metrics):
        yield "latency", latency
    evaluations = f"{metrics.search_node_evals:,} node evaluations"
    yield "search", f"{duration(metrics.search_seconds)}, {evaluations}"
    yield "tuning", duration(metrics.tune_seconds)
    if credit := credit_fact(metrics):
        yield "folding", credit
    if alone := left_alone(metrics):
        yield "left alone", alone
    if blocks := block_fact(metrics):
        yield "blocks", blocks
    if contexts := context_fact(metrics):
        yield "contexts", contexts
    if metrics.measured is not None:
        yield "measured", measured_fact(metrics.measured)
    yield "energy", energy_assumptions(metrics.energy)
    yield "scope", metrics.scope
