"""Checkpoints of a tuning run: written whole or not at all, read without executing code."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor, nn

from actpress.errors import TuningError
from actpress.files import replacing

MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What Adam keeps of a parameter."""


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
        """Write a file whole or not at all.

        Raises:
            OSError: it cannot be written, as where the disk is full.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            writer = _Writer(file)
            try:
                torch.save(vars(self), cast(BinaryIO, writer))
            except RuntimeError as error:  # torch's own word for whatever stopped the writer
                raise writer.failure or error from error

    @classmethod
    def load(cls, path: Path, *, identity: str) -> "Checkpoint":
        """Read a checkpoint of the same run.

        Raises:
            TuningError: damaged, or of another plan or other settings.
        """
        try:
            checkpoint = cls(**torch.load(path, weights_only=True))
        except Exception as error:  # a damaged pickle may raise anything
            reason = " ".join(str(error).split())
            raise TuningError(
                f"cannot read the checkpoint {path}: {reason}; delete it to start again"
            ) from error
        if str(checkpoint.identity) != identity:  # it may be anything
            raise TuningError(
                f"the checkpoint {path} belongs to another plan or other settings; run with the "
                f"same options as before, or delete it to start again"
            )
        return checkpoint

    def check(self, network: nn.Module, optimizer: torch.optim.Optimizer, *, steps: int) -> None:
        """Refuse what could not be the state of this network, before anything is changed.

        Args:
            network: whose state it is.
            optimizer: likewise, at any step.
            steps: of the whole run.

        Raises:
            TuningError: a number or tensor is missing, of another type, or not finite; names it. So
                is a table of another size, as another device or number of threads makes it.
        """
        whole = type(self.step) is int and 0 <= self.step <= steps
        numbers = (self.multiplier, self.recent_excess, self.seconds)
        if not whole or not all(map(_is_finite, numbers)):
            raise _damaged(f"its step {self.step!r} or one of {numbers} makes no sense")
        if self.best_loss != inf and not _is_finite(self.best_loss):
            raise _damaged(f"its loss {self.best_loss!r} makes no sense")
        own = network.state_dict()
        for name, state in (("model", self.model), ("best", self.best)):
            _check_state(name, state, own)
        _check_optimizer(self.optimizer, optimizer)


class _Writer:
    """Writes to a file, and remembers what went wrong."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, content: bytes) -> int:
        try:
            return self._file.write(content)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _check_state(name: str, state: object, own: Mapping[str, Tensor]) -> None:
    if not isinstance(state, dict) or state.keys() != own.keys():
        raise _damaged(f"its {name} has other tensors than the network")
    for key, tensor in state.items():
        _check_tensor(f"{name}.{key}", tensor, own[key])
        was_finite = torch.isfinite(own[key].cpu())
        if (was_finite & ~torch.isfinite(tensor.cpu())).any():
            raise _damaged(f"{name}.{key} is not finite")


def _check_tensor(key: str, tensor: object, like: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise _damaged(f"{key} is no tensor")
    if tensor.dtype != like.dtype:
        raise _damaged(f"{key} is {tensor.dtype}, expected {like.dtype}")
    if tensor.shape != like.shape:
        raise TuningError(
            f"the checkpoint holds {key} of shape {tuple(tensor.shape)}, expected "
            f"{tuple(like.shape)}: tables of other sizes, as another device or number of threads "
            f"makes them; resume where the run began, or start again"
        )


def _check_optimizer(found: object, optimizer: torch.optim.Optimizer) -> None:
    """Its parameters, their moments, and nothing else than the settings that it has now."""
    own = optimizer.state_dict()
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    if not isinstance(found, dict) or found.keys() != own.keys():
        raise _damaged("its optimizer is none")
    groups, states = found["param_groups"], found["state"]
    same = isinstance(groups, list) and len(groups) == len(own["param_groups"])
    same = same and all(map(_same_group, groups, own["param_groups"]))
    if not same or not isinstance(states, dict) or not set(states) <= set(range(len(parameters))):
        raise _damaged("its optimizer has other parameters than the network trains")
    for index, state in states.items():
        if not isinstance(state, dict) or state.keys() != MOMENTS:
            raise _damaged(f"the optimizer's state of parameter {index} is none of Adam")
        for key, tensor in state.items():
            like = torch.zeros(()) if key == "step" else parameters[index]
            _check_tensor(f"optimizer.{index}.{key}", tensor, like)
            if not torch.isfinite(tensor).all() or (key != "exp_avg" and (tensor < 0).any()):
                raise _damaged(f"optimizer.{index}.{key} is not finite, or below zero")


def _same_group(found: object, own: Mapping[str, Any]) -> bool:
    """All but the rates, which another number of threads may round otherwise."""
    if not isinstance(found, dict) or found.keys() != own.keys():
        return False
    rates = [found[key] for key in ("lr", "peak_lr")]
    others = all(found[key] == own[key] for key in own if key not in {"lr", "peak_lr"})
    return others and all(_is_finite(rate) and rate >= 0 for rate in rates)


def _is_finite(number: object) -> bool:
    return isinstance(number, float | int) and isfinite(number)


def _damaged(what: str) -> TuningError:
    return TuningError(f"the checkpoint is damaged: {what}; delete it to start again")
