"""What `actpress split` does."""

from collections.abc import Mapping
from pathlib import Path

import torch
from rich.console import Console

from actpress.cli.opened import OpenedRun, open_run
from actpress.cli.options import complain
from actpress.cli.sources import data_of
from actpress.cuts import cut_at, possible_cuts
from actpress.data import FileSizes, file_sizes
from actpress.errors import DataError
from actpress.interruption import work_begins
from actpress.report import print_cuts, sent
from actpress.run import HALF, load_metrics, new_folder, save_halves

IMAGES = 32
"""Whose sizes as files are averaged."""


def cut_run(
    run: Path, at: str | None, out: Path | None, *, weights: Path | None, listed: bool, force: bool
) -> None:
    """List the cuts of a run, or cut it after a site.

    Args:
        run: its folder.
        at: the site.
        out: folder for the halves; nothing is cut without both.
        weights: of the network, where they are not where they were.
        listed: list the cuts.
        force: replace earlier halves.

    Raises:
        ActpressError: see `open_run`; no cut there, or `out` is in the way.
    """
    opened = open_run(run, weights=weights, device=torch.device("cpu"))
    bits = _site_bits(run)
    example = torch.zeros(1, *opened.source.input)
    if listed:
        print_cuts(possible_cuts(opened.pressed, bits, example), _sizes(opened), Console())
    if at is None or out is None:
        return
    work_begins()
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
        data = data_of(source)
    except DataError:
        return file_sizes(source.input, None)
    return file_sizes(source.input, next(data.train.batches(IMAGES))[0])
