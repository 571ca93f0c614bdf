"""What a batch of torch's loaders holds: images alone, a pair with labels, or a dict of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from actpress.errors import DataError
from actpress.tasks import Task
from actpress.tasks.nest import described as in_words

IMAGE_KEYS = ("image", "images", "img", "pixel_values", "x", "input")
LABEL_KEYS = ("label", "labels", "target", "targets", "y")
EXPECTED = "expected (images, labels), images alone, or a dict of them"


@dataclass(frozen=True)
class Form:
    """Where images and labels are in a batch.

    Attributes:
        words: the form, such as `a tuple of 2`.
        image: position or key; None for a batch that is the images.
        label: likewise; None where there are no labels.
        shape: of one image.
    """

    words: str
    image: int | str | None
    label: int | str | None
    shape: tuple[int, ...]

    @classmethod
    def of(cls, batch: Any, *, image_key: str | None, label_key: str | None, name: str) -> "Form":
        """The form of a batch.

        Args:
            batch: of one image.
            image_key: of a dict; None takes the first of `IMAGE_KEYS` that it has.
            label_key: likewise, of `LABEL_KEYS`; no such key is no labels.
            name: of the split, for messages.

        Raises:
            DataError: there are no images in it, or more than one knows what to do with.
        """
        image: int | str | None
        label: int | str | None
        image, label = None, None
        if isinstance(batch, Mapping):
            image = _key(batch, image_key, IMAGE_KEYS)
            label = _key(batch, label_key, LABEL_KEYS)
            missing = image is None or (label_key is not None and label is None)
            if missing:
                raise DataError(
                    f"a batch of {name} is {described(batch)}; expected images under "
                    f"{image_key or ', '.join(IMAGE_KEYS)}"
                    + (f" and labels under {label_key}" if label_key else "")
                    + "; name other keys with image_key and label_key of actpress.data.from_torch"
                )
        elif isinstance(batch, Sequence) and not isinstance(batch, str) and len(batch) in {1, 2}:
            image, label = 0, (1 if len(batch) == 2 else None)
        elif not isinstance(batch, Tensor):
            raise DataError(f"a batch of {name} is {described(batch)}; {EXPECTED}")
        images = batch if image is None else batch[image]
        if not isinstance(images, Tensor):
            raise DataError(
                f"the images of {name} are a {type(images).__name__}; expected a tensor"
            )
        return cls(described(batch), image, label, tuple(images.shape[1:]))

    def images(self, batch: Any, where: str) -> Tensor:
        """The images of a batch.

        Args:
            batch: collated.
            where: which items, for messages.

        Raises:
            DataError: the batch has another form, or its images another shape.
        """
        if described(batch) != self.words:
            raise DataError(
                f"{where} come as {described(batch)}, earlier ones as {self.words}; expected one "
                f"form throughout"
            )
        images = batch if self.image is None else batch[self.image]
        if not isinstance(images, Tensor) or tuple(images.shape[1:]) != self.shape:
            shape = tuple(images.shape[1:]) if isinstance(images, Tensor) else type(images).__name__
            raise DataError(
                f"the images of {where} are {shape}, earlier ones {self.shape}; expected one size "
                f"throughout"
            )
        return images

    def target(self, batch: Any, task: Task, where: str) -> Any:
        """The targets of a batch whose form `images` has checked.

        Raises:
            DataError: they are not of the task.
        """
        assert self.label is not None  # a split without labels is never asked for them
        raw = batch[self.label]
        target = task.as_target(raw)
        if target is None:
            raise DataError(
                f"the labels of {where} are {in_words(raw)}; expected {task.target_form}, for "
                f"{task.name}; name another task with task= (actpress.tasks) where they are meant"
            )
        return target


def described(batch: Any) -> str:
    """The form of a batch or an item, in words."""
    if isinstance(batch, Mapping):
        return f"a dict of {', '.join(map(str, batch))}"
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        return f"a tuple of {len(batch)}"
    return f"a {type(batch).__name__}"


def _key(batch: Mapping[str, Any], asked: str | None, usual: Sequence[str]) -> str | None:
    return next((key for key in ((asked,) if asked else usual) if key in batch), None)
