"""Loops over every value of an activation, compiled for the CPU."""

from actpress.kernels.context_format import CONTEXTS
from actpress.kernels.contexts import (
    as_planes,
    contexts_of,
    count_in_contexts,
    count_in_contexts_reference,
)
from actpress.kernels.distance import squared_distance, squared_distance_reference
from actpress.kernels.histogram import bin_edges, float_histogram
from actpress.kernels.pack import bit_widths_of, quantize_pack, unpack_dequantize
from actpress.kernels.pack_format import packed_bytes
from actpress.kernels.pack_reference import quantize_pack_reference, unpack_dequantize_reference
from actpress.kernels.pixel_quantizing import pass_gradients, quantize_pixels
from actpress.kernels.quantizing import quantize, quantize_reference
from actpress.kernels.tally import Columns, Tallied, tally_states, tally_states_reference

__all__ = [
    "CONTEXTS",
    "Columns",
    "Tallied",
    "as_planes",
    "bin_edges",
    "bit_widths_of",
    "contexts_of",
    "count_in_contexts",
    "count_in_contexts_reference",
    "float_histogram",
    "packed_bytes",
    "pass_gradients",
    "quantize",
    "quantize_pack",
    "quantize_pack_reference",
    "quantize_pixels",
    "quantize_reference",
    "squared_distance",
    "squared_distance_reference",
    "tally_states",
    "tally_states_reference",
    "unpack_dequantize",
    "unpack_dequantize_reference",
]
