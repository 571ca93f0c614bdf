"""Histogram of float32 values by sign, exponent and leading mantissa bits."""

import torch
from torch import Tensor

MANTISSA_BITS = 3
SHIFT = 23 - MANTISSA_BITS
BINS = 1 << (32 - SHIFT)
"""Bins of `float_histogram`: sign, 8 exponent bits, 3 mantissa bits."""


def float_histogram(x: Tensor) -> Tensor:
    """Count values by the first 12 bits of their float32 pattern, shape (BINS,), int64.

    Eight bins per octave over the whole range of float32: no range must be known before, and
    histograms of parts add up exactly. Bin b < BINS / 2 holds the non-negative values from
    `bin_edges()[b]` up to the next edge, bin b + BINS / 2 the same values negated.

    Args:
        x: any shape, float32, finite.
    """
    pattern = x.detach().reshape(-1).contiguous().view(torch.int32)
    if pattern.device.type != "cpu":
        return torch.bincount((pattern >> SHIFT) & (BINS - 1), minlength=BINS)
    from actpress.kernels import numba_loops  # noqa: PLC0415 - numba is slow to load

    counts = torch.zeros(BINS, dtype=torch.int64)
    numba_loops.count_patterns(pattern.numpy(), SHIFT, counts.numpy())
    return counts


def bin_edges() -> Tensor:
    """Lower edges of the non-negative bins, shape (BINS / 2,), float64."""
    patterns = torch.arange(BINS // 2, dtype=torch.int32) << SHIFT
    return patterns.view(torch.float32).double()
