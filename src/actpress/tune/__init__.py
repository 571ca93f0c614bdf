"""Training with the quantizer in the loop."""

from actpress.tune.checkpoint import Checkpoint
from actpress.tune.loop import Progress, TuneReport, tune
from actpress.tune.rate import RateBound, align_rate_model, table_bits
from actpress.tune.settings import Trainable, TuneSettings

__all__ = [
    "Checkpoint",
    "Progress",
    "RateBound",
    "Trainable",
    "TuneReport",
    "TuneSettings",
    "align_rate_model",
    "table_bits",
    "tune",
]
