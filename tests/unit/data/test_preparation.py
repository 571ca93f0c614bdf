"""What a user types about an image folder, and images that are not from one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from actpress.data import Preparation, load_dataset, load_image
from actpress.errors import DataError

MODULE = """
import torch
from actpress.data import Dataset, Split

def dataset(prepare=None):
    part = Split.in_memory(torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))
    return Dataset("mine", part, part, part, classes=2, prepare=prepare)

def telling():
    return dataset(lambda path: torch.full((1, 4, 4), float(path.stem)))

def wrong():
    return dataset(lambda path: torch.zeros(4, 4))
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_preparing_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return "own_preparing_module"


def test_what_is_typed_is_read(tmp_path: Path) -> None:
    assert Preparation.parse(None, None, None) is None
    typed = Preparation.parse("0.1, 0.2,0.3", "0.5", "dog,cat")
    assert typed == Preparation(mean=(0.1, 0.2, 0.3), std=(0.5,), classes=("dog", "cat"))
    names = tmp_path / "names.txt"
    names.write_text("dog\n\nhot dog\ncat\n")
    listed = Preparation.parse(None, None, str(names))
    assert listed is not None
    assert listed.classes == ("dog", "hot dog", "cat")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("a,b", None, None), "cannot read --mean 'a,b'; expected one number, or one per channel"),
        ((None, "", None), "cannot read --std ''"),
        ((None, None, "cat"), "names 1 classes, 1 of them different; expected at least two names"),
        ((None, None, "cat,cat"), "names 2 classes, 1 of them different"),
    ],
)
def test_what_cannot_be_read_is_told(
    typed: tuple[str | None, str | None, str | None], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        Preparation.parse(*typed)


def test_other_data_prepare_their_own_images() -> None:
    with pytest.raises(DataError, match="--unlabelled are for image folders; fashion-mnist-subset"):
        load_dataset("fashion-mnist-subset", preparation=Preparation(mean=(0.5,)))


def test_one_image_is_prepared_as_its_folder(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 255).save(tmp_path / "white.png")
    known = Preparation(mean=(0.0,), std=(0.25,))
    x = load_image(
        tmp_path / "white.png", "imagefolder:/absent", input_shape=(1, 4, 4), preparation=known
    )
    assert x.equal(torch.full((1, 1, 4, 4), 4.0))


def test_a_factory_says_how_an_image_is_prepared(own_module: str, tmp_path: Path) -> None:
    shape = (1, 4, 4)
    x = load_image(tmp_path / "7.png", f"{own_module}:telling", input_shape=shape)
    assert x.equal(torch.full((1, 1, 4, 4), 7.0))
    with pytest.raises(DataError, match=r"prepared .*7.png as torch.float32 of shape \(4, 4\)"):
        load_image(tmp_path / "7.png", f"{own_module}:wrong", input_shape=shape)
    with pytest.raises(DataError, match=r"set `prepare` of its Dataset, or give .* as \.npy"):
        load_image(tmp_path / "7.png", f"{own_module}:dataset", input_shape=shape)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_array_is_what_the_network_takes(tmp_path: Path, dtype: type) -> None:
    values = np.linspace(-2, 2, 32).reshape(2, 1, 4, 4).astype(dtype)
    np.save(tmp_path / "both.npy", values)
    np.save(tmp_path / "one.npy", values[1])
    expected = torch.from_numpy(values.astype(np.float32))
    both = load_image(tmp_path / "both.npy", "any:thing", input_shape=(1, 4, 4))
    one = load_image(tmp_path / "one.npy", "any:thing", input_shape=(1, 4, 4))
    assert both.equal(expected)
    assert one.equal(expected[1:])


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (
            np.zeros((1, 4, 4), dtype=np.uint8),
            r"holds uint8 of shape \(1, 1, 4, 4\); expected floats",
        ),
        (np.zeros((3, 4, 4), dtype=np.float32), r"expected floats of shape \(1, 4, 4\)"),
        (np.zeros((0, 1, 4, 4), dtype=np.float32), "or several of them"),
        (np.full((1, 4, 4), np.nan, dtype=np.float32), "holds NaN or infinite values"),
        (np.array([object()]), "cannot read the array .*Object arrays cannot be loaded"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray, told: str) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=told):
        load_image(tmp_path / "x.npy", "any:thing", input_shape=(1, 4, 4))
