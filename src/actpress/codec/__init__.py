"""Transform, quantizer, code tables: what happens to one site."""

from actpress.codec.blocks import MOST_COMPONENTS, as_blocks, block_side, divides
from actpress.codec.counter import SymbolCounter, contexts_for, counting
from actpress.codec.entropy import (
    Histogram,
    NetworkTables,
    entropy_bits,
    fit_network_tables,
    laplace_entropy_bits,
)
from actpress.codec.mixture_codec import WIDEST, MixtureCodec
from actpress.codec.packing import Packing
from actpress.codec.passing import Probe, Transport, carried_by, seen_by
from actpress.codec.precision import in_float32
from actpress.codec.projection import (
    IdentityProjection,
    LinearProjection,
    Projection,
    decode_linear,
    encode_linear,
    per_component,
)
from actpress.codec.ranges import (
    Quantizers,
    index_bits,
    on_grid,
    pack_indices,
    quantizer_bits,
    ranges_of,
    stored_step,
    unpack_indices,
)
from actpress.codec.site_codec import CodecOutput, SiteCodec, all_finite
from actpress.codec.training_pass import gradients_in_bfloat16, in_training
from actpress.codec.transform import (
    FAMILIES,
    Basis,
    Family,
    Moments,
    Size,
    StoredFactors,
    as_stored,
    check_transform,
    family_of,
    unfolded_bits,
)

__all__ = [
    "FAMILIES",
    "MOST_COMPONENTS",
    "WIDEST",
    "Basis",
    "CodecOutput",
    "Family",
    "Histogram",
    "IdentityProjection",
    "LinearProjection",
    "MixtureCodec",
    "Moments",
    "NetworkTables",
    "Packing",
    "Probe",
    "Projection",
    "Quantizers",
    "SiteCodec",
    "Size",
    "StoredFactors",
    "SymbolCounter",
    "Transport",
    "all_finite",
    "as_blocks",
    "as_stored",
    "block_side",
    "carried_by",
    "check_transform",
    "contexts_for",
    "counting",
    "decode_linear",
    "divides",
    "encode_linear",
    "entropy_bits",
    "family_of",
    "fit_network_tables",
    "gradients_in_bfloat16",
    "in_float32",
    "in_training",
    "index_bits",
    "laplace_entropy_bits",
    "on_grid",
    "pack_indices",
    "per_component",
    "quantizer_bits",
    "ranges_of",
    "seen_by",
    "stored_step",
    "unfolded_bits",
    "unpack_indices",
]
