"""torch's own Dataset and DataLoader as data."""

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data import Dataset as TorchDataset

from actpress.api import compress, opened
from actpress.data import from_torch, load_dataset
from actpress.data.dataset import Dataset, Split
from actpress.errors import BudgetError, DataError, TuningError
from actpress.methods import Settings
from actpress.tasks import CLASSIFICATION, UNLABELLED
from actpress.tune import TuneSettings

SMALL = Settings(
    calibration_images=64,
    search_images=16,
    decoder_images=32,
    holdout_images=32,
    tune=TuneSettings(steps=2, batch_size=16, validate_every=2, validation_images=16),
)


class Items(TorchDataset[Any]):
    """Items that a function makes; counts which are read."""

    def __init__(self, make: Any, count: int = 40, **attributes: Any) -> None:
        self.make, self.count, self.read = make, count, Counter[int]()
        vars(self).update(attributes)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.count:
            raise IndexError(index)
        self.read[index] += 1
        return self.make(index)


def image(index: int) -> Tensor:
    return torch.full((1, 4, 4), float(index))


def pair(index: int) -> tuple[Tensor, int]:
    return image(index), index % 3


def named(index: int) -> dict[str, Any]:
    return {"image": image(index), "label": index % 3, "path": f"{index}.png"}


def values(split: Split) -> list[int]:
    """Which items of the data set a split holds, in its order."""
    return [int(x) for images, _ in split.batches(7) for x in images[:, 0, 0, 0]]


def quietly(*args: Any, **kwargs: Any) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return from_torch(*args, **kwargs)


@pytest.mark.parametrize("make", [pair, named, lambda i: list(pair(i))])
@pytest.mark.parametrize("loaded", [False, True])
def test_labels_stay_with_their_images(make: Any, *, loaded: bool) -> None:
    items = Items(make)
    given = DataLoader(items, batch_size=8, shuffle=True, drop_last=True) if loaded else items
    data = quietly(given)

    assert data.task is CLASSIFICATION
    assert data.classes == 3
    parts = [data.train, data.holdout, data.test]
    assert [len(part) for part in parts] == [32, 4, 4]
    assert sorted(value for part in parts for value in values(part)) == list(range(40))
    for part in parts:
        assert part.labels.tolist() == [value % 3 for value in values(part)]
    assert values(data.train) != sorted(values(data.train))  # classes in order would mislead
    assert values(quietly(Items(make)).train) == values(data.train)


def test_what_is_set_apart_is_told() -> None:
    with pytest.warns(UserWarning, match="no holdout and no test images are given: 4 of the 40 "):
        from_torch(Items(pair))
    with pytest.warns(UserWarning, match="no holdout images are given: 4 of the 40 training image"):
        data = from_torch(Items(pair), test=Items(pair, 9))
    assert values(data.test) == list(range(9))
    assert len(data.train) == 36


def test_given_splits_are_taken_whole_and_nothing_is_told() -> None:
    data = from_torch(Items(pair, 12), holdout=Items(pair, 6), test=Items(pair, 5), name="mine")
    assert data.name == "mine"
    assert sorted(values(data.train)) == list(range(12))
    assert sorted(values(data.holdout)) == list(range(6))
    assert values(data.test) == list(range(5))


@pytest.mark.parametrize(
    "make", [image, lambda i: (image(i),), lambda i: {"pixel_values": image(i)}]
)
def test_images_alone_are_unlabelled(make: Any) -> None:
    data = quietly(Items(make))
    assert data.task == UNLABELLED
    assert not data.is_labelled
    assert data.classes == 0
    assert data.train.labels.shape == (32, 0)
    assert data.test.take(3).labels.shape == (3, 0)
    assert sorted(values(data.train) + values(data.holdout) + values(data.test)) == list(range(40))


def test_keys_can_be_named() -> None:
    def make(index: int) -> dict[str, Any]:
        return {"scan": image(index), "finding": index % 2, "label": index % 3}

    data = quietly(Items(make), image_key="scan", label_key="finding")
    assert data.train.labels.tolist() == [value % 2 for value in values(data.train)]
    with pytest.raises(
        DataError, match=r"a batch of train is a dict of scan.*name other keys with"
    ):
        quietly(Items(make))
    with pytest.raises(DataError, match="labels under absent"):
        quietly(Items(make), image_key="scan", label_key="absent")


def test_a_million_images_are_neither_read_nor_kept() -> None:
    items = Items(image, 1_000_000)
    data = from_torch(items, holdout=Items(image, 8), test=Items(image, 8))
    list(data.train.take(50).batches(10))
    assert sum(items.read.values()) < 70
    assert len(data.train) == 1_000_000


def test_targets_are_taken_without_reading_items() -> None:
    items = Items(pair, 5000, targets=[index % 3 for index in range(5000)])
    data = quietly(items)
    assert len(items.read) < 50
    assert data.holdout.labels.tolist() == [value % 3 for value in values(data.holdout)]


def test_targets_of_a_subset_are_those_of_its_items() -> None:
    items = Items(pair, 5000, targets=[index % 3 for index in range(5000)])
    data = quietly(Subset(items, list(range(0, 5000, 7))))
    assert len(items.read) < 50
    assert data.test.labels.tolist() == [value % 3 for value in values(data.test)]


def test_targets_that_items_contradict_are_not_believed() -> None:
    data = quietly(Items(pair, targets=[0] * 40))
    assert data.train.labels.tolist() == [value % 3 for value in values(data.train)]


def test_a_loader_collates_in_its_own_way() -> None:
    def collate(items: list[tuple[Tensor, int]]) -> dict[str, Tensor]:
        images = torch.stack([x for x, _ in items]) / 2
        return {"x": images, "y": torch.tensor([label for _, label in items])}

    data = quietly(DataLoader(Items(pair), batch_size=4, collate_fn=collate))
    images, labels = next(data.test.batches(1))
    assert int(2 * images[0, 0, 0, 0]) % 3 == int(labels)


def changing(index: int) -> Any:
    return pair(index) if index < 20 else image(index)


def growing(index: int) -> Any:
    return torch.zeros(1, 4, 4 + (index >= 20)), 0


def breaking(index: int) -> Any:
    if index == 7:
        raise ValueError("truncated file\nin two lines")
    return pair(index)


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        yield from map(image, range(40))


class Endless(TorchDataset[Any]):
    def __getitem__(self, index: int) -> Tensor:
        return image(index)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            Items(changing),
            "of train is a (Tensor|tuple of 2), item .* expected one form throughout",
        ),
        (Items(growing), "cannot be made one batch: RuntimeError: stack expects each tensor"),
        (Items(breaking), "item 7 of train cannot be read: ValueError: truncated file; mend"),
        (Items(pair, 0), "train has no items"),
        (Items(pair, 2), "2 training images are too few to set some apart; give holdout and test"),
        (Items(lambda i: (image(i), 0.5)), "labels of items .* are torch.float64 of shape"),
        (Items(lambda i: (image(i), 1, 2)), "a batch of train is a tuple of 3; expected"),
        (Items(lambda i: (i, 1)), r"expected float32 \(n, c, \.\.\.\)"),
        (Items(lambda _: "file.png"), "the images of train are a str; expected a tensor"),
        (Items(lambda _: object()), "cannot be made one batch: TypeError"),
        (Stream(), "train is a Stream, which is not read by position and has no length"),
        (DataLoader(Stream()), "train is a Stream, which is not read by position"),
        (Endless(), "train is a Endless, which is not read by position"),
        (DataLoader(Items(pair), batch_size=None), "makes batches by its own rule"),
        (
            DataLoader(Items(pair), sampler=WeightedRandomSampler([1.0] * 40, 40)),
            "draws its items with a WeightedRandomSampler; give a torch.utils.data.Subset",
        ),
        (
            DataLoader(Items(pair), sampler=RandomSampler(range(40), num_samples=10)),
            "draws its items with a RandomSampler",
        ),
    ],
)
def test_what_cannot_be_taken_gets_one_line(given: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        quietly(given)
    assert "\n" not in str(caught.value)


def test_a_collation_that_changes_its_form_is_refused() -> None:
    def collate(items: list[Tensor]) -> Any:
        images = torch.stack(items)
        return images if len(items) < 4 else (images, torch.zeros(len(items), dtype=torch.int64))

    data = quietly(DataLoader(Items(image), collate_fn=collate))
    with pytest.raises(DataError, match="come as a tuple of 2, earlier ones as a Tensor"):
        data.train.load(torch.arange(4))


def test_images_that_a_collation_pads_are_refused() -> None:
    def collate(items: list[Tensor]) -> Tensor:
        return torch.zeros(len(items), 1, 4, 4 if len(items) < 4 else 5)

    data = quietly(DataLoader(Items(image), collate_fn=collate))
    with pytest.raises(DataError, match=r"are \(1, 4, 5\), earlier ones \(1, 4, 4\); expected one"):
        data.train.load(torch.arange(4))


def test_labels_of_some_splits_alone_are_refused() -> None:
    with pytest.raises(DataError, match="test has labels, holdout, train has none"):
        from_torch(Items(image), holdout=Items(image), test=Items(pair))
    with pytest.raises(
        DataError, match=r"mine, test split, is torch.float32 of shape \(1, 1, 5, 5"
    ):
        from_torch(
            Items(image),
            holdout=Items(image),
            test=Items(lambda _: torch.ones(1, 5, 5)),
            name="mine",
        )
    labelled = Split.in_memory(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))
    bare = Split.unlabelled(labelled.source)
    with pytest.raises(DataError, match="of mixed some splits have labels and others none"):
        Dataset("mixed", labelled, labelled, bare, 2)


def test_splits_beside_a_data_set_that_has_them_are_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="tiny has its own holdout and test splits"):
        opened(dataset, None, Items(pair))
    with pytest.raises(DataError, match="data is a list; expected an actpress"):
        opened([1], None, None)  # type: ignore[arg-type]


def test_a_factory_may_return_a_loader(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_loader_module.py").write_text(
        "import torch\nfrom torch.utils.data import DataLoader, TensorDataset\n\n\ndef images():\n"
        "    x = torch.arange(30.0).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)\n"
        "    return DataLoader(TensorDataset(x, torch.arange(30) % 2), batch_size=3)\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="3 of the 30 training images each are set apart"):
        data = load_dataset("own_loader_module:images", input_shape=(1, 4, 4))
    assert data.name == "own_loader_module:images"
    assert data.test.labels.tolist() == [value % 2 for value in values(data.test)]


def tensors(split: Split, *, labelled: bool) -> TensorDataset:
    images, labels = next(split.batches(len(split)))
    return TensorDataset(images, labels) if labelled else TensorDataset(images)


def torch_parts(data: Dataset, *, labelled: bool) -> list[DataLoader[Any]]:
    splits = (data.train, data.holdout, data.test)
    return [DataLoader(tensors(each, labelled=labelled), batch_size=10) for each in splits]


def test_a_loader_is_compressed_as_the_same_data_are(
    model: torch.nn.Module, dataset: Dataset
) -> None:
    train, holdout, test = torch_parts(dataset, labelled=True)
    own = compress(
        model, train, holdout=holdout, test=test, method="gdr", budget="3bits", settings=SMALL
    ).metrics
    order = from_torch(train, holdout=holdout, test=test)
    same = Dataset("TensorDataset", order.train, order.holdout, dataset.test, 4)
    there = compress(model, same, method="gdr", budget="3bits", settings=SMALL).metrics
    assert own.metric == "accuracy"
    assert (own.accuracy, own.float_accuracy) == (there.accuracy, there.float_accuracy)
    assert own.bits_per_value == there.bits_per_value
    assert "metric" not in own.model_dump(mode="json")


@pytest.mark.parametrize("method", ["gdr", "cap"])
def test_without_labels_agreement_stands_for_accuracy(
    model: torch.nn.Module, dataset: Dataset, method: str
) -> None:
    train, holdout, test = torch_parts(dataset, labelled=False)
    result = compress(
        model, train, holdout=holdout, test=test, method=method, budget="2bits", settings=SMALL
    )
    images, _ = next(dataset.test.batches(len(dataset.test)))
    with torch.no_grad():
        same = (model(images).argmax(1) == result.model(images).argmax(1)).double().mean()
    metrics = result.metrics
    assert metrics.metric == "agreement"
    assert metrics.accuracy == metrics.agreement == pytest.approx(float(same))
    assert metrics.float_accuracy == 1
    assert metrics.accuracy_drop_pp == pytest.approx(100 * (1 - float(same)))
    assert metrics.guessing_accuracy is None
    assert metrics.model_validate_json(metrics.model_dump_json()) == metrics


def test_the_search_is_the_same_with_and_without_labels(
    model: torch.nn.Module, dataset: Dataset
) -> None:
    """Nothing but the metric reads labels."""
    found = []
    for labelled in (True, False):
        train, holdout, test = torch_parts(dataset, labelled=labelled)
        found.append(
            compress(
                model,
                train,
                holdout=holdout,
                test=test,
                method="cap",
                budget="2bits",
                settings=SMALL,
            ).metrics
        )
    assert found[0].sites == found[1].sites
    assert found[0].agreement == found[1].agreement


def test_what_needs_labels_says_what_to_ask_instead(
    model: torch.nn.Module, dataset: Dataset
) -> None:
    train, holdout, test = torch_parts(dataset, labelled=False)
    with pytest.raises(BudgetError, match=r"has no labels, so a drop of accuracy .* such as 1bits"):
        compress(model, train, holdout=holdout, test=test, budget="0.5pp", settings=SMALL)
    weighed = Settings(tune=TuneSettings(steps=2, task=0.5))
    with pytest.raises(
        TuningError, match=r"has no labels, but the weight .* is 0.5; leave it at 0"
    ):
        compress(model, train, holdout=holdout, test=test, budget="2bits", settings=weighed)
