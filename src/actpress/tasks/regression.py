"""Numbers for each image, or for each of its pixels."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.errors import ModelError, TaskError
from actpress.tasks.gaussian import (
    gaussian_divergence,
    gaussian_score,
    kept_variance,
    variance_sums,
)
from actpress.tasks.intervals import resampled_error
from actpress.tasks.metric import PERCENT, PSNR, Metric

HIGHEST_DB = 100.0
"""Of an image that is reproduced exactly, whose PSNR would be infinite."""


@dataclass(frozen=True)
class Regression:
    """Outputs are numbers (n, k) or (n,), targets likewise.

    The metric is the mean absolute error over all numbers of all images.

    Attributes:
        unit: of the numbers, such as `mm`; for reports.

    Raises:
        TaskError: the unit is that of shares.
    """

    unit: str = ""
    name: str = "regression"

    def __post_init__(self) -> None:
        if self.unit == PERCENT:
            raise TaskError(
                "the unit % is that of shares in [0, 1]; name the numbers of a regression "
                "otherwise, such as unit='percent'"
            )

    @property
    def metric(self) -> Metric:
        """See `Task.metric`."""
        return Metric("mean absolute error", self.unit, higher_is_better=False)

    @property
    def target_form(self) -> str:
        """See `Task.target_form`."""
        return "numbers (n, k) or (n,), floating point or integers"

    def as_target(self, raw: Any) -> Tensor | None:
        """See `Task.as_target`."""
        return _numbers(raw, axes=(1, 2))

    def check(self, output: object, target: Tensor | None, *, images: int) -> None:
        """See `Task.check`."""
        _check(output, target, images, form="(n, k)", axes=(1, 2))

    def decisions(self, output: Tensor) -> Tensor:
        """The outputs, (n, k), float32."""
        return output.float().reshape(len(output), -1)

    def evidence(self, decisions: Tensor, target: Tensor) -> Tensor:
        """Mean absolute error of each image, (n,), float64."""
        return (decisions.double() - target.double().reshape(decisions.shape)).abs().mean(1)

    def measure(self, evidence: Tensor) -> float:
        """Mean absolute error.

        Raises:
            TaskError: it is not finite.
        """
        return _finite(float(evidence.mean()), self.metric)

    def loss_error(self, before: Tensor, after: Tensor) -> float | None:
        """See `Task.loss_error`."""
        return resampled_error(self.measure, self.metric.lost, before, after)

    def by_guessing(self, evidence: Tensor) -> None:
        """See `Task.by_guessing`."""

    def sameness(self, decisions: Tensor, reference: Tensor) -> Tensor:
        """What `agreement` needs of each image."""
        return variance_sums(decisions, reference)

    def agreement(self, sameness: Tensor) -> float:
        """Share of the variance of the reference that is kept, R^2, at least 0."""
        return kept_variance(sameness)

    def divergence(self, student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
        """Half of the squared error over the mean square of the teacher's outputs."""
        return gaussian_divergence(student, teacher)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(output, target.reshape(output.shape))

    def score(self, output: Tensor, generator: torch.Generator) -> Tensor:
        """See `Task.score`."""
        return gaussian_score(output, generator)


@dataclass(frozen=True)
class DenseRegression:
    """Outputs are maps (n, c, h, w), targets of the same shape: depth, denoising, super-resolution.

    The metric is the peak signal to noise ratio in dB, mean over images (an exact one counts as
    100 dB).

    Attributes:
        peak: largest value that a target can have, less the smallest.

    Raises:
        TaskError: the peak is not positive.
    """

    peak: float = 1.0
    name: str = "dense regression"
    metric: ClassVar[Metric] = PSNR

    def __post_init__(self) -> None:
        if not (self.peak > 0 and math.isfinite(self.peak)):
            raise TaskError(f"the peak of a dense regression is {self.peak}; expected more than 0")

    @property
    def target_form(self) -> str:
        """See `Task.target_form`."""
        return "maps (n, c, h, w), floating point, of the shape of the network's output"

    def as_target(self, raw: Any) -> Tensor | None:
        """See `Task.as_target`."""
        return _numbers(raw, axes=(4,))

    def check(self, output: object, target: Tensor | None, *, images: int) -> None:
        """See `Task.check`."""
        _check(output, target, images, form="(n, c, h, w)", axes=(4,))

    def decisions(self, output: Tensor) -> Tensor:
        """The outputs, float32."""
        return output.float()

    def evidence(self, decisions: Tensor, target: Tensor) -> Tensor:
        """Mean squared error of each image, (n,), float64."""
        return (decisions - target).double().square().flatten(1).mean(1)

    def measure(self, evidence: Tensor) -> float:
        """Mean over images of 10 log10(peak^2 / squared error), in dB.

        Raises:
            TaskError: it is not finite.
        """
        ratios = 10 * torch.log10(self.peak**2 / evidence.clamp(min=1e-300))
        return _finite(float(ratios.clamp(max=HIGHEST_DB).mean()), self.metric)

    def loss_error(self, before: Tensor, after: Tensor) -> float | None:
        """See `Task.loss_error`."""
        return resampled_error(self.measure, self.metric.lost, before, after)

    def by_guessing(self, evidence: Tensor) -> None:
        """See `Task.by_guessing`."""

    def sameness(self, decisions: Tensor, reference: Tensor) -> Tensor:
        """What `agreement` needs of each image."""
        return variance_sums(decisions, reference)

    def agreement(self, sameness: Tensor) -> float:
        """Share of the variance of the reference that is kept, R^2, at least 0."""
        return kept_variance(sameness)

    def divergence(self, student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
        """Half of the squared error over the mean square of the teacher's outputs."""
        return gaussian_divergence(student, teacher)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(output, target)

    def score(self, output: Tensor, generator: torch.Generator) -> Tensor:
        """See `Task.score`."""
        return gaussian_score(output, generator)


def _numbers(raw: Any, *, axes: tuple[int, ...]) -> Tensor | None:
    known = isinstance(raw, Tensor) and raw.ndim in axes and not raw.is_complex()
    return raw.float() if known and raw.isfinite().all() else None


def _check(
    output: object, target: Tensor | None, images: int, *, form: str, axes: tuple[int, ...]
) -> None:
    expected = f"expected one floating-point tensor {form}"
    if not isinstance(output, Tensor):
        raise ModelError(
            f"the network returns a {type(output).__name__}; {expected}; wrap the network in a "
            f"module that returns it alone, or take actpress.tasks.Custom"
        )
    shape = tuple(output.shape)
    if not output.is_floating_point() or output.ndim not in axes or shape[0] != images:
        raise ModelError(
            f"for {images} images the network returns {output.dtype} of shape {shape}; {expected}"
        )
    if target is not None and _without_ones(target.shape[1:]) != _without_ones(output.shape[1:]):
        raise ModelError(
            f"the network's output has shape {shape}, its targets {tuple(target.shape)}; expected "
            f"the same; scale or choose the targets like the outputs"
        )


def _without_ones(shape: torch.Size) -> tuple[int, ...]:
    """(n,) and (n, 1) are the same; maps are compared whole."""
    return () if tuple(shape) == (1,) else tuple(shape)


def _finite(value: float, metric: Metric) -> float:
    if not math.isfinite(value):
        raise TaskError(f"the {metric.name} is {value}; check targets and outputs")
    return value
