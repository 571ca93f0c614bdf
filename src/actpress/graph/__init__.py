"""Trace a network, find the values it stores, observe them, and put codecs there."""

from actpress.graph.arrangement import PLAIN, Arrangement
from actpress.graph.capturing import Graph, capture
from actpress.graph.dense import DenseLayer, Neighbours
from actpress.graph.freed import give_back_freed
from actpress.graph.gradients import GradientWatch, Visit
from actpress.graph.macs import macs_per_image
from actpress.graph.merged_norms import with_merged_norms
from actpress.graph.mode import eval_mode
from actpress.graph.observe import all_values, site_values, values_before
from actpress.graph.rewrite import CODECS_PATH, RewrittenNetwork, insert_codecs
from actpress.graph.sites import Site, default_placement
from actpress.graph.split import SplitNetwork, split_network
from actpress.graph.weights import check_weights_finite, hash_weights
from actpress.graph.working import bytes_with_gradients, images_at_once, working_bytes
from actpress.graph.wrappers import unwrapped

__all__ = [
    "CODECS_PATH",
    "PLAIN",
    "Arrangement",
    "DenseLayer",
    "GradientWatch",
    "Graph",
    "Neighbours",
    "RewrittenNetwork",
    "Site",
    "SplitNetwork",
    "Visit",
    "all_values",
    "bytes_with_gradients",
    "capture",
    "check_weights_finite",
    "default_placement",
    "eval_mode",
    "give_back_freed",
    "hash_weights",
    "images_at_once",
    "insert_codecs",
    "macs_per_image",
    "site_values",
    "split_network",
    "unwrapped",
    "values_before",
    "with_merged_norms",
    "working_bytes",
]
