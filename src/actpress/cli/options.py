"""Options that several commands share, and how a command fails."""

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import torch
import typer
from rich.console import Console
from rich.text import Text
from torch import nn

from actpress.allocate import Grouping
from actpress.data import Dataset
from actpress.errors import ActpressError, RunError
from actpress.evaluation import MEMORY_PJ_PER_BIT, EnergyModel, predict
from actpress.methods import PROJECTING, TRAINING, Settings
from actpress.plan import MAX_BLOCK
from actpress.tune import Trainable, TuneSettings, WidthSettings

EXIT_BAD_INPUT, EXIT_INTERRUPTED = 2, 130
GUESSES = 256
"""Images on which a network is tried before it is compressed."""

P = ParamSpec("P")

ModelOption = Annotated[
    str, typer.Option("--model", help="Factory of the network, as package.module:factory.")
]
ModelArgsOption = Annotated[
    str | None, typer.Option("--model-args", help="Keyword arguments of the factory, as JSON.")
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="State dict: .safetensors, .pt or .pth.")
]
LeafOption = Annotated[
    list[str] | None,
    typer.Option("--leaf", help="Module path to trace around; may be given several times."),
]
DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        help="fashion-mnist, fashion-mnist-subset, imagefolder:PATH or package.module:factory.",
    ),
]
InputOption = Annotated[
    str | None, typer.Option("--input", help="Shape of one image, such as 3x224x224.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, ...")]
PrecisionOption = Annotated[
    bool | None,
    typer.Option(
        "--mixed-precision/--full-precision",
        help="Train in bfloat16, as on a GPU by default; faster on a CPU with AVX512-BF16.",
    ),
]
BlockOption = Annotated[
    int | None,
    typer.Option(
        "--block",
        min=1,
        max=MAX_BLOCK,
        help="Side of the blocks of pixels that are projected together; a site may take a smaller "
        "one that suits it. 2 for codesign by default, else 1.",
    ),
]
StepsOption = Annotated[int, typer.Option("--steps", help="Tuning steps.")]
BatchSizeOption = Annotated[int, typer.Option("--batch-size", help="Images per step.")]
RateOption = Annotated[
    float, typer.Option("--lr-scale", help="Factor of all learning rates; less if it diverges.")
]
TrainOption = Annotated[Trainable, typer.Option("--train", help="What learns.")]
CalibrationOption = Annotated[
    int,
    typer.Option("--calibration-images", min=1, help="Training images for statistics and tables."),
]
SearchOption = Annotated[
    int,
    typer.Option("--search-images", min=1, help="Held-out training images that try moves."),
]
WidthStepsOption = Annotated[
    int,
    typer.Option(
        "--width-steps", min=1, help="Steps that learn widths (codesign, layerwise_search)."
    ),
]
GroupsOption = Annotated[
    int | None,
    typer.Option("--groups", min=1, help="Equal groups per site (codesign); else automatic."),
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=1 << 31, help="Of everything random.")
]
RunArgument = Annotated[Path, typer.Argument(help="Run directory made by actpress compress.")]


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn an expected error into one message and exit code 2."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ActpressError as error:
            complain(f"error: {error}")
            raise typer.Exit(EXIT_BAD_INPUT) from error
        except OSError as error:
            complain(f"error: {error.strerror or error}: {error.filename}; check the path")
            raise typer.Exit(EXIT_BAD_INPUT) from error
        except KeyboardInterrupt:
            complain("interrupted; nothing was written")
            raise typer.Exit(EXIT_INTERRUPTED) from None

    return run


def complain(message: str) -> None:
    """Say something on the error stream, without markup."""
    Console(stderr=True, highlight=False).print(Text(message), soft_wrap=True)


def settings_of(
    *,
    steps: int,
    batch_size: int,
    lr_scale: float,
    train: Trainable,
    mixed_precision: bool | None,
    seed: int,
    calibration_images: int,
    search_images: int,
    width_steps: int,
    groups: int | None,
    block: int | None,
) -> Settings:
    """The settings that the options of `compress` and `sweep` ask for."""
    tune = TuneSettings(
        steps=steps,
        batch_size=batch_size,
        lr_scale=lr_scale,
        trainable=train,
        mixed_precision=mixed_precision,
        seed=seed,
    )
    return replace(
        Settings.seeded(calibration_images, search_images, tune),
        block=block,
        grouping=Grouping(groups=groups),
        widths=WidthSettings(steps=width_steps),
    )


def warn_of_unused(method: str, block: int | None, train: Trainable) -> None:
    """Say so where a method does not do what an option asks for."""
    if method not in PROJECTING and block is not None:
        complain(f"{method} projects nothing, so --block does nothing")
    if method not in TRAINING and train is not Trainable.PROJECTIONS:
        complain(f"{method} trains nothing, so --train does nothing")
    elif method not in PROJECTING and train is Trainable.DECODER:
        complain(f"{method} has no decoders; its steps are trained instead")


def warn_of_guessing(network: nn.Module, images: Dataset) -> None:
    """Say so where a network is no better than chance, so that nothing measured means anything."""
    split, chance = images.holdout.take(GUESSES), 1 / images.classes
    most = chance + 2 * math.sqrt(chance * (1 - chance) / len(split))
    if most >= 1:
        return  # too few images to tell
    try:
        with torch.no_grad():
            share = images.task.metric(predict(network, split, task=images.task), split.labels)
    except Exception:  # noqa: BLE001 - the capture that follows says what a network cannot take
        return
    if share <= most:
        complain(
            f"warning: the network is right on {100 * share:.1f} % of {len(split)} held-out "
            f"images, no more than by guessing among {images.classes} classes; --weights may be "
            f"missing, or the data prepared for another network"
        )


def device_of(name: str) -> torch.device:
    """The device of an option.

    Raises:
        RunError: it cannot be used here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"--device {name} cannot be used here: {reason}; try cpu") from error
    return device


def energy_of(memory: str) -> EnergyModel:
    """The energy model of `--memory`.

    Raises:
        RunError: there is no such memory.
    """
    check_choice("--memory", memory, MEMORY_PJ_PER_BIT)
    return EnergyModel.of_memory(memory)


def check_choice(option: str, got: str, names: Collection[str]) -> None:
    """Refuse what is none of some names.

    Raises:
        RunError: it is not; says what there is.
    """
    if got not in names:
        raise RunError(f"{option} {got}: there is no such choice; expected {', '.join(names)}")
