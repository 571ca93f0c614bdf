"""What a tuning run tells: at every step, and at its end."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TuneReport:
    """How a tuning run went.

    Attributes:
        steps: optimizer steps done.
        loss_before, loss_after: KL divergence from the float network on held-out training images.
        seconds: wall clock, over all resumed parts.
    """

    steps: int
    loss_before: float
    loss_after: float
    seconds: float


@dataclass(frozen=True)
class Progress:
    """One step, as reported to the caller."""

    step: int
    steps: int
    loss: float
    rate_bits: float
    multiplier: float
