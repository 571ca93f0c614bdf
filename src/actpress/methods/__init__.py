"""Recipes: one short file per published system, composed of the layers below."""

from collections.abc import Callable

from actpress.methods.best_of import best
from actpress.methods.by_hand import given
from actpress.methods.fixed_width import int8, lsq, uniform
from actpress.methods.greedy import cap, gdr
from actpress.methods.layerwise import layerwise_ilp, layerwise_search
from actpress.methods.mixed_precision import choose_widths, codesign
from actpress.methods.principal_components import transform_coding
from actpress.methods.rate_training import entropy_training
from actpress.pipeline.images import read_images
from actpress.pipeline.job import Job, Outcome
from actpress.pipeline.progress import Progress, Silence
from actpress.pipeline.settings import Settings, check_labels, held_out_size
from actpress.settings import PROJECTING, TRAINING

METHODS: dict[str, Callable[[Job], Outcome]] = {
    "best": best,
    "int8": int8,
    "transform_coding": transform_coding,
    "gdr": gdr,
    "cap": cap,
    "codesign": codesign,
    "lsq": lsq,
    "layerwise_ilp": layerwise_ilp,
    "layerwise_search": layerwise_search,
    "entropy_training": entropy_training,
}

__all__ = [
    "METHODS",
    "PROJECTING",
    "TRAINING",
    "Job",
    "Outcome",
    "Progress",
    "Settings",
    "Silence",
    "best",
    "cap",
    "check_labels",
    "choose_widths",
    "codesign",
    "entropy_training",
    "gdr",
    "given",
    "held_out_size",
    "int8",
    "layerwise_ilp",
    "layerwise_search",
    "lsq",
    "read_images",
    "transform_coding",
    "uniform",
]
