"""Rate models: a smooth one for training, exact static tables for counting."""

import torch
from torch import Tensor

from actpress.errors import CalibrationError

TABLE_ENTRY_BITS = 16
TABLE_NAME_BITS = 8
"""To say which table a component uses in a context."""


def laplace_entropy_bits(mean_abs: Tensor) -> Tensor:
    """Entropy of a rounded zero-mean Laplace variable, in bits per symbol.

    With b = E|y| / step and a = exp(-1/b): P(0) = 1 - sqrt(a), and the magnitude of a non-zero
    symbol is geometric with ratio a. Differentiable, so that training can lower the rate.

    Args:
        mean_abs: E|y| / step, any shape, >= 0.
    """
    scale = mean_abs.clamp(min=0.02)  # below, the entropy is under 1e-9 bits
    ratio = torch.exp(-1 / scale)
    nonzero = torch.exp(-0.5 / scale)
    magnitude = _binary_entropy_bits(ratio) / (1 - ratio)
    return _binary_entropy_bits(nonzero) + nonzero * (1 + magnitude)


def _binary_entropy_bits(p: Tensor) -> Tensor:
    safe = p.clamp(1e-30, 1 - 1e-7)
    return -(safe * safe.log2() + (1 - safe) * torch.log2(1 - safe))


def code_lengths_bits(counts: Tensor) -> Tensor:
    """Ideal code length of every symbol under static tables fitted to `counts`.

    A table with d distinct symbols among N gives its escape the weight d (PPM's method C); a symbol
    that was never seen costs the escape plus its index among the levels, written plainly.

    Args:
        counts: calibration counts, shape (tables, levels), >= 0, each row with at least one symbol.

    Returns:
        Bits of each symbol, shape (tables, levels), float64.

    Raises:
        CalibrationError: a table without a single calibration symbol.
    """
    total = counts.sum(1, keepdim=True).double()
    if (total == 0).any():
        raise CalibrationError("a component has no calibration symbols; calibrate with more images")
    distinct = (counts > 0).sum(1, keepdim=True).double()
    seen = torch.log2(total + distinct) - torch.log2(counts.double())
    index_bits = _index_bits(torch.tensor(counts.shape[1], device=counts.device))
    escape = torch.log2(total + distinct) - torch.log2(distinct) + index_bits
    return torch.where(counts > 0, seen, escape)


def fixed_bits(q_min: Tensor, q_max: Tensor) -> Tensor:
    """Bits that plain packing needs per symbol of a component, shape (k,), int64."""
    return _index_bits(q_max.long() - q_min.long() + 1).long()


def entropy_bits(counts: Tensor) -> Tensor:
    """Empirical entropy per component in bits per symbol, shape (k,), float64."""
    total = counts.sum(1).double().clamp(min=1)
    weighted = (counts.double() * torch.log2(counts.double().clamp(min=1))).sum(1)
    return torch.log2(total) - weighted / total


def _index_bits(levels: Tensor) -> Tensor:
    return torch.ceil(torch.log2(levels.double()) - 1e-9)
