"""Checkpoints of a tuning run: written whole or not at all, read without executing code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from actpress.errors import TuningError
from actpress.files import replacing


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stands.

    Attributes:
        identity: of plan and settings; a checkpoint of other ones is refused.
        step: steps done.
        model, optimizer, best: state dicts; `best` is the model of the best validation.
        best_loss: of that validation.
        multiplier, recent_excess: of the rate bound.
        seconds: training time so far.
    """

    identity: str
    step: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    best: dict[str, Any]
    best_loss: float
    multiplier: float
    recent_excess: float
    seconds: float

    def save(self, path: Path) -> None:
        """Write a file whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            torch.save(vars(self), file)

    @classmethod
    def load(cls, path: Path, *, identity: str) -> "Checkpoint":
        """Read a checkpoint of the same run.

        Raises:
            TuningError: damaged, or of another plan or other settings.
        """
        try:
            checkpoint = cls(**torch.load(path, weights_only=True))
        except Exception as error:  # a damaged pickle may raise anything
            raise TuningError(
                f"cannot read the checkpoint {path}: {error}; delete it to start again"
            ) from error
        if checkpoint.identity != identity:
            raise TuningError(
                f"the checkpoint {path} belongs to another plan or other settings; run with the "
                f"same options as before, or delete it to start again"
            )
        return checkpoint
