"""Options that several commands share, and how a command fails."""

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import torch
import typer
from rich.console import Console
from rich.text import Text
from torch import nn

from actpress.allocate import SEARCHED
from actpress.budget import Budget, Count
from actpress.cost import MEMORY_PJ_PER_BIT, EnergyModel
from actpress.data import Dataset
from actpress.errors import ActpressError, RunError
from actpress.evaluation import (
    guessing_accuracy,
    images_to_tell,
    is_guessing,
    predict,
)
from actpress.methods import PROJECTING, TRAINING, Settings, held_out_size
from actpress.plan import MAX_BLOCK, NumberBits
from actpress.tune import Trainable, TuneSettings, WidthSettings

EXIT_BAD_INPUT, EXIT_INTERRUPTED = 2, 130
GUESSES = 256
"""Images on which a network is tried before it is compressed."""

SHOWN_CLASSES = 8

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
        help="fashion-mnist, fashion-mnist-subset, cifar10, imagefolder:PATH or "
        "package.module:factory.",
    ),
]
InputOption = Annotated[
    str | None, typer.Option("--input", help="Shape of one image, such as 3x224x224.")
]
MeanOption = Annotated[
    str | None,
    typer.Option("--mean", help="Of an image folder, per channel: 0.485,0.456,0.406 if 3, or 0.5."),
]
StdOption = Annotated[
    str | None,
    typer.Option("--std", help="Likewise: 0.229,0.224,0.225 if 3 channels, or 0.5."),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes",
        help="Class folders in the order of the network's outputs, as a,b,c or a text file with "
        "one a line; sorted by default.",
    ),
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
BatchOption = Annotated[
    int,
    typer.Option(
        "--batch", help="Images for which the codecs' parameters and tables are fetched once."
    ),
]
CountOption = Annotated[
    Count,
    typer.Option(help="What a budget counts: all that is moved, or activations alone."),
]
TransformOption = Annotated[
    list[str] | None,
    typer.Option(
        "--transform",
        help=f"Let sites take only these; may be given several times: {', '.join(SEARCHED)}.",
        show_default=False,
    ),
]
NumberBitsOption = Annotated[
    int, typer.Option("--parameter-bits", help="Of a stored number of a projection: 4, 8 or 16.")
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
            with _warnings_in_one_line():
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


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Print what actpress warns of like its other messages, without the place in its code."""
    told = set[str]()

    def tell(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in told:
            told.add(str(message))
            complain(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning, module=r"actpress\.")
        warnings.showwarning = tell
        yield


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
    transform: Sequence[str] | None,
    parameter_bits: int,
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
    transforms = tuple(transform or SEARCHED)
    for name in transforms:
        check_choice("--transform", name, SEARCHED)
    check_choice("--parameter-bits", parameter_bits, tuple(map(int, NumberBits)))
    settings = Settings.seeded(calibration_images, search_images, tune)
    search = replace(settings.search, transforms=transforms, number_bits=NumberBits(parameter_bits))
    return replace(
        settings,
        search=search,
        block=block,
        groups=groups,
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
    split = images.holdout.take(GUESSES)
    try:
        with torch.no_grad():
            predictions = predict(network, split, task=images.task)
    except Exception:  # noqa: BLE001 - the capture that follows says what a network cannot take
        return
    share = images.task.metric(predictions, split.labels)
    by_guessing = guessing_accuracy(predictions, split.labels)
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
    """Say so where the held-out images cannot tell an accuracy budget from no drop at all."""
    if not budget.is_accuracy:
        return
    held_out = min(held_out_size(images, settings), settings.holdout_images)
    needed = images_to_tell(budget.amount)
    if held_out < needed:
        complain(
            f"warning: {held_out:,} held-out images cannot tell a drop of {budget.amount:g} points "
            f"from none, which takes at least {needed:,}; the drop on test images may well be "
            f"larger"
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


def check_choice(option: str, got: object, names: Collection[object]) -> None:
    """Refuse what is none of some names.

    Raises:
        RunError: it is not; says what there is.
    """
    if got not in names:
        raise RunError(
            f"{option} {got}: there is no such choice; expected {', '.join(map(str, names))}"
        )
