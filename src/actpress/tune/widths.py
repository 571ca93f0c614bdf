"""The dynamic search for bit-widths: windows that move while their weights are trained."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from actpress.codec import MixtureCodec
from actpress.data.dataset import Split
from actpress.graph import Graph
from actpress.pressing import CompressedModel
from actpress.settings import TuneSettings, WidthSettings
from actpress.team import ALONE, Team
from actpress.tune.learned import Learned
from actpress.tune.loop import tune
from actpress.tune.report import Progress, TuneReport

VALIDATION_IMAGES = 128
"""Of a search, whose validations are only reported."""


def search_widths(
    pressed: CompressedModel,
    graph: Graph,
    train: Split,
    holdout: Split,
    settings: WidthSettings,
    tuning: TuneSettings,
    *,
    target_bits: float,
    checkpoint: Path | None = None,
    on_step: Callable[[Progress], None] = lambda progress: None,
    team: Team = ALONE,
) -> TuneReport:
    """Train the widths and ranges of a network whose codecs are `MixtureCodec`s, in place.

    The multiplier of the expected bits follows the budget (`RateBound`); the temperature falls, so
    that the mixtures end close to one width each.

    Args:
        pressed: the network.
        graph: of the float network, the teacher.
        train: images to learn from.
        holdout: training images to validate on.
        settings: of the search.
        tuning: batch size, losses, validation and seed.
        target_bits: bound on the expected bits per inference.
        checkpoint: file to write and continue from; None keeps nothing.
        on_step: called after every step.
        team: that shares every batch.

    Raises:
        TuningError: see `tune`.
    """
    codecs = mixtures(pressed)
    learned = [
        Learned(tuple(codec.logits for codec in codecs.values()), settings.logit_lr),
        Learned(tuple(codec.log2_range for codec in codecs.values()), settings.range_lr),
    ]

    def adjust(step: int, optimizer: torch.optim.Optimizer) -> None:
        for codec in codecs.values():
            codec.temperature.fill_(settings.temperature(step))
            if step % settings.move_every == 0:
                _forget(optimizer, codec.logits, codec.move_windows())

    return tune(
        pressed,
        graph,
        train,
        holdout,
        _with_steps(tuning, settings),
        target_bits=target_bits,
        learned=learned,
        keep_last=True,
        purpose=f"{settings} {[len(codec.lowest) for codec in codecs.values()]}",
        checkpoint=checkpoint,
        adjust=adjust,
        on_step=on_step,
        team=team,
    )


def _forget(optimizer: torch.optim.Optimizer, logits: Tensor, moved: Tensor) -> None:
    """Windows that moved weigh other candidates: Adam's moments of their logits start anew."""
    for moment in optimizer.state[logits].values():
        if moment.shape == logits.shape:
            moment[moved] = 0.0


def mixtures(pressed: CompressedModel) -> Mapping[str, MixtureCodec]:
    """The codecs of a network in search."""
    return {name: cast(MixtureCodec, codec) for name, codec in pressed.codecs.items()}


def _with_steps(tuning: TuneSettings, settings: WidthSettings) -> TuneSettings:
    return replace(
        tuning,
        steps=settings.steps,
        validate_every=min(tuning.validate_every, settings.steps),
        validation_images=min(tuning.validation_images, VALIDATION_IMAGES),
    )
