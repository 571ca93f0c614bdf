"""Options that several commands share, and how a command fails; loads without torch."""

import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from rich.console import Console
from rich.text import Text

from actpress.budget import Count
from actpress.cli.arguments import check_alone
from actpress.errors import ActpressError, RunError, is_out_of_memory
from actpress.interruption import EXIT_INTERRUPTED
from actpress.settings import (
    MAX_BLOCK,
    MEMORY_PJ_PER_BIT,
    PROJECTING,
    SEARCHED,
    TRAINING,
    Capture,
    NumberBits,
    Trainable,
)

EXIT_BAD_INPUT = 2

P = ParamSpec("P")

ModelOption = Annotated[
    str, typer.Option("--model", help="Factory of the network, as package.module:factory.")
]
ModelArgsOption = Annotated[
    str | None, typer.Option("--model-args", help="Keyword arguments of the factory, as JSON.")
]
MemoryOption = Annotated[
    str, typer.Option("--memory", help=f"For the energy: {', '.join(MEMORY_PJ_PER_BIT)}.")
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="State dict: .safetensors, .pt or .pth.")
]
LeafOption = Annotated[
    list[str] | None,
    typer.Option("--leaf", help="Module path to trace around; may be given several times."),
]
CaptureOption = Annotated[
    Capture, typer.Option("--capture", help="auto exports what torch.fx cannot trace.")
]
AnySizeOption = Annotated[
    bool,
    typer.Option(
        "--any-size", help="Capture the network for other heights and widths too, and check that."
    ),
]
DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        help="fashion-mnist, fashion-mnist-subset, cifar10, imagefolder:PATH, hf:NAME or "
        "package.module:factory.",
    ),
]
InputOption = Annotated[
    str | None, typer.Option("--input", help="Shape of one image, such as 3x224x224.")
]
MeanOption = Annotated[
    str | None,
    typer.Option(
        "--mean",
        help="Of an image folder, per channel: 0.485,0.456,0.406 if 3, or 0.5. Or model: mean and "
        "std as the network's own configuration says (timm, torchvision).",
    ),
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
UnlabelledOption = Annotated[
    bool,
    typer.Option(
        "--unlabelled",
        help="Images of a folder have no classes: they lie in PATH, or in its train and test. "
        "Agreement with the float network is told instead of accuracy.",
    ),
]
PlanOption = Annotated[
    Path | None,
    typer.Option("--plan", help="Press this plan.json as it is; no search, no training."),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="Of torch's data from a factory: classification, multilabel:LABELS, "
        "segmentation:CLASSES, regression, dense-regression[:PEAK] or package.module:factory.",
        show_default="classification",
    ),
]
WorkersOption = Annotated[
    int, typer.Option("--workers", min=0, max=256, help="Threads that read images ahead.")
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
StepsOption = Annotated[int, typer.Option("--steps", min=1, help="Tuning steps.")]
BatchSizeOption = Annotated[int, typer.Option("--batch-size", min=1, help="Images per step.")]
RateOption = Annotated[
    float, typer.Option("--lr-scale", help="Factor of all learning rates; less if it diverges.")
]
LabelWeightOption = Annotated[
    float,
    typer.Option(
        "--label-weight", help="Of the labels' own loss, beside the float network's predictions."
    ),
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
WorkingOption = Annotated[
    int,
    typer.Option(
        "--working-mib", min=1, help="Memory for values of images while a network is searched."
    ),
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
            where = "" if error.filename is None else f": {error.filename}; check the path"
            complain(f"error: {error.strerror or error}{where}")
            raise typer.Exit(EXIT_BAD_INPUT) from error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = (str(error).splitlines() or ["MemoryError"])[0]
            complain(f"error: not enough memory: {reason}; give smaller inputs or batches")
            raise typer.Exit(EXIT_BAD_INPUT) from error
        except KeyboardInterrupt:
            complain("interrupted; nothing was written")
            raise typer.Exit(EXIT_INTERRUPTED) from None

    return run


def alone(command: Callable[P, None]) -> Callable[P, None]:
    """Refuse to be one of several processes that would all do the same."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        check_alone()
        command(*args, **kwargs)

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


def complain_of_plan(budget: object) -> None:
    """Say so where a budget is given beside a plan."""
    if budget:
        complain("the plan is pressed as it is, whatever --budget says")


def warn_of_unused(method: str, block: int | None, train: Trainable) -> None:
    """Say so where a method does not do what an option asks for."""
    if method not in PROJECTING and block is not None:
        complain(f"{method} projects nothing, so --block does nothing")
    if method not in TRAINING and train is not Trainable.PROJECTIONS:
        complain(f"{method} trains nothing, so --train does nothing")
    elif method not in PROJECTING and train is Trainable.DECODER:
        complain(f"{method} has no decoders; its steps are trained instead")


def check_codecs(transforms: Collection[str] | None, parameter_bits: int) -> None:
    """Refuse transforms that no search tries, and sizes that no number of a projection has.

    Raises:
        RunError: there is one; says what there is.
    """
    for name in transforms or ():
        check_choice("--transform", name, SEARCHED)
    check_choice("--parameter-bits", parameter_bits, tuple(map(int, NumberBits)))


def check_choice(option: str, got: object, names: Collection[object]) -> None:
    """Refuse what is none of some names.

    Raises:
        RunError: it is not; says what there is.
    """
    if got not in names:
        raise RunError(
            f"{option} {got}: there is no such choice; expected {', '.join(map(str, names))}"
        )
