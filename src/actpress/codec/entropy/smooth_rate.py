"""The smooth rate model that training follows, and the empirical entropy."""

import torch
from torch import Tensor


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


def entropy_bits(counts: Tensor) -> Tensor:
    """Empirical entropy per component in bits per symbol, shape (k,), float64."""
    total = counts.sum(1).double().clamp(min=1)
    weighted = (counts.double() * torch.log2(counts.double().clamp(min=1))).sum(1)
    return torch.log2(total) - weighted / total
