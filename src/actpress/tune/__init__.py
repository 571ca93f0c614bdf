"""Training with the quantizer in the loop."""

from actpress.settings import ALL_WIDTHS, Trainable, TuneSettings, WidthSettings
from actpress.tune.checkpoint import Checkpoint
from actpress.tune.decoders import fit_decoders
from actpress.tune.learned import Learned, learned_parameters, network_parameters
from actpress.tune.loop import held_out_divergence, tune
from actpress.tune.order import images_trained_on
from actpress.tune.rate import RateBound, align_rate_model
from actpress.tune.report import Progress, TuneReport
from actpress.tune.widths import mixtures, search_widths

__all__ = [
    "ALL_WIDTHS",
    "Checkpoint",
    "Learned",
    "Progress",
    "RateBound",
    "Trainable",
    "TuneReport",
    "TuneSettings",
    "WidthSettings",
    "align_rate_model",
    "fit_decoders",
    "held_out_divergence",
    "images_trained_on",
    "learned_parameters",
    "mixtures",
    "network_parameters",
    "search_widths",
    "tune",
]
