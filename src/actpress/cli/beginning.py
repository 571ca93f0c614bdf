"""What a command settles, and warns of, before it begins to work."""

import os
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from actpress.allocate import SearchSettings
from actpress.budget import Budget
from actpress.cli.options import complain
from actpress.data import Dataset
from actpress.errors import RunError
from actpress.evaluation import images_to_tell, is_guessing, refer
from actpress.methods import Settings, check_labels, held_out_size
from actpress.settings import SEARCHED, NumberBits, Trainable, TuneSettings, WidthSettings

GUESSES = 256
"""Images on which a network is tried before it is compressed."""

SHOWN_CLASSES = 8


def settings_of(
    *,
    steps: int,
    batch_size: int,
    lr_scale: float,
    label_weight: float,
    train: Trainable,
    mixed_precision: bool | None,
    seed: int,
    calibration_images: int,
    search_images: int,
    width_steps: int,
    groups: int | None,
    block: int | None,
    transform: Sequence[str] | None,
    parameter_bits: int,
) -> Settings:
    """The settings that the options of `compress` and `sweep` ask for."""
    tune = TuneSettings(
        steps=steps,
        batch_size=batch_size,
        lr_scale=lr_scale,
        task=label_weight,
        trainable=train,
        mixed_precision=mixed_precision,
        seed=seed,
    )
    transforms = tuple(transform or SEARCHED)
    search = SearchSettings(transforms=transforms, number_bits=NumberBits(parameter_bits))
    return Settings(
        calibration_images=calibration_images,
        search_images=search_images,
        search=search,
        tune=tune,
        block=block,
        groups=groups,
        widths=WidthSettings(steps=width_steps),
    )


def warn_of_guessing(network: nn.Module, images: Dataset) -> None:
    """Say so where a network is no better than chance, so that nothing measured means anything."""
    if not images.is_labelled:
        return
    split = images.holdout.take(GUESSES)
    try:
        evidence = refer(network, split, task=images.task).evidence
    except Exception:  # noqa: BLE001 - the capture that follows says what a network cannot take
        return
    by_guessing = images.task.by_guessing(evidence)
    if by_guessing is None:
        return
    share = images.task.measure(evidence)
    if is_guessing(share, by_guessing, len(split)):
        complain(
            f"warning: the network is right on {100 * share:.1f} % of {len(split)} held-out "
            f"images, no more than by guessing ({100 * by_guessing:.1f} %): --weights may be "
            f"missing, or the data prepared for another network{_as_prepared(images)}"
        )


def _as_prepared(images: Dataset) -> str:
    """How classes and images were read, where that is known."""
    order = ", ".join(images.class_names[:SHOWN_CLASSES])
    more = len(images.class_names) - SHOWN_CLASSES
    order += f" and {more} more" if more > 0 else ""
    parts = ([f"classes in the order {order}"] if order else []) + [images.prepared]
    read = "; ".join(filter(None, parts))
    return f"; read with {read} (--classes, --mean and --std change that)" if read else ""


def warn_of_few_images(budget: Budget, images: Dataset, settings: Settings) -> None:
    """Say so where the held-out images cannot tell an accuracy budget from no drop at all.

    Raises:
        BudgetError: images without labels tell no accuracy.
    """
    check_labels(images, budget, settings)
    if not budget.is_quality or images.task.metric.name != "accuracy":
        return
    held_out = min(held_out_size(images, settings), settings.holdout_images)
    needed = images_to_tell(budget.amount)
    if held_out < needed:
        complain(
            f"warning: {held_out:,} held-out images cannot tell a drop of {budget.amount:g} points "
            f"from none, which takes at least {needed:,}; the drop on test images may well be "
            f"larger"
        )


def device_of(name: str, environment: Mapping[str, str] = os.environ) -> torch.device:
    """The device of an option; `cuda` is the GPU of this process among those of its machine.

    Raises:
        RunError: it cannot be used here.
    """
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None and "LOCAL_RANK" in environment:
            device = torch.device("cuda", int(environment["LOCAL_RANK"]))
        torch.zeros(1, device=device).cpu()  # the device `meta` computes shapes alone
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"--device {name} cannot be used here: {reason}; try cpu") from error
    return device
