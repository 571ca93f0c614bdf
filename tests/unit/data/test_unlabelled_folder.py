"""Folders of images without labels."""

import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image

from actpress.data import Preparation, load_dataset, load_image
from actpress.data.dataset import Split
from actpress.errors import DataError
from actpress.run import Source
from actpress.tasks import UNLABELLED

ALONE = Preparation(mean=(0.0,), std=(1 / 255,), unlabelled=True)


def draw(folder: Path, shades: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for shade in shades:
        Image.new("L", (8, 8), shade).save(folder / f"{shade}.png")


def shades(split: Split) -> set[int]:
    return {round(float(x)) for x in split.load(torch.arange(len(split)))[:, 0, 0, 0]}


def test_folders_of_training_and_testing(tmp_path: Path) -> None:
    draw(tmp_path / "train", range(20))
    draw(tmp_path / "val", range(100, 107))
    data = load_dataset(f"imagefolder:{tmp_path}", input_shape=(1, 8, 8), preparation=ALONE)
    assert data.task is UNLABELLED
    assert [len(part) for part in (data.train, data.holdout, data.test)] == [18, 2, 7]
    assert shades(data.train) | shades(data.holdout) == set(range(20))
    assert shades(data.test) == set(range(100, 107))
    assert not data.test.is_labelled
    image = load_image(
        tmp_path / "train" / "7.png",
        f"imagefolder:{tmp_path}",
        input_shape=(1, 8, 8),
        preparation=ALONE,
    )
    assert image.unique().tolist() == pytest.approx([7])


def test_one_folder_is_cut_by_a_seed_and_that_is_told(tmp_path: Path) -> None:
    draw(tmp_path, range(40))
    spec = f"imagefolder:{tmp_path}"
    with pytest.warns(UserWarning, match="has no folders train and test: 4 of its 40 images"):
        data = load_dataset(spec, input_shape=(1, 8, 8), preparation=ALONE)
    parts = [shades(part) for part in (data.train, data.holdout, data.test)]
    assert [len(part) for part in parts] == [33, 3, 4]
    assert set.union(*parts) == set(range(40))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = load_dataset(spec, input_shape=(1, 8, 8), preparation=ALONE)
    assert shades(again.test) == parts[2] != set(range(4))


def test_what_is_not_read_is_told(tmp_path: Path) -> None:
    draw(tmp_path / "train", range(20))
    draw(tmp_path / "train" / "more", range(3))
    draw(tmp_path / "test", range(3))
    (tmp_path / "test" / "raw.tiff").touch()
    expected = r"4 files .* in folders inside it .* extension .* directly in the folder itself"
    with pytest.warns(UserWarning, match=expected):
        load_dataset(f"imagefolder:{tmp_path}", input_shape=(1, 8, 8), preparation=ALONE)


def test_what_cannot_be_taken(tmp_path: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(DataError, match=match):
            load_dataset(f"imagefolder:{tmp_path}", input_shape=(1, 8, 8), preparation=ALONE)

    refused("holds no image, and no folders train and test; expected PATH/train/")
    draw(tmp_path / "train" / "cat", range(3))
    draw(tmp_path / "test" / "cat", range(3))
    refused("train holds folders, but no image itself; where they are classes, leave --unlabelled")
    draw(tmp_path / "train", range(1))
    draw(tmp_path / "test", range(1))
    with pytest.warns(UserWarning, match="are left out"):
        refused("holds 1 images to train on; expected at least two")
    with pytest.raises(DataError, match="there is no folder"):
        load_dataset("imagefolder:absent", input_shape=(1, 8, 8), preparation=ALONE)
    with pytest.raises(DataError, match="--unlabelled images have no classes; leave --classes out"):
        Preparation.parse(None, None, "cat,dog", unlabelled=True)
    with pytest.raises(DataError, match="--unlabelled are for image folders"):
        load_dataset("fashion-mnist-subset", preparation=Preparation(unlabelled=True))


def test_runs_remember_it_and_write_nothing_new_for_others() -> None:
    def source(preparation: Preparation) -> Source:
        return Source(
            model="m:f",
            data="imagefolder:p",
            input=(1, 8, 8),
            weights_sha256="",
            preparation=preparation,
        )

    alone = source(ALONE)
    assert Source.model_validate_json(alone.model_dump_json()) == alone
    usual = source(Preparation(mean=(0.5,)))
    assert usual.model_dump(mode="json")["preparation"] == {
        "mean": [0.5],
        "std": None,
        "classes": None,
    }
    assert Source.model_validate_json(usual.model_dump_json()) == usual
