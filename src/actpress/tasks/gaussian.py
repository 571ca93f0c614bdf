"""Outputs that are numbers, as means of Gaussian variables."""

import math

import torch
from torch import Tensor

TINY = 1e-12


def gaussian_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL divergence of two Gaussians, mean over outputs: half of the normalised squared error.

    Their variance is the mean square of the teacher's outputs, so that the unit of the outputs does
    not matter.

    Args:
        student: shape (n, ...).
        teacher: the same shape.
    """
    scale = teacher.detach().square().mean().clamp(min=TINY)
    return (student - teacher).square().mean() / (2 * scale)


def gaussian_score(output: Tensor, generator: torch.Generator) -> Tensor:
    """Minus the log-likelihood of numbers drawn about the outputs (see `Task.score`).

    Args:
        output: shape (n, ...); its mean square is the variance.
        generator: of the draws.
    """
    fixed = output.detach()
    deviation = fixed.square().mean().clamp(min=TINY).sqrt()
    noise = torch.randn(output.shape, generator=generator).to(output.device)
    drawn = fixed + deviation * noise
    values = max(output[0].numel(), 1)
    return ((output - drawn) / deviation).square().sum() / (2 * math.sqrt(values))


def variance_sums(decisions: Tensor, reference: Tensor) -> Tensor:
    """Of each image: squared error, sum, sum of squares and number of the reference, (n, 4)."""
    found, known = (x.double().reshape(len(x), -1) for x in (decisions, reference))
    count = torch.full((len(known),), float(known.shape[1]), dtype=torch.float64)
    return torch.stack(
        [(found - known).square().sum(1), known.sum(1), known.square().sum(1), count], 1
    )


def kept_variance(sums: Tensor) -> float:
    """R^2 of `variance_sums` over all images, in [0, 1]; 1 where nothing was lost."""
    error, total, squares, count = sums.sum(0).tolist()
    if not error:
        return 1.0
    variance = squares - total**2 / count
    return max(1 - error / variance, 0.0) if variance > 0 else 0.0
