"""`actpress export`: a run as a file for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from actpress.cli.options import RunArgument, WeightsOption, check_choice, guarded

TARGETS = {
    "onnx": "a file for onnxruntime",
    "qonnx": "a file for FPGA tools",
    "c": "a folder of C99 for microcontrollers",
}
"""What a run can be written as; `exporting.py` has a function for each."""


@guarded
def export_command(
    run: RunArgument,
    to: Annotated[
        str,
        typer.Option("--to", help="; ".join(f"{name}, {what}" for name, what in TARGETS.items())),
    ],
    out: Annotated[Path, typer.Option("--out", help="What to write.")],
    weights: WeightsOption = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
) -> None:
    """Write a compressed network for another tool, once it has been verified there."""
    check_choice("--to", to, TARGETS)
    from actpress.cli.exporting import export_run  # noqa: PLC0415 - torch takes seconds to load

    export_run(run, to, out, weights=weights, force=force)
