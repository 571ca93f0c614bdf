"""Families of transforms behind one interface; a new one is a file and a line in `registry`."""

from actpress.codec.transform.basis import Basis, Moments, orthonormal
from actpress.codec.transform.family import Factors, Family, Size
from actpress.codec.transform.registry import FAMILIES, check_transform, family_of
from actpress.codec.transform.stored import (
    NUMBER_BITS,
    StoredFactors,
    as_stored,
    matrix_bits,
    quantize_rows,
    stored_bits,
    unfolded_bits,
)

__all__ = [
    "FAMILIES",
    "NUMBER_BITS",
    "Basis",
    "Factors",
    "Family",
    "Moments",
    "Size",
    "StoredFactors",
    "as_stored",
    "check_transform",
    "family_of",
    "matrix_bits",
    "orthonormal",
    "quantize_rows",
    "stored_bits",
    "unfolded_bits",
]
