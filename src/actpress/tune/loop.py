"""The training loop that every learned method shares."""

import copy
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actpress.codec import gradients_in_bfloat16, in_training
from actpress.data.dataset import Split
from actpress.errors import TuningError
from actpress.graph import Graph, hash_weights, with_merged_norms
from actpress.pressing import CompressedModel
from actpress.settings import Trainable, TuneSettings
from actpress.tasks.nest import floats, mapped
from actpress.team import ALONE, Team
from actpress.tune.checkpoint import Checkpoint
from actpress.tune.learned import (
    Learned,
    learned_parameters,
    network_parameters,
    optimizer_of,
)
from actpress.tune.losses import prediction_loss, reconstruction
from actpress.tune.order import epoch_order
from actpress.tune.precision import mixed_precision
from actpress.tune.rate import RateBound, rates_alone
from actpress.tune.report import Progress, TuneReport
from actpress.tune.teacher import Teacher
from actpress.tune.validation import Validation

TOLERATED_EXCESS = 0.02
"""Where nothing measures real costs, a state whose recent batches cost more than this above the aim
is not kept. The aim lies a little below the bound (`TARGET_MARGIN`)."""


def tune(
    pressed: CompressedModel,
    graph: Graph,
    train: Split,
    holdout: Split,
    settings: TuneSettings,
    *,
    target_bits: float,
    learned: Sequence[Learned] | None = None,
    keep_last: bool = False,
    purpose: str = "",
    settle: Callable[[], float] | None = None,
    adjust: Callable[[int, torch.optim.Optimizer], None] = lambda step, optimizer: None,
    checkpoint: Path | None = None,
    on_step: Callable[[Progress], None] = lambda progress: None,
    team: Team = ALONE,
) -> TuneReport:
    """Train the codecs (and, if asked, the network) of a pressed model, in place.

    The bits are held at `target_bits`, the state with the best validation is kept, and an existing
    checkpoint is continued from: a run that was killed ends with the same weights as one that was
    not. The pressed model's tables must be fitted before and again afterwards.

    Args:
        pressed: the model to train; its rate model must be aligned (`align_rate_model`).
        graph: of the float network, the teacher.
        train: images to learn from.
        holdout: training images to validate on.
        settings: schedule and losses.
        target_bits: bound on the bits per inference over all sites.
        learned: what is trained; None is what `settings.trainable` says.
        keep_last: end with the last state, whatever its validation.
        purpose: what else decides the run; a checkpoint of another purpose does not fit.
        settle: brings the present state to its real price before every validation, and returns the
            excess of that over the target, as a share. Without it the smooth rate decides.
        checkpoint: file to write and continue from; None keeps nothing.
        adjust: called after every step with their number; may change the codecs and the optimizer's
            state, as long as what it does depends on them and the step alone.
        on_step: called after every step, for progress.
        team: that shares every batch; its first process alone writes and reads the checkpoint.

    Raises:
        TuningError: the loss became NaN or infinite (the last checkpoint stays), the checkpoint
            does not fit, or no state held its bits.
        DataError: an image that is not finite (the last checkpoint stays).
    """
    run_state = TuningRun(
        pressed,
        graph,
        train,
        holdout,
        settings,
        RateBound(target_bits),
        learned=learned,
        keep_last=keep_last,
        purpose=purpose,
        settle=settle,
        adjust=adjust,
        team=team,
    )
    pressed.network_learned = settings.trainable is Trainable.NETWORK
    found = team.from_first(lambda: _found(checkpoint, run_state.identity))
    if found is not None:
        run_state.restore(found)
    else:
        run_state.keep_if_best()
    return run_state.train(checkpoint, on_step)


def _found(checkpoint: Path | None, identity: str) -> Checkpoint | None:
    if checkpoint is None or not checkpoint.exists():
        return None
    return Checkpoint.load(checkpoint, identity=identity)


def held_out_divergence(
    pressed: CompressedModel,
    graph: Graph,
    holdout: Split,
    settings: TuneSettings,
    *,
    team: Team = ALONE,
) -> float:
    """What `TuneReport.loss_after` is of a network that was not tuned, on the same images."""
    device, images = next(pressed.buffers()).device, holdout.take(settings.validation_images)
    teacher = graph.eval_module.to(device)
    validation = Validation(
        teacher, images, graph.task, batch_size=settings.batch_size, device=device, team=team
    )
    return validation.divergence(pressed)


class TuningRun:
    """State of one run: model, optimizer, rate bound, best validation."""

    def __init__(
        self,
        pressed: CompressedModel,
        graph: Graph,
        train: Split,
        holdout: Split,
        settings: TuneSettings,
        bound: RateBound,
        *,
        learned: Sequence[Learned] | None = None,
        keep_last: bool = False,
        purpose: str = "",
        settle: Callable[[], float] | None = None,
        adjust: Callable[[int, torch.optim.Optimizer], None] = lambda step, optimizer: None,
        team: Team = ALONE,
    ) -> None:
        _check_size(min(settings.batch_size, len(train)), team)
        self.team = team
        self.pressed, self.train_split, self.settings, self.bound = pressed, train, settings, bound
        self.task = graph.task
        self.teacher = copy.deepcopy(graph.eval_module).requires_grad_(False).eval()
        device = next(pressed.buffers()).device
        self.teacher.to(device)
        self.device = device
        quick = device.type == "cpu" and not settings.mixed_precision
        self._predict = Teacher(with_merged_norms(self.teacher) if quick else self.teacher)
        self.keep_last, self.adjust, self.settle = keep_last, adjust, settle
        if learned is None:
            images = next(train.batches(settings.batch_size))[0]
            learned = learned_parameters(pressed, settings, images.to(device))
        self.optimizer = optimizer_of(pressed, learned)
        own = network_parameters(pressed, settings).parameters
        fixed = quick and not any(parameter.requires_grad for parameter in own)
        network = pressed.eval().network.eval_module
        self._network = with_merged_norms(network) if fixed else network
        self.identity = _identity(pressed, graph, settings, bound) + purpose
        self.holdout = holdout.take(settings.validation_images)
        self.validation = Validation(
            self.teacher,
            self.holdout,
            self.task,
            batch_size=settings.batch_size,
            device=device,
            team=team,
        )
        self.step, self.seconds = 0, 0.0
        self.loss_before = self.validation.divergence(pressed)
        self.best_loss, self.best = float("inf"), _state(pressed)
        if settle is None:
            bound.recent_excess = self._present_excess()

    def train(self, checkpoint: Path | None, on_step: Callable[[Progress], None]) -> TuneReport:
        """Run the steps that are left, then put the best state back."""
        began, before = time.perf_counter(), self.seconds
        for share, (x, target) in self._remaining_batches():
            progress = self.train_step(
                x.to(self.device), mapped(target, lambda part: part.to(self.device)), share=share
            )
            self.step += 1
            self.adjust(self.step, self.optimizer)
            on_step(progress)
            if self.step % self.settings.validate_every == 0 or self.step == self.settings.steps:
                self.keep_if_best()
                self.seconds = before + time.perf_counter() - began
                if checkpoint is not None:
                    self.snapshot().save(checkpoint)
        if not isfinite(self.best_loss):
            raise TuningError(
                f"no state that was validated held its bits (they exceeded the bound by "
                f"{100 * self.bound.recent_excess:.1f} %); tune for more steps"
            )
        self.pressed.load_state_dict(self.best)
        self.pressed.eval().requires_grad_(False)
        return TuneReport(self.step, self.loss_before, self.best_loss, self.seconds)

    def keep_if_best(self) -> None:
        """Keep the present state if it is the best so far that holds its bits, or always."""
        if self.settle is None:
            held = self.bound.recent_excess <= TOLERATED_EXCESS
        else:
            self.bound.recent_excess = self.settle()
            held = self.bound.recent_excess <= 0
        loss = self.validation.divergence(self.pressed)
        better = loss < self.best_loss and held
        if better or self.keep_last:
            self.best_loss, self.best = loss, _state(self.pressed)

    def snapshot(self) -> Checkpoint:
        """Everything needed to go on."""
        return Checkpoint(
            self.identity,
            self.step,
            _state(self.pressed),
            self.optimizer.state_dict(),
            self.best,
            self.best_loss,
            self.bound.multiplier,
            self.bound.recent_excess,
            self.seconds,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint.

        Raises:
            TuningError: it is damaged, or holds tables of other sizes.
        """
        checkpoint.check(self.pressed, self.optimizer, steps=self.settings.steps)
        self.pressed.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.best, self.best_loss = checkpoint.best, checkpoint.best_loss
        self.bound.multiplier = checkpoint.multiplier
        self.bound.recent_excess = checkpoint.recent_excess
        self.step, self.seconds = checkpoint.step, checkpoint.seconds

    def train_step(self, x: Tensor, target: Any, *, share: float = 1.0) -> Progress:
        """One optimizer step on a batch, of which a team shares the images.

        Losses and gradients are means over the whole batch. Only rates are means of the processes'
        own, as their estimate hears of all images at once.

        Args:
            x: images of this process, shape (n, c, h, w).
            target: of these images, as of the task.
            share: of all images of the batch that these are.
        """
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * settings.lr_share(self.step)
        self.pressed.eval()  # normalisation keeps its statistics, also when the weights learn
        teacher = None
        if settings.distillation:
            with self._mixed_precision(self.teacher):
                teacher = self._predict(x)
        lower = gradients_in_bfloat16(allowed=settings.mixed_precision is True)
        with self._reconstruction() as probe, self._mixed_precision(self.pressed), lower:
            with in_training():
                output, rates = self._network(x)
            rate_bits = torch.stack(rates).sum()
            loss = prediction_loss(self.task, floats(output), target, teacher, settings)
            if probe is not None:
                loss = loss + settings.reconstruction * probe.loss()
        whole_loss, whole_rate = share * loss.detach(), share * rate_bits.detach()
        self.team.add_up([whole_loss, whole_rate])
        # The bound is one of the whole rate, whose gradient is the sum of the shares' own.
        rate = rate_bits + (whole_rate - rate_bits.detach())
        total = loss + settings.loss_scale * self.bound.loss(rate)
        self._check_finite(whole_loss + whole_rate)
        self.optimizer.zero_grad()
        (share * total).backward()
        self.team.add_up([p.grad for p in self._parameters() if p.grad is not None])
        norm = nn.utils.clip_grad_norm_(self._parameters(), settings.grad_clip)
        self._check_finite(norm)
        self.optimizer.step()
        self.bound.update(whole_rate)
        return Progress(
            self.step + 1,
            settings.steps,
            whole_loss.item(),
            whole_rate.item(),
            self.bound.multiplier,
        )

    def _check_finite(self, value: Tensor) -> None:
        if not torch.isfinite(value):
            raise TuningError(
                f"training diverged at step {self.step + 1}: loss or gradient is NaN or infinite; "
                "checkpoints written before stay; lower the learning rates (lr_scale, --lr-scale)"
            )

    def _remaining_batches(self) -> Iterator[tuple[float, tuple[Tensor, Any]]]:
        """This process's share of batches from the present step on, and how much of each it is.

        Their order depends on seed and step alone.
        """
        size = min(self.settings.batch_size, len(self.train_split))
        per_epoch = len(self.train_split) // size

        def own() -> Iterator[Tensor]:
            for step in range(self.step, self.settings.steps):
                epoch, position = divmod(step, per_epoch)
                order = epoch_order(len(self.train_split), seed=self.settings.seed, epoch=epoch)
                indices = order[position * size : (position + 1) * size]
                yield indices.tensor_split(self.team.size)[self.team.rank]

        for images, target in self.train_split.read(own()):
            yield len(images) / size, (images, target)

    def _present_excess(self) -> float:
        """Excess of the untrained state, on held-out images."""
        batches = self.holdout.batches(self.settings.batch_size, part=self.team.part)
        with rates_alone(self.pressed):
            own = (
                self.pressed.forward_with_rate(x.to(self.device))[1].detach().cpu()
                for x, _ in batches
            )
            rates = list(self.team.in_order(own))
        return float(self.bound.excess(torch.stack(rates).mean()))

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _mixed_precision(self, network: nn.Module) -> AbstractContextManager[None]:
        return mixed_precision(network, self.device, wanted=self.settings.mixed_precision)

    def _reconstruction(self) -> AbstractContextManager[Any]:
        return reconstruction(self.pressed) if self.settings.reconstruction else nullcontext()


def _check_size(batch_size: int, team: Team) -> None:
    """Refuse batches of fewer images than processes.

    Raises:
        TuningError: they are.
    """
    if batch_size < team.size:
        raise TuningError(
            f"a batch of {batch_size} images cannot be shared by {team.size} processes; "
            f"ask for larger batches (batch_size, --batch-size), or start fewer processes"
        )


def _identity(
    pressed: CompressedModel, graph: Graph, settings: TuneSettings, bound: RateBound
) -> str:
    text = f"{hash_weights(graph.root)}|{pressed.plan.to_json()}|{settings}|{bound.target_bits!r}"
    return hashlib.sha256(text.encode()).hexdigest()


def _state(module: nn.Module) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
