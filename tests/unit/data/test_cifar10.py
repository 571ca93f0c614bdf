import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from actpress.data import load_dataset, load_image
from actpress.data.cifar10 import CLASSES, RECORD_BYTES, load_cifar10, read_batch
from actpress.errors import DataError

PER_CLASS = 3


def png(colour: tuple[int, int, int], size: tuple[int, int] = (32, 32)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "png")
    return stream.getvalue()


def members() -> dict[str, bytes]:
    """Files by path; red tells the class, green the split, blue the image of the class."""
    return {
        f"{part}/{name}/{number}.png": png((label, green, number))
        for green, part in enumerate(("train", "test"))
        for label, name in enumerate(CLASSES)
        for number in range(PER_CLASS)
    }


def write_archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "cifar10-jpeg.zip", "w") as archive:
        for name, content in members().items():
            archive.writestr(name, content)


def write_folder(folder: Path) -> None:
    for name, content in members().items():
        path = folder / "cifar10" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_batches(folder: Path) -> None:
    """The same images in any order over the six files."""
    folder.mkdir(exist_ok=True)
    for green, count in ((0, 5), (1, 1)):
        records = [
            bytes([label]) + b"".join(bytes([value]) * 1024 for value in (label, green, number))
            for label in range(10)
            for number in range(PER_CLASS)
        ]
        random.Random(green).shuffle(records)
        for part in range(count):
            name = f"data_batch_{part + 1}.bin" if green == 0 else "test_batch.bin"
            (folder / name).write_bytes(b"".join(records[part::count]))


def write_batches_in_their_folder(folder: Path) -> None:
    write_batches(folder / "cifar-10-batches-bin")


FORMS = (write_archive, write_folder, write_batches, write_batches_in_their_folder)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ACTPRESS_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("write", FORMS)
def test_every_form_gives_the_same_images(folder: Path, write: Callable[[Path], None]) -> None:
    write(folder)

    data = load_dataset("cifar10", input_shape=(3, 32, 32))

    assert [len(part) for part in (data.train, data.holdout, data.test)] == [27, 3, 30]
    seen = set()
    for green, part in ((0, data.train), (0, data.holdout), (1, data.test)):
        images, labels = next(part.batches(100))
        assert images.dtype == torch.float32
        assert images.flatten(2).var(2).max() == 0
        colours = images[:, :, 0, 0]
        assert colours[:, 0].equal(labels.float())
        assert (colours[:, 1] == green).all()
        seen |= {tuple(colour) for colour in colours.int().tolist()}
    assert len(seen) == 60


def test_training_images_are_mixed_the_same_way_each_time(folder: Path) -> None:
    write_archive(folder)

    first, second = (load_cifar10().train.labels for _ in range(2))

    assert first.equal(second)
    assert not first.equal(first.sort().values)


def test_planes_of_a_batch_are_red_green_blue_by_rows(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (2, RECORD_BYTES), dtype=np.uint8)
    values[:, 0] = [7, 9]
    (tmp_path / "some.bin").write_bytes(values.tobytes())

    images, labels = read_batch(tmp_path / "some.bin")

    assert labels.tolist() == [7, 9]
    assert images[1, 2, 5, 6] == values[1, 1 + 2 * 1024 + 5 * 32 + 6]


def test_one_image_is_prepared_as_the_set_is(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(png((1, 20, 255)))

    image = load_image(tmp_path / "one.png", "cifar10", input_shape=(3, 32, 32))

    assert image[0, :, 3, 3].tolist() == [1.0, 20.0, 255.0]


def test_without_data_the_error_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTPRESS_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"is not in .*; fetch https://www\.cs\.toronto.*unpack"):
        load_cifar10()
    monkeypatch.delenv("ACTPRESS_DATA")
    with pytest.raises(DataError, match=r"ACTPRESS_DATA is not set.*; fetch https://"):
        load_cifar10()


@pytest.mark.parametrize("length", [0, 5, RECORD_BYTES - 1, RECORD_BYTES + 1])
def test_a_damaged_batch(folder: Path, length: int) -> None:
    write_batches(folder)
    (folder / "data_batch_3.bin").write_bytes(bytes(length))

    with pytest.raises(DataError, match=rf"data_batch_3\.bin has {length} bytes; expected a mult"):
        load_cifar10()


def test_a_missing_batch(folder: Path) -> None:
    write_batches(folder)
    (folder / "data_batch_2.bin").unlink()

    with pytest.raises(DataError, match=r"cannot read .*data_batch_2\.bin.*fetch https://"):
        load_cifar10()


def test_a_label_beyond_the_classes(folder: Path) -> None:
    write_batches(folder)
    (folder / "test_batch.bin").write_bytes(bytes([10]) + bytes(3072))

    with pytest.raises(DataError, match="cifar10, test split, are 10 to 10; expected 0 to 9"):
        load_cifar10()


def test_a_missing_class(folder: Path) -> None:
    write_folder(folder)
    for file in (folder / "cifar10/test/frog").iterdir():
        file.unlink()

    with pytest.raises(DataError, match=r"test.frog holds no images"):
        load_cifar10()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "cannot identify"),
        (png((1, 2, 3))[:60], "truncated|broken"),
        (png((1, 2, 3), (32, 31)), "it is 32x31, expected 32x32"),
    ],
)
def test_a_damaged_image(folder: Path, content: bytes, told: str) -> None:
    write_folder(folder)
    (folder / "cifar10/train/cat/1.png").write_bytes(content)

    with pytest.raises(DataError, match=rf"cannot read the image .*1\.png: .*({told})"):
        load_cifar10()


def test_a_damaged_archive(folder: Path) -> None:
    write_archive(folder)
    path = folder / "cifar10-jpeg.zip"
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:60] + b"xxxx" + whole[64:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"cifar10-jpeg\.zip"):
            load_cifar10()
