"""Data sets of Hugging Face by name (`hf:NAME`), through `datasets` where it is installed.

NAME is that of a data set which the library finds, by itself or on the hub, or the folder of one
that `save_to_disk` wrote. `NAME@CONFIG` names a configuration. Where the hub cannot be reached, or
HF_HUB_OFFLINE is set, what is on disk is taken.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actpress.data.dataset import Dataset, Split
from actpress.data.imagefile import fitted
from actpress.data.imagefolder import (
    HOLDOUT_STRIDE,
    ORDER_SEED,
    check_normalisation,
    check_size,
    default_normalisation,
    listed,
    normalised,
)
from actpress.errors import DataError

TESTED = ("test", "validation", "valid", "val", "dev")
"""Names of the split that is tested on, the first that is there."""


@dataclass(frozen=True)
class ArrowImages:
    """Rows of a data set whose images are decoded when they are asked for.

    Attributes:
        rows: of `datasets`, by position.
        column: that holds the images.
        positions: of the images among the rows, shape (n,), int64.
        size: (c, h, w) that images are scaled to, as of a folder of images.
        mean: one value per channel, or one for all.
        std: likewise.
        name: of the split, for messages.
    """

    rows: Any
    column: str
    positions: Tensor
    size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str

    def __len__(self) -> int:
        return len(self.positions)

    def load(self, indices: Tensor) -> Tensor:
        """See `ImageSource.load`.

        Raises:
            DataError: an image is broken; says which one.
        """
        images = [self._image(position) for position in self.positions[indices].tolist()]
        return normalised(torch.stack(images), self.mean, self.std)

    def _image(self, position: int) -> Tensor:
        where = f"image {position} of {self.name}"
        try:
            image = self.rows[position][self.column]
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"cannot read {where}: {error}; leave it out") from error
        return fitted(image, self.size, where)


def load_hugging_face(
    name: str,
    *,
    size: tuple[int, int, int],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Dataset:
    """Open a data set of images and classes; a tenth of its training split is held out by a seed.

    Args:
        name: see above.
        size: (c, h, w) of the network's input, c = 1 or 3.
        mean: per channel, on the scale [0, 1]; as of an image folder if None.
        std: likewise.

    Raises:
        DataError: `datasets` is not installed, there is no such data set, or it has no images,
            classes, or split to test on.
    """
    check_size(size)
    default_mean, default_std = default_normalisation(size[0])
    centre, scale = tuple(mean or default_mean), tuple(std or default_std)
    check_normalisation(size[0], centre, scale)
    splits = _opened(name)
    if "train" not in splits:
        raise DataError(f"hf:{name} has the splits {', '.join(splits)}; expected train among them")
    image, label = _columns(name, splits["train"].features)
    classes = tuple(splits["train"].features[label].names)
    tested = next((s for s in TESTED if _is_labelled(splits.get(s), image, label)), None)
    if tested is None:
        raise DataError(
            f"hf:{name} has the splits {', '.join(splits)}, of which none but train has images and "
            f"labels; expected them in {', '.join(TESTED[:-1])} or {TESTED[-1]}"
        )

    def split(part: str, positions: Sequence[int]) -> Split:
        rows, chosen = splits[part], torch.tensor(positions, dtype=torch.int64)
        labels = torch.tensor(_labels(name, rows, part, label))[chosen]
        source = ArrowImages(rows, image, chosen, size, centre, scale, f"hf:{name}, {part}")
        return Split(source, labels)

    order = list(range(len(splits["train"])))
    random.Random(ORDER_SEED).shuffle(order)  # noqa: S311 an order, not a secret
    apart = max(len(order) // HOLDOUT_STRIDE, 1)
    return Dataset(
        f"hf:{name}",
        split("train", order[apart:]),
        split("train", order[:apart]),
        split(tested, range(len(splits[tested]))),
        len(classes),
        class_names=classes,
        prepared=f"images normalised by mean {listed(centre)} and std {listed(scale)}",
    )


def _is_labelled(rows: Any, image: str, label: str) -> bool:
    """Whether a split has both columns, and does not hide its labels (-1, or nothing)."""
    if rows is None or not {image, label} <= set(rows.features):
        return False
    return all(known is not None and known >= 0 for known in rows[label][:])


def _labels(name: str, rows: Any, part: str, label: str) -> list[int]:
    """Of a split.

    Raises:
        DataError: an image has none.
    """
    labels = list(rows[label][:])
    for position, known in enumerate(labels):
        if known is None or known < 0:
            raise DataError(f"image {position} of hf:{name}, {part}, has no label; leave it out")
    return labels


def _opened(name: str) -> Mapping[str, Any]:
    """The splits of a data set by name."""
    try:
        import datasets  # noqa: PLC0415 - optional, and slow to load
    except ImportError as error:
        raise DataError(f"hf:{name} needs the package datasets; pip install '.[hf]'") from error
    spec, _, config = name.partition("@")
    spec = str(Path(spec).expanduser())
    try:
        if (Path(spec) / "dataset_dict.json").is_file():
            found = datasets.load_from_disk(spec)
        else:
            found = datasets.load_dataset(spec, config or None)
    except Exception as error:
        raise DataError(
            f"cannot open hf:{name}: {type(error).__name__}: "
            f"{(str(error).splitlines() or ['no reason given'])[0]}; check the name, or give the "
            f"folder that save_to_disk wrote"
        ) from error
    return dict(found)


def _columns(name: str, features: Mapping[str, Any]) -> tuple[str, str]:
    """The columns of images and of classes, by what they hold."""
    kinds = {column: type(feature).__name__ for column, feature in features.items()}
    image = next((column for column, kind in kinds.items() if kind == "Image"), None)
    label = next((column for column, kind in kinds.items() if kind == "ClassLabel"), None)
    if image is None or label is None:
        listed_kinds = ", ".join(f"{column} ({kind})" for column, kind in kinds.items())
        raise DataError(
            f"hf:{name} has the columns {listed_kinds}; expected one of images and one of class "
            f"labels; give a factory (package.module:factory) for other data"
        )
    return image, label
