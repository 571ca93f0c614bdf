from pathlib import Path

import pytest
from PIL import Image

from actpress.data import load_dataset
from actpress.errors import DataError

MODULE = """
import torch
from actpress.data import Dataset, Split

def good():
    part = Split.in_memory(torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))
    return Dataset("mine", part, part, part, classes=2)

def small():
    part = Split.in_memory(torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))
    test = Split.in_memory(torch.rand(2, 1, 3, 3), torch.tensor([0, 1]))
    return Dataset("mine", part, part, test, classes=2)

def wrong():
    return [1, 2]
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "own_data_module"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


def test_the_bundled_subset() -> None:
    assert load_dataset("fashion-mnist-subset", input_shape=(1, 32, 32)).classes == 10


def test_a_factory_in_the_working_folder(own_module: str) -> None:
    assert load_dataset(f"{own_module}:good").name == "mine"


def test_test_images_of_another_size_are_refused_at_once(own_module: str) -> None:
    with pytest.raises(DataError, match="mine, test split"):
        load_dataset(f"{own_module}:small")


def test_a_factory_must_return_a_dataset(own_module: str) -> None:
    with pytest.raises(DataError, match=r"returned a list; expected an actpress\.data\.Dataset"):
        load_dataset(f"{own_module}:wrong")


def test_a_missing_factory(own_module: str) -> None:
    with pytest.raises(DataError, match=f"{own_module} has no 'absent'; it has .*good"):
        load_dataset(f"{own_module}:absent")


def test_an_image_folder(tmp_path: Path) -> None:
    for part in ("train", "val"):
        (tmp_path / part / "one").mkdir(parents=True)
        for number in range(2):
            Image.new("L", (4, 4)).save(tmp_path / part / "one" / f"{number}.png")

    data = load_dataset(f"imagefolder:{tmp_path}", input_shape=(1, 2, 2))

    assert data.input_shape == (1, 2, 2)


def test_an_image_folder_needs_a_size(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--input 3x224x224"):
        load_dataset(f"imagefolder:{tmp_path}")


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(DataError, match=r"no data set 'mnist'; expected fashion-mnist, .*PATH"):
        load_dataset("mnist")


def test_another_input_shape_is_refused() -> None:
    with pytest.raises(DataError, match="are 1x32x32, but the network's input is 3x32x32"):
        load_dataset("fashion-mnist-subset", input_shape=(3, 32, 32))
