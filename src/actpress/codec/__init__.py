"""Projection, quantizer and rate model: what happens to one site."""

from actpress.codec.basis import Basis, dct_matrix, fit_basis, hadamard_matrix
from actpress.codec.blocks import MOST_COMPONENTS, as_blocks, block_side, divides
from actpress.codec.code_tables import (
    MOST_TABLES,
    CodeTables,
    coded_bits,
    context_share,
    contexts_for,
    fit_code_tables,
    seen_range,
)
from actpress.codec.counter import SymbolCounter, counting
from actpress.codec.mixture_codec import WIDEST, MixtureCodec
from actpress.codec.packing import Packing
from actpress.codec.precision import in_float32
from actpress.codec.projection import (
    IdentityProjection,
    LinearProjection,
    Projection,
    decode_linear,
    encode_linear,
    per_component,
    stored_dtype,
    stored_numbers,
)
from actpress.codec.rate import (
    code_lengths_bits,
    entropy_bits,
    fixed_bits,
    laplace_entropy_bits,
)
from actpress.codec.site_codec import (
    PARAMETER_BITS,
    CodecOutput,
    Probe,
    SiteCodec,
    all_finite,
    stored_step,
)

__all__ = [
    "MOST_COMPONENTS",
    "MOST_TABLES",
    "PARAMETER_BITS",
    "WIDEST",
    "Basis",
    "CodeTables",
    "CodecOutput",
    "IdentityProjection",
    "LinearProjection",
    "MixtureCodec",
    "Packing",
    "Probe",
    "Projection",
    "SiteCodec",
    "SymbolCounter",
    "all_finite",
    "as_blocks",
    "block_side",
    "code_lengths_bits",
    "coded_bits",
    "context_share",
    "contexts_for",
    "counting",
    "dct_matrix",
    "decode_linear",
    "divides",
    "encode_linear",
    "entropy_bits",
    "fit_basis",
    "fit_code_tables",
    "fixed_bits",
    "hadamard_matrix",
    "in_float32",
    "laplace_entropy_bits",
    "per_component",
    "seen_range",
    "stored_dtype",
    "stored_numbers",
    "stored_step",
]
