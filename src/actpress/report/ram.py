"""Memory over time of a network in C: what `actpress ram` prints, and its page."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from actpress.deploy.memory import MemoryPlan
from actpress.report.columns import Column, print_fitting
from actpress.report.environment import environment

BAR = 24
_LEGEND = (
    "Bytes while each stage runs. Stages joined by + hand on rows, and nothing between them is "
    "stored. Maps that overlap are counted once. int8: the same network and planner with a byte "
    "for every symbol. The peak is bold."
)


@dataclass(frozen=True)
class RamRow:
    """One chain of stages.

    Attributes:
        name: of its modules.
        maps, buffers: bytes of maps that live, and of line buffers.
        live: names of these maps, with bytes and bits.
        is_peak: whether the arena is largest here.
    """

    name: str
    maps: int
    buffers: int
    live: tuple[str, ...]
    is_peak: bool

    @property
    def total(self) -> int:
        """Both."""
        return self.maps + self.buffers


def ram_rows(plan: MemoryPlan) -> tuple[RamRow, ...]:
    """Every chain, in the order in which they run."""
    return tuple(
        RamRow(
            chain.name,
            plan.map_bytes_at(at),
            plan.buffers[at].bytes,
            tuple(
                f"{block.name} ({block.bytes:,}, {_bits(plan, block.name)})"
                for block in plan.maps
                if block.first <= at <= block.last
            ),
            at == plan.peak_chain,
        )
        for at, chain in enumerate(plan.chains)
    )


def print_ram(plan: MemoryPlan, int8: MemoryPlan, console: Console) -> None:
    """Print which maps live when, packed, with line buffers, and the peak against int8 maps."""
    rows = ram_rows(plan)
    most = max(row.total for row in rows)
    name = Column[RamRow]("stages", lambda row: row.name, text=True)
    maps = Column[RamRow]("packed\nmaps", lambda row: f"{row.maps:,}")
    buffers = Column[RamRow]("line\nbuffers", lambda row: f"{row.buffers:,}")
    total = Column[RamRow]("together", lambda row: f"{row.total:,}")
    bar = Column[RamRow]("", lambda row: _bar(row.total, most), text=True)
    live = Column[RamRow]("maps that live", lambda row: ", ".join(row.live), text=True)
    layouts = [
        [name, maps, buffers, total, bar, live],
        [name, maps, buffers, total, bar],
        [name, maps, buffers, total],
    ]
    print_fitting(console, layouts, rows, is_marked=lambda row: row.is_peak)
    console.print(Text(_LEGEND, style="dim"))
    console.print(Text(ram_headline(plan, int8)))


def ram_headline(plan: MemoryPlan, int8: MemoryPlan) -> str:
    """The arena in one sentence."""
    return (
        f"arena {plan.arena_bytes:,} bytes: peak at {plan.chains[plan.peak_chain].name}, maps "
        f"{plan.map_bytes_at(plan.peak_chain):,}, line buffers "
        f"{plan.buffers[plan.peak_chain].bytes:,}; {int8.arena_bytes:,} bytes with int8 maps, "
        f"{int8.arena_bytes / plan.arena_bytes:.2f}x as much"
    )


def render_ram(plan: MemoryPlan, int8: MemoryPlan, title: str) -> str:
    """The same as one HTML file that loads nothing, with a chart of offsets over time.

    Args:
        plan: with packed maps.
        int8: of the same network with a byte for every symbol.
        title: of the network.
    """
    # matplotlib takes longer to import than most commands run
    from actpress.report.ram_chart import ram_chart  # noqa: PLC0415

    most = max(plan.arena_bytes, int8.arena_bytes)
    return (
        environment()
        .get_template("ram.html.j2")
        .render(
            title=title,
            headline=ram_headline(plan, int8),
            rows=ram_rows(plan),
            maps=[(b, plan.offsets[b.name], _bits(plan, b.name)) for b in plan.maps],
            chains=plan.chains,
            charts=(ram_chart(plan, most), ram_chart(int8, most)),
        )
    )


def _bar(value: int, most: int) -> str:
    return "#" * max(round(BAR * value / most), 1)


def _bits(plan: MemoryPlan, name: str) -> str:
    widths: Sequence[int] = [group.bits for group in plan.layouts[name].groups]
    listed = f"{min(widths)} to {max(widths)}" if len(widths) > 1 else str(widths[0])
    return f"{listed} bit"
