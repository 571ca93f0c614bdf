"""`actpress split`: where a network can be cut, and cutting it."""

from pathlib import Path
from typing import Annotated

import typer

from actpress.cli.options import RunArgument, WeightsOption, alone, guarded
from actpress.errors import RunError


@guarded
@alone
def split_command(
    run: RunArgument,
    at: Annotated[
        str | None, typer.Option("--at", help="Site after which the network is cut.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the halves, head/ and tail/.")
    ] = None,
    weights: WeightsOption = None,
    *,
    listed: Annotated[
        bool, typer.Option("--list", help="List the cuts, with what each sends and computes.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier halves.")] = False,
) -> None:
    """Cut a compressed network in two: a head that emits bytes and a tail that takes them."""
    if not listed and (at is None or out is None):
        raise RunError("split needs --at SITE and --out FOLDER; --list tells where it can be cut")
    from actpress.cli.cutting import cut_run  # noqa: PLC0415 - torch takes seconds to load

    cut_run(run, at, out, weights=weights, listed=listed, force=force)
