"""`actpress ram`: memory of a run's network in C, over time."""

from pathlib import Path
from typing import Annotated

import typer

from actpress.cli.options import RunArgument, WeightsOption, alone, complain, guarded
from actpress.files import check_writable


@guarded
@alone
def ram_command(
    run: RunArgument,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with charts there.")
    ] = None,
    weights: WeightsOption = None,
    *,
    cascades: Annotated[
        bool,
        typer.Option(
            "--cascades/--no-cascades",
            help="Let stages hand on rows where that lowers the peak.",
        ),
    ] = True,
) -> None:
    """Show which packed maps and line buffers live when on a device, and the peak."""
    if html is not None:
        check_writable(html)
    from actpress.cli.memory import ram_of  # noqa: PLC0415 - torch takes seconds to load

    ram_of(run, html, weights=weights, cascades=cascades)
    if html is not None:
        complain(f"written to {html}")
