"""`hf:NAME`: what `datasets` has, read like a folder of images."""

import importlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from actpress.data import load_dataset
from actpress.data.hugging_face import load_hugging_face
from actpress.errors import DataError
from actpress.preparation import Preparation

SIZE = (3, 8, 8)


class ClassLabel:
    names = ("cat", "dog")


class Value:
    pass


Feature = type("Image", (), {})


class Rows:
    """Rows as `datasets` gives them: by position, or a column."""

    def __init__(
        self, count: int, features: dict[str, Any], labels: Sequence[int | None] = (0, 1)
    ) -> None:
        self.count, self.features, self.labels = count, features, labels

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: Any) -> Any:
        if key == "kind":
            return [self.labels[position % len(self.labels)] for position in range(self.count)]
        pixels = np.full((10, 12, 3), 10 * key, dtype=np.uint8)
        return {"photo": Image.fromarray(pixels), "kind": key % 2}


class Library:
    """In the place of `datasets`."""

    def __init__(self, splits: dict[str, Rows]) -> None:
        self.splits, self.asked = splits, list[Any]()

    def load_dataset(self, name: str, config: str | None) -> dict[str, Rows]:
        self.asked.append((name, config))
        if name == "nothing":
            raise FileNotFoundError("Couldn't find 'nothing' on the Hub or in the cache")
        return self.splits

    def load_from_disk(self, folder: str) -> dict[str, Rows]:
        self.asked.append(folder)
        return self.splits


FEATURES = {"kind": ClassLabel(), "photo": Feature()}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    own = Library({"train": Rows(20, FEATURES), "validation": Rows(4, FEATURES)})
    monkeypatch.setitem(sys.modules, "datasets", own)
    return own


def test_images_and_classes_are_read_by_position(library: Library) -> None:
    data = load_dataset(
        "hf:pets@small", input_shape=SIZE, preparation=Preparation(mean=(0.0,), std=(1.0,))
    )
    assert library.asked == [("pets", "small")]
    assert (len(data.train), len(data.holdout), len(data.test)) == (18, 2, 4)
    assert data.class_names == ("cat", "dog")
    images, labels = next(data.test.batches(4))
    assert images.shape == (4, *SIZE)
    assert torch.allclose(images[:, 0, 0, 0], torch.tensor([0.0, 10.0, 20.0, 30.0]) / 255)
    assert labels.tolist() == [0, 1, 0, 1]
    held = {float(x) for x in next(data.holdout.batches(9))[0][:, 0, 0, 0]}
    assert not held & {float(x) for x in next(data.train.batches(99))[0][:, 0, 0, 0]}


def test_a_folder_that_was_saved_is_taken_from_disk(library: Library, tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text("{}")
    load_hugging_face(str(tmp_path), size=SIZE)
    assert library.asked == [str(tmp_path)]


@pytest.mark.parametrize(
    "hidden", [Rows(4, FEATURES, [-1]), Rows(4, FEATURES, [None]), Rows(4, {"photo": Feature()})]
)
def test_a_test_split_without_labels_gives_way_to_the_validation_split(
    library: Library, hidden: Rows
) -> None:
    library.splits["test"] = hidden
    data = load_hugging_face("pets", size=SIZE)
    assert next(data.test.batches(4))[1].tolist() == [0, 1, 0, 1]
    library.splits = {"train": Rows(20, FEATURES), "test": hidden}
    with pytest.raises(DataError, match="none but train has images and labels"):
        load_hugging_face("pets", size=SIZE)


def test_a_training_image_without_a_label_is_named(library: Library) -> None:
    library.splits["train"] = Rows(20, FEATURES, [0, None])
    with pytest.raises(DataError, match="image 1 of hf:pets, train, has no label"):
        load_hugging_face("pets", size=SIZE)


def test_bad_names_and_columns_are_refused(library: Library) -> None:
    with pytest.raises(DataError, match="cannot open hf:nothing: FileNotFoundError: Couldn't find"):
        load_hugging_face("nothing", size=SIZE)
    with pytest.raises(DataError, match="hf:pets needs the size that images are scaled to"):
        load_dataset("hf:pets")
    with pytest.raises(DataError, match="are for image folders; hf:pets has its own"):
        load_dataset("hf:pets", input_shape=SIZE, preparation=Preparation(unlabelled=True))
    library.splits = {"train": Rows(20, FEATURES)}
    with pytest.raises(DataError, match="has the splits train, of which none but train has"):
        load_hugging_face("pets", size=SIZE)
    library.splits = {part: Rows(4, {"text": Value()}) for part in ("train", "test")}
    with pytest.raises(DataError, match=r"has the columns text \(Value\); expected one of images"):
        load_hugging_face("pets", size=SIZE)


def test_a_missing_package_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"needs the package datasets; pip install '\.\[hf\]'"):
        load_hugging_face("pets", size=SIZE)


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((9, 9, 3), value, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_what_the_library_itself_saves_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="hf:NAME needs datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    arrow = importlib.import_module("pyarrow")
    table = datasets.table.InMemoryTable(
        arrow.table(
            {
                "image": arrow.array(
                    [{"bytes": png(20 * n), "path": None} for n in range(10)],
                    type=features["image"].pa_type,
                ),
                "label": arrow.array([n % 2 for n in range(10)], type=arrow.int64()),
            }
        )
    )
    rows = datasets.Dataset(
        table, info=datasets.DatasetInfo(features=features), fingerprint="0" * 16
    )
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(str(tmp_path / "pets"))
    data = load_dataset(f"hf:{tmp_path / 'pets'}", input_shape=SIZE)
    images_read, labels = next(data.test.batches(10))
    assert images_read.shape == (10, *SIZE)
    assert labels.tolist() == [n % 2 for n in range(10)]
