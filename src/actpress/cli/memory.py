"""What `actpress ram` does."""

from pathlib import Path

import torch
from rich.console import Console

from actpress.cli.integers import integer_form
from actpress.cli.opened import open_run
from actpress.cli.sources import data_of
from actpress.deploy.memory import memory_plan
from actpress.files import write_text
from actpress.interruption import work_begins
from actpress.report.ram import print_ram, render_ram


def ram_of(run: Path, html: Path | None, *, weights: Path | None, cascades: bool) -> None:
    """Print memory over time, and write it as a page.

    Args:
        run: its folder.
        html: the page.
        weights: of the network, where they are not where they were.
        cascades: let stages hand on rows.

    Raises:
        ActpressError: see `open_run`; something has no integer form.
    """
    opened = open_run(run, weights=weights, device=torch.device("cpu"))
    work_begins()
    network = integer_form(opened, data_of(opened.source))
    plan = memory_plan(network, cascades=cascades)
    int8 = memory_plan(network, cascades=cascades, whole_bytes=True)
    print_ram(plan, int8, Console())
    if html is not None:
        write_text(html, render_ram(plan, int8, opened.source.model))
