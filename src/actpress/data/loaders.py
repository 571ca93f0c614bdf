"""torch's own `Dataset` and `DataLoader` as data: items are read by position, whatever the size."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import data as torch_data

from actpress.data.dataset import CHUNK, Dataset, Split
from actpress.data.form import Form, described
from actpress.errors import DataError
from actpress.tasks import CLASSIFICATION, Classification, Task

TorchData = torch_data.Dataset[Any] | torch_data.DataLoader[Any]
"""What `from_torch` takes: a data set that is read by position, or a loader of one."""

APART = 10
"""One in so many training images is held out, and another tested on, where none are given."""

ORDER_SEED = 0
TRIED = 8
"""Items that must have the labels which the `targets` of a data set name."""


@dataclass(frozen=True)
class Items:
    """Some items of a map-style data set, collated when they are asked for.

    Attributes:
        dataset: read by position.
        collate: a list of items -> a batch.
        form: of every batch.
        task: that targets are of.
        positions: in the data set, shape (n,), int64.
        name: of the split, for messages.
    """

    dataset: Any
    collate: Callable[[list[Any]], Any]
    form: Form
    task: Task
    positions: Tensor
    name: str

    def __len__(self) -> int:
        return len(self.positions)

    def load(self, indices: Tensor) -> Tensor:
        """See `ImageSource.load`.

        Raises:
            DataError: an item cannot be read, or a batch has another form than the first.
        """
        return self._batch(indices)[0]

    def load_pairs(self, indices: Tensor) -> tuple[Tensor, Any]:
        """See `PairSource.load_pairs`.

        Raises:
            DataError: as of `load`, or targets are not of the task.
        """
        images, batch, where = self._batch(indices)
        return images, self.form.target(batch, self.task, where)

    def at(self, positions: Tensor) -> "Items":
        """Other items of the same data set."""
        return replace(self, positions=positions)

    def split(self) -> Split:
        """The items as a split; of classification with all labels, else read with their images.

        Raises:
            DataError: the first target is not of the task.
        """
        if self.form.label is None:
            return Split.unlabelled(self)
        if isinstance(self.task, Classification):
            return Split(self, self.labels())
        self.load_pairs(torch.zeros(1, dtype=torch.int64))
        return Split(self, None)

    def labels(self) -> Tensor:
        """Class indices (n,), int64.

        They are taken from the `targets` of the data set where it has them, as torchvision's have,
        and items agree; else every item is read once.
        """
        known = _targets(self.dataset)
        tried = torch.linspace(0, len(self) - 1, min(TRIED, len(self))).long()
        if known is not None and known[self.positions[tried]].equal(self._labels(tried)):
            return known[self.positions]
        return torch.cat([self._labels(some) for some in torch.arange(len(self)).split(CHUNK)])

    def _labels(self, indices: Tensor) -> Tensor:
        labels: Tensor = self.load_pairs(indices)[1]
        return labels

    def _batch(self, indices: Tensor) -> tuple[Tensor, Any, str]:
        positions = self.positions[indices].tolist()
        batch = _collated(self.dataset, self.collate, positions, self.name)
        where = f"items {', '.join(map(str, positions[:3]))} of {self.name}"
        images = self.form.images(batch, where)
        if len(images) != len(positions):
            raise DataError(
                f"{len(positions)} items of {self.name} are collated to {len(images)} images; "
                f"expected one image for each item"
            )
        return images, batch, where


def from_torch(
    train: TorchData,
    *,
    holdout: TorchData | None = None,
    test: TorchData | None = None,
    task: Task = CLASSIFICATION,
    name: str = "",
    image_key: str | None = None,
    label_key: str | None = None,
) -> Dataset:
    """A data set of torch's own: batches of (images, targets), of images alone, or dicts of them.

    Of a loader its data set and its way to collate are used; batches, order and workers are not.
    Items are read by position when they are needed, so that memory does not grow with their number.
    Without targets (images alone) divergence and agreement take the place of the metric. Where
    `holdout` or `test` is missing, a tenth of the training images each is set apart by a fixed
    seed, and told in a warning.

    Args:
        train: feeds calibration and tuning; taken in an order that a fixed seed mixes.
        holdout: training images that nothing is trained on.
        test: opened only to evaluate.
        task: what targets and the network's output mean.
        name: for reports; that of the class by default.
        image_key: of items that are dicts, where it is not a usual one.
        label_key: likewise.

    Raises:
        DataError: data cannot be read by position, or batches change form; targets are not of the
            task, or some splits have labels and others none.
    """
    given = {"train": train, "holdout": holdout, "test": test}
    found = {
        part: _items(part, each, task, (image_key, label_key))
        for part, each in given.items()
        if each is not None
    }
    labelled = {part for part, items in found.items() if items.form.label is not None}
    if labelled and labelled != set(found):
        raise DataError(
            f"{', '.join(sorted(labelled))} has labels, "
            f"{', '.join(sorted(set(found) - labelled))} has none; expected them everywhere or "
            f"nowhere"
        )
    splits = {part: items.split() for part, items in _all_parts(found).items()}
    data = Dataset(
        name or type(found["train"].dataset).__name__,
        splits["train"],
        splits["holdout"],
        splits["test"],
        classes=_classes(splits.values(), task),
        task=task,
    )
    data.check_images("test", data.test)  # now, and not after hours of tuning
    return data


def _classes(splits: Iterable[Split], task: Task) -> int:
    """How many classes labels name; 0 where there are none."""
    if not isinstance(task, Classification):
        return 0
    known = [split.labels for split in splits if split.is_labelled]
    return max((int(labels.max()) + 1 for labels in known if labels is not None), default=0)


def _all_parts(found: dict[str, Items]) -> dict[str, Items]:
    """The three splits; those that are missing are cut off the training images."""
    missing = [part for part in ("holdout", "test") if part not in found]
    train = found["train"]
    order = mixed(len(train))
    apart = max(len(train) // APART, 1)
    if len(train) <= apart * len(missing):
        raise DataError(
            f"{len(train)} training images are too few to set some apart; give "
            f"{' and '.join(missing)} too"
        )
    cut = {part: order[at * apart : (at + 1) * apart] for at, part in enumerate(missing)}
    if missing:
        tested = ", which the network may have been trained on" if "test" in missing else ""
        warnings.warn(
            f"no {' and no '.join(missing)} images are given: {apart:,} of the {len(train):,} "
            f"training images each are set apart for that, by a fixed seed{tested}",
            stacklevel=1,
        )
    parts = {"train": train.at(order[apart * len(missing) :])}
    parts |= {part: train.at(positions) for part, positions in cut.items()}
    if "holdout" in found:
        parts["holdout"] = found["holdout"].at(mixed(len(found["holdout"])))
    return found | parts


def mixed(count: int) -> Tensor:
    """Positions 0 to count - 1 in an order of a fixed seed, shape (count,), int64."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(ORDER_SEED))


def _items(part: str, data: TorchData, task: Task, keys: tuple[str | None, str | None]) -> Items:
    collate: Callable[[list[Any]], Any] = torch_data.default_collate
    dataset: Any = data
    if isinstance(data, torch_data.DataLoader):
        dataset = data.dataset
        _check_loader(part, data)
        collate = data.collate_fn
    by_position = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if isinstance(dataset, torch_data.IterableDataset) or not by_position:
        raise DataError(
            f"{part} is a {type(dataset).__name__}, which is not read by position and has no "
            f"length; expected a data set with __getitem__ and __len__"
        )
    if not len(dataset):
        raise DataError(f"{part} has no items; expected at least one")
    first = _collated(dataset, collate, [0], part)
    form = Form.of(first, image_key=keys[0], label_key=keys[1], name=part)
    return Items(dataset, collate, form, task, torch.arange(len(dataset)), part)


def _check_loader(part: str, loader: torch_data.DataLoader[Any]) -> None:
    """Refuse a loader that yields something else than all items of its data set."""
    if isinstance(loader.dataset, torch_data.IterableDataset):
        return  # refused with its own reason
    if type(loader.batch_sampler) is not torch_data.BatchSampler:
        raise DataError(
            f"the loader of {part} makes batches by its own rule; give its data set, or a loader "
            f"with batch_size"
        )
    sampler = loader.sampler
    whole = isinstance(sampler, torch_data.SequentialSampler) or (
        isinstance(sampler, torch_data.RandomSampler)
        and not sampler.replacement
        and sampler.num_samples == len(sampler.data_source)
    )
    if not whole:
        raise DataError(
            f"the loader of {part} draws its items with a {type(sampler).__name__}; give a "
            f"torch.utils.data.Subset of those that are meant"
        )


def _collated(
    dataset: Any, collate: Callable[[list[Any]], Any], positions: Sequence[int], name: str
) -> Any:
    """A batch of some items.

    Raises:
        DataError: an item cannot be read or has another form, or they cannot be collated.
    """
    items = [_item(dataset, position, name) for position in positions]
    forms = [described(item) for item in items]
    odd = next((at for at, form in enumerate(forms) if form != forms[0]), None)
    if odd is not None:
        raise DataError(
            f"item {positions[odd]} of {name} is {forms[odd]}, item {positions[0]} is {forms[0]}; "
            f"expected one form throughout"
        )
    try:
        return collate(items)
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(
            f"items {', '.join(map(str, positions[:3]))} of {name} cannot be made one batch: "
            f"{_first_line(error)}; expected tensors of one shape"
        ) from error


def _item(dataset: Any, position: int, name: str) -> Any:
    try:
        return dataset[position]
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(
            f"item {position} of {name} cannot be read: {_first_line(error)}; mend or leave it out"
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}"


def _targets(dataset: Any) -> Tensor | None:
    """What a data set names as the labels of all its items, without reading them."""
    if isinstance(dataset, torch_data.Subset):
        whole = _targets(dataset.dataset)
        return None if whole is None else whole[torch.as_tensor(dataset.indices)]
    try:
        targets = torch.as_tensor(getattr(dataset, "targets", None))
    except (TypeError, ValueError, RuntimeError):
        return None
    fits = targets.shape == (len(dataset),) and targets.dtype in {torch.int64, torch.int32}
    return targets.long() if fits else None
