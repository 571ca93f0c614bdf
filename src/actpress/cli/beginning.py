"""What a command settles, and warns of, before it begins to work."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import nn

from actpress.allocate import SearchSettings
from actpress.budget import Budget
from actpress.cli.asked import Asked
from actpress.cli.normalisation import with_normalisation
from actpress.cli.options import complain
from actpress.cli.progress import progress_on
from actpress.cli.sources import load_model
from actpress.data import Dataset, load_dataset
from actpress.errors import RunError
from actpress.evaluation import images_to_tell, is_guessing, refer
from actpress.interruption import work_begins
from actpress.methods import Settings, check_labels, held_out_size, read_images
from actpress.run import Source, source_of
from actpress.settings import SEARCHED, NumberBits, TuneSettings, WidthSettings

GUESSES = 256
"""Images on which a network is tried before it is compressed."""

SHOWN_CLASSES = 8


@dataclass(frozen=True)
class Begun:
    """What a command works with.

    Attributes:
        network: on its device.
        images: the data.
        settings: of the method.
        source: of network and data.
    """

    network: nn.Module
    images: Dataset
    settings: Settings
    source: Source


def begun(asked: Asked, budgets: Sequence[Budget]) -> Begun:
    """Open network and data, warn of what can be told now, and read the images that are used.

    Args:
        asked: the options of the command.
        budgets: that are to be met.

    Raises:
        ActpressError: something cannot be opened, or images without labels tell no accuracy.
    """
    network = load_model(asked.model, args=asked.model_args, weights=asked.weights)
    network = network.to(device_of(asked.device))
    preparation = asked.preparation()
    if asked.is_of_model:
        preparation = with_normalisation(preparation, network, asked.model, asked.model_args)
    images = load_dataset(
        asked.data, input_shape=asked.shape(), preparation=preparation, workers=asked.workers
    )
    warn_of_guessing(network, images)
    settings = settings_of(asked)
    for budget in budgets:
        warn_of_few_images(budget, images, settings)
    work_begins()
    with progress_on(Console(stderr=True)) as bars:
        digests = read_images(images, settings, bars)
    source = source_of(
        network,
        images,
        digests=digests,
        model=asked.model,
        model_args=asked.model_args,
        weights=asked.weights,
        leaves=asked.leaf or (),
        capture=asked.capture,
        any_size=asked.any_size,
    )
    return Begun(network, images, settings, source)


def settings_of(asked: Asked) -> Settings:
    """The settings that options ask for."""
    tune = TuneSettings(
        steps=asked.steps,
        batch_size=asked.batch_size,
        lr_scale=asked.lr_scale,
        task=asked.label_weight,
        trainable=asked.train,
        mixed_precision=asked.mixed_precision,
        seed=asked.seed,
    )
    search = SearchSettings(
        transforms=tuple(asked.transform or SEARCHED), number_bits=NumberBits(asked.parameter_bits)
    )
    return Settings(
        calibration_images=asked.calibration_images,
        search_images=asked.search_images,
        working_mib=asked.working_mib,
        search=search,
        tune=tune,
        block=asked.block,
        groups=asked.groups,
        widths=WidthSettings(steps=asked.width_steps),
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
