"""Entropy models: a smooth one for training, the network's static tables for coding."""

from actpress.codec.entropy.clusters import cluster, code_lengths, seen_range
from actpress.codec.entropy.network_tables import (
    FittedTables,
    Histogram,
    NetworkTables,
    fit_network_tables,
)
from actpress.codec.entropy.smooth_rate import entropy_bits, laplace_entropy_bits

__all__ = [
    "FittedTables",
    "Histogram",
    "NetworkTables",
    "cluster",
    "code_lengths",
    "entropy_bits",
    "fit_network_tables",
    "laplace_entropy_bits",
    "seen_range",
]
