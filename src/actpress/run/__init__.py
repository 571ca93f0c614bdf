"""Run directories: what a compression leaves on disk.

plan.json            the decisions
codec.safetensors    projections, steps, ranges and code tables
network.safetensors  the network's weights, if they were trained too
metrics.json         the numbers
report.html          the same for people
run.json             where model and data came from
"""

from actpress.files import followed, new_file, write_bytes, write_text
from actpress.run.folder import (
    CODEC,
    CONTENT,
    HALF,
    METRICS,
    NETWORK,
    PLAN,
    REPORT,
    SOURCE,
    appear,
    check_free,
    new_folder,
    recover,
    tidy,
)
from actpress.run.halves import load_head, load_tail, save_halves
from actpress.run.loading import load_run, refuse_half
from actpress.run.locking import LOCK, Held, held, locked
from actpress.run.model import load_model_from, save_model
from actpress.run.request import INPUTS, check_inputs, differences, facts_of, read_request
from actpress.run.results import load_metrics, metrics_json
from actpress.run.source import Source, check_weights, load_source, network_of, source_of
from actpress.run.tensors import read_tensors, write_tensors

__all__ = [
    "CODEC",
    "CONTENT",
    "HALF",
    "INPUTS",
    "LOCK",
    "METRICS",
    "NETWORK",
    "PLAN",
    "REPORT",
    "SOURCE",
    "Held",
    "Source",
    "appear",
    "check_free",
    "check_inputs",
    "check_weights",
    "differences",
    "facts_of",
    "followed",
    "held",
    "load_head",
    "load_metrics",
    "load_model_from",
    "load_run",
    "load_source",
    "load_tail",
    "locked",
    "metrics_json",
    "network_of",
    "new_file",
    "new_folder",
    "read_request",
    "read_tensors",
    "recover",
    "refuse_half",
    "save_halves",
    "save_model",
    "source_of",
    "tidy",
    "write_bytes",
    "write_tensors",
    "write_text",
]
