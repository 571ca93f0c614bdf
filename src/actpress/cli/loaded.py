"""What commands work with, once their arguments are known to be right: all of it needs torch."""

import torch

from actpress.api import compress, facts_besides, inspect
from actpress.cli.beginning import begun, device_of
from actpress.cli.integers import print_integer_score
from actpress.cli.opened import open_run
from actpress.cli.processes import joined, workplace_of
from actpress.cli.progress import progress_on
from actpress.cli.sources import data_of, load_model
from actpress.cli.workplace import check_complete, is_complete, settle
from actpress.cost import EnergyModel
from actpress.data import load_image
from actpress.evaluation import RunInfo, evaluate
from actpress.report import (
    print_evaluation,
    print_metrics,
    print_sites,
    print_sweep,
    render_html,
    site_rows,
)
from actpress.run import (
    REPORT,
    facts_of,
    load_metrics,
    metrics_json,
    new_file,
    new_folder,
    write_tensors,
    write_text,
)
from actpress.stream import Decoder, Encoder
from actpress.sweeping import HTML, sweep

__all__ = [
    "HTML",
    "REPORT",
    "Decoder",
    "Encoder",
    "EnergyModel",
    "RunInfo",
    "begun",
    "check_complete",
    "compress",
    "data_of",
    "device_of",
    "evaluate",
    "facts_besides",
    "facts_of",
    "inspect",
    "is_complete",
    "joined",
    "load_image",
    "load_metrics",
    "load_model",
    "metrics_json",
    "new_file",
    "new_folder",
    "open_run",
    "print_evaluation",
    "print_integer_score",
    "print_metrics",
    "print_sites",
    "print_sweep",
    "progress_on",
    "render_html",
    "settle",
    "site_rows",
    "sweep",
    "torch",
    "workplace_of",
    "write_tensors",
    "write_text",
]
