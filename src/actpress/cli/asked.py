"""What `compress` and `sweep` are asked for; checked before torch is loaded."""

from dataclasses import dataclass
from pathlib import Path

from actpress.cli.arguments import check_model, parse_input
from actpress.cli.options import check_choice, check_codecs
from actpress.preparation import Preparation, is_of_model
from actpress.settings import MEMORY_PJ_PER_BIT, Capture, Trainable


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Options of the same names, see `cli/options.py`."""

    model: str
    model_args: str | None
    weights: Path | None
    leaf: list[str] | None
    capture: Capture
    any_size: bool
    data: str
    input_shape: str | None
    mean: str | None
    std: str | None
    classes: str | None
    unlabelled: bool
    task: str | None
    workers: int
    device: str
    memory: str
    steps: int
    batch_size: int
    lr_scale: float
    label_weight: float
    train: Trainable
    mixed_precision: bool | None
    seed: int
    calibration_images: int
    search_images: int
    working_mib: int
    width_steps: int
    groups: int | None
    block: int | None
    transform: list[str] | None
    parameter_bits: int

    def check(self) -> None:
        """Refuse what can be told to be wrong before anything is opened.

        Raises:
            ActpressError: an option cannot be read, or names what there is not.
        """
        check_choice("--memory", self.memory, MEMORY_PJ_PER_BIT)
        check_codecs(self.transform, self.parameter_bits)
        check_model(self.model, self.model_args)
        self.shape()
        self.preparation()

    def shape(self) -> tuple[int, ...] | None:
        """Of one image, where it was given."""
        return None if self.input_shape is None else parse_input(self.input_shape)

    @property
    def is_of_model(self) -> bool:
        """Whether mean and std are those of the network's own configuration."""
        return is_of_model(self.mean, self.std)

    def preparation(self) -> Preparation | None:
        """Of the data, as far as it was given."""
        mean = None if self.is_of_model else self.mean
        return Preparation.parse(
            mean, self.std, self.classes, unlabelled=self.unlabelled, task=self.task
        )
