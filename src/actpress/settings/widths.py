"""How the search for bit-widths goes."""

from dataclasses import dataclass

from actpress.errors import TuningError

ALL_WIDTHS = 9
"""Candidates of the control without a window: 0 to 8."""


@dataclass(frozen=True)
class WidthSettings:
    """How the search for bit-widths goes.

    Attributes:
        steps: optimizer steps.
        candidates: widths that each group weighs at a time; 9 is the control with all of them.
        logit_lr: peak learning rate of the logits (Adam).
        range_lr: the same of the ranges, in octaves.
        move_every: steps between looks at the windows.
        coldest: temperature of the softmax at the end; it falls from 1 at a constant ratio.
    """

    steps: int = 200
    candidates: int = 3
    logit_lr: float = 0.1
    range_lr: float = 0.01
    move_every: int = 5
    coldest: float = 0.2

    def __post_init__(self) -> None:
        if self.steps < 1 or self.move_every < 1 or not 3 <= self.candidates <= ALL_WIDTHS:
            raise TuningError(
                f"steps and move_every must be at least 1 and candidates 3 to {ALL_WIDTHS}"
            )
        if not (self.logit_lr > 0 and self.range_lr > 0 and 0 < self.coldest <= 1):
            raise TuningError("logit_lr and range_lr must be positive, coldest in (0, 1]")

    def temperature(self, step: int) -> float:
        """Of the softmax, after so many steps."""
        return float(self.coldest ** (step / self.steps))
