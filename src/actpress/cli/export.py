"""`actpress export`: a run as a file for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from actpress.cli.options import RunArgument, alone, check_choice, guarded
from actpress.errors import ExportError

TARGETS = {
    "onnx": "a file for onnxruntime",
    "qonnx": "a file for FPGA tools",
    "c": "a folder of C99 for microcontrollers",
}
"""What a run can be written as; `exporting.py` has a function for each."""


INT8, FLOAT32 = "int8", "float32"
MAPS = {"packed": "at their bits", "rans": "entropy coded row by row where that is shorter"}


@guarded
@alone
def export_command(
    run: RunArgument,
    to: Annotated[
        str,
        typer.Option("--to", help="; ".join(f"{name}, {what}" for name, what in TARGETS.items())),
    ],
    out: Annotated[Path, typer.Option("--out", help="What to write.")],
    weights: Annotated[
        list[Path] | None,
        typer.Option(
            "--weights",
            help="State dict: .safetensors, .pt or .pth. Of C also float32: weights stay as they "
            "are, for devices with an FPU. May be given twice.",
        ),
    ] = None,
    maps: Annotated[
        str,
        typer.Option(
            "--maps",
            help="Of C: how maps lie in memory; "
            + "; ".join(f"{name}, {what}" for name, what in MAPS.items()),
        ),
    ] = "packed",
    until: Annotated[
        str | None,
        typer.Option("--until", help="Of C: only the head that sends this site's symbols, packed."),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
) -> None:
    """Write a compressed network for another tool, once it has been verified there."""
    check_choice("--to", to, TARGETS)
    check_choice("--maps", maps, MAPS)
    if maps != "packed" and to != "c":
        raise ExportError(f"--maps {maps} is for --to c; expected --maps packed with --to {to}")
    if until is not None and (to, maps) != ("c", "packed"):
        raise ExportError("--until is for --to c with --maps packed; leave it out, or the others")
    numbers, state = weights_of(weights or [])
    if numbers != INT8 and to != "c":
        raise ExportError(f"--weights {numbers} is for --to c; leave it out with --to {to}")
    from actpress.cli.exporting import Wanted, export_run  # noqa: PLC0415 - torch takes seconds

    export_run(run, to, Wanted(out, force, maps, until, numbers), weights=state)


def weights_of(given: list[Path]) -> tuple[str, Path | None]:
    """Numbers that weights become, and a state dict.

    Raises:
        ExportError: several state dicts.
    """
    states = [each for each in given if str(each) != FLOAT32]
    if len(states) > 1:
        raise ExportError(f"--weights names several state dicts: {', '.join(map(str, states))}")
    numbers = FLOAT32 if len(states) < len(given) else INT8
    return numbers, states[0] if states else None
