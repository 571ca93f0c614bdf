"""`actpress split`: where a network can be cut, and cutting it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from actpress.cli.opened import OpenedRun, open_run
from actpress.cli.options import RunArgument, WeightsOption, complain, guarded
from actpress.cuts import cut_at, possible_cuts
from actpress.data import FileSizes, file_sizes, load_dataset
from actpress.errors import DataError, RunError
from actpress.report import print_cuts, sent
from actpress.run import HALF, load_metrics, new_folder, save_halves

IMAGES = 32
"""Whose sizes as files are averaged."""


@guarded
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
    opened = open_run(run, weights=weights, device=torch.device("cpu"))
    bits = _site_bits(run)
    example = torch.zeros(1, *opened.source.input)
    if listed:
        print_cuts(possible_cuts(opened.pressed, bits, example), _sizes(opened), Console())
    if at is None or out is None:
        return
    with new_folder(out, force=force, known_by=f"head/{HALF}") as partial:
        save_halves(opened.pressed, at, opened.source, partial)
    cut = cut_at(opened.pressed, at, bits, example)
    complain(f"{sent(cut, _sizes(opened))}; written to {out / 'head'}, {out / 'tail'}")


def _site_bits(run: Path) -> Mapping[str, float]:
    """Entropy-coded bits of every site per image, as the run measured them."""
    return {site.name: site.bits.entropy for site in load_metrics(run).sites}


def _sizes(opened: OpenedRun) -> FileSizes:
    """Of the run's training images; without them, what 8 bits a value take."""
    source = opened.source
    try:
        data = load_dataset(source.data, input_shape=source.input, preparation=source.preparation)
    except DataError:
        return file_sizes(source.input, None)
    return file_sizes(source.input, next(data.train.batches(IMAGES))[0])
