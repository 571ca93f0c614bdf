"""How files become what a network takes, and what else data cannot tell by itself."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import ClassVar

from actpress.errors import DataError

OF_MODEL = "model"
"""Instead of a mean: what the network's own configuration says."""


@dataclass(frozen=True)
class Preparation:
    """What data cannot tell by itself; None takes the default of each.

    Images of a folder or of `hf:NAME` have mean and std, a folder classes and `unlabelled` too, and
    torch's data from a factory a task.

    Raises:
        DataError: mean or std is not finite.

    Attributes:
        mean: per channel, on the scale [0, 1], or one for all.
        std: likewise, greater than zero.
        classes: names of class folders in the order of the network's outputs; there may be names
            without a folder.
        unlabelled: images lie in the folder itself, or in `train` and `test`, and have no classes.
        task: what targets and outputs mean, see `actpress.tasks.named.task_of`.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # where it is read, as part of a `Source`

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    unlabelled: bool = False
    task: str | None = None

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and not all(map(isfinite, values)):
                raise DataError(f"{name} is {values}; expected finite numbers on the scale [0, 1]")
        if self.unlabelled and self.classes is not None:
            raise DataError("--unlabelled images have no classes; leave --classes out")

    @classmethod
    def parse(
        cls,
        mean: str | None,
        std: str | None,
        classes: str | None,
        *,
        unlabelled: bool = False,
        task: str | None = None,
    ) -> "Preparation | None":
        """Read what a user typed; None where nothing was.

        Args:
            mean: numbers between commas.
            std: likewise.
            classes: names between commas, or the path of a text file with one name a line.
            unlabelled: whether images have no classes.
            task: as it is.

        Raises:
            DataError: no numbers, or no names.
        """
        if mean is std is classes is task is None and not unlabelled:
            return None
        return cls(
            mean=_numbers("--mean", mean),
            std=_numbers("--std", std),
            classes=_names(classes),
            unlabelled=unlabelled,
            task=task,
        )

    @property
    def is_of_files(self) -> bool:
        """Whether it says how the files of images are read."""
        return (self.mean, self.std, self.classes, self.unlabelled) != (None, None, None, False)


def is_of_model(mean: str | None, std: str | None) -> bool:
    """Whether what a user typed as mean asks for mean and std of the network's configuration.

    Raises:
        DataError: only one of them is to be that of the configuration.
    """
    if OF_MODEL not in (mean, std):
        return False
    if std is not None:
        raise DataError(
            f"--mean {mean} --std {std}: --mean {OF_MODEL} takes both mean and std from the "
            f"network's configuration; give it alone, or give numbers for both"
        )
    return True


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise DataError(
            f"cannot read {option} {text!r}; expected one number, or one per channel between "
            f"commas, on the scale [0, 1], as in 0.485,0.456,0.406"
        ) from error


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    found = _lines(text) or text.split(",")
    names = tuple(name.strip() for name in found if name.strip())
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataError(
            f"--classes {text} names {len(names)} classes, {len(set(names))} of them different; "
            f"expected at least two names between commas, or a text file with one a line"
        )
    return names


def _lines(text: str) -> list[str]:
    """Lines of the file of that name; none where there is no such file, or it is empty."""
    try:
        path = Path(text).expanduser()
        return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except UnicodeDecodeError as error:
        raise DataError(f"--classes {text} is no text file: {error}; give other names") from error
    except (OSError, RuntimeError) as error:
        if "," in text:  # too long for a name, or the home of somebody unknown
            return []
        raise DataError(f"cannot read --classes {text}: {error}; give other names") from error
