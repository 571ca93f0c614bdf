"""Terminal tables that fit: several layouts of one table, the widest that the console can hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Row = TypeVar("Row")
_UNBOUNDED = 10_000


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column.

    Attributes:
        header: one or two lines.
        cell: text of a row; printed as it is, never read as markup.
        total: text of the last line.
        text: left-aligned and shortened when the console is too narrow; numbers never are.
    """

    header: str
    cell: Callable[[Row], str]
    total: str = ""
    text: bool = False


Layout = Sequence[Column[Row]]


def print_fitting(
    console: Console,
    layouts: Sequence[Layout[Row]],
    rows: Sequence[Row],
    *,
    is_marked: Callable[[Row], bool] = lambda _row: False,
) -> None:
    """Print `rows` in the first layout that fits, with gaps of two spaces or else one.

    When none fits, the last layout is printed with its text shortened.
    """
    tables = [_build(layout, rows, is_marked, gap) for layout in layouts for gap in (2, 1)]
    fitting = (table for table in tables if _natural_width(console, table) <= console.width)
    console.print(next(fitting, tables[-1]))


def _natural_width(console: Console, table: Table) -> int:
    unbounded = console.options.update_width(_UNBOUNDED)
    return Measurement.get(console, unbounded, table).maximum


def _build(
    layout: Layout[Row], rows: Sequence[Row], is_marked: Callable[[Row], bool], gap: int
) -> Table:
    has_total = any(column.total for column in layout)
    table = Table(
        box=box.SIMPLE,
        pad_edge=False,
        padding=(0, gap - 1, 0, 0),
        show_edge=False,
        show_footer=has_total,
        header_style="dim",
        footer_style="bold",
    )
    for column in layout:
        table.add_column(
            Text(column.header),
            Text(column.total),
            justify="left" if column.text else "right",
            no_wrap=not column.text,
            overflow="ellipsis",
        )
    for row in rows:
        cells = [Text(column.cell(row)) for column in layout]
        table.add_row(*cells, style="bold" if is_marked(row) else "")
    return table
