from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from actpress.data import Split, load_image_folder
from actpress.data.imagefile import read_image
from actpress.errors import DataError

COLOURS = {"cat": (255, 0, 0), "dog": (0, 0, 255)}


def write_image(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, colour in COLOURS.items():
        for number in range(20):
            write_image(tmp_path / "train" / name / f"{number:02}.png", colour)
        for number in range(3):
            write_image(tmp_path / "test" / name / f"{number}.bmp", colour)
    return tmp_path


def test_splits_classes_and_shapes(folder: Path) -> None:
    data = load_image_folder(folder, size=(3, 4, 4))

    assert (len(data.train), len(data.holdout), len(data.test)) == (36, 4, 6)
    assert data.classes == 2
    assert data.input_shape == (3, 4, 4)
    assert data.holdout.labels.bincount().tolist() == [2, 2]
    assert data.test.labels.bincount().tolist() == [3, 3]


@pytest.mark.parametrize("part", ["train", "holdout", "test"])
def test_labels_belong_to_their_images(folder: Path, part: str) -> None:
    split: Split = getattr(load_image_folder(folder, size=(3, 4, 4)), part)

    for images, labels in split.batches(5):
        reddish = images[:, 0, 0, 0] > images[:, 2, 0, 0]
        assert reddish.equal(labels == 0)


def test_the_order_is_fixed_and_mixes_the_classes(folder: Path) -> None:
    first, second = (load_image_folder(folder, size=(3, 4, 4)).train for _ in range(2))

    assert first.labels.equal(second.labels)
    assert set(first.take(12).labels.tolist()) == {0, 1}


def test_no_image_is_both_trained_on_and_held_out(folder: Path) -> None:
    data = load_image_folder(folder, size=(3, 4, 4))

    assert not set(data.train.source.paths) & set(data.holdout.source.paths)


def test_files_are_read_only_when_needed(folder: Path) -> None:
    data = load_image_folder(folder, size=(3, 4, 4))
    data.train.source.paths[-1].write_bytes(b"not an image")

    next(data.train.batches(4))


def test_imagenet_statistics_are_the_default_for_colour(folder: Path) -> None:
    images, labels = next(load_image_folder(folder, size=(3, 4, 4)).test.batches(6))

    red = images[labels == 0][0, :, 0, 0]
    expected = (torch.tensor([1.0, 0, 0]) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(red, expected)


def test_grey_input_is_converted_and_scaled_to_plus_minus_one(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_image(tmp_path / part / "white" / "0.png", (255, 255, 255))
        write_image(tmp_path / part / "white" / "1.png", (255, 255, 255))

    data = load_image_folder(tmp_path, size=(1, 2, 2))

    assert next(data.test.batches(1))[0].equal(torch.ones(1, 1, 2, 2))


def test_given_statistics_are_used(folder: Path) -> None:
    data = load_image_folder(folder, size=(3, 4, 4), mean=[0.0], std=[0.5])

    assert next(data.train.batches(40))[0].unique().tolist() == [0.0, 2.0]


def test_classes_have_the_order_that_is_asked_for(folder: Path) -> None:
    names = ["zebra", *sorted(COLOURS, reverse=True)]
    data = load_image_folder(folder, size=(3, 4, 4), classes=names)
    usual = load_image_folder(folder, size=(3, 4, 4))

    assert (data.classes, data.class_names) == (len(names), tuple(names))
    assert usual.class_names == tuple(sorted(COLOURS))
    ranks = torch.tensor([names.index(name) for name in sorted(COLOURS)])
    assert data.train.labels.sort().values.equal(ranks[usual.train.labels].sort().values)
    images, labels = next(data.test.batches(len(data.test)))
    again, others = next(usual.test.batches(len(usual.test)))
    for image, label in zip(images, labels, strict=True):
        same = next(other for x, other in zip(again, others, strict=True) if x.equal(image))
        assert names[int(label)] == usual.class_names[int(same)]


def test_a_folder_that_no_class_names_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"has the class .*, which is not among the 2 classes"):
        load_image_folder(folder, size=(3, 4, 4), classes=["cat", "zebra"])


def test_how_images_were_read_is_told_and_done_to_others(folder: Path) -> None:
    data = load_image_folder(folder, size=(3, 4, 4), mean=[0.0], std=[0.5])

    assert data.prepared == "images normalised by mean 0 and std 0.5"
    assert data.prepare is not None
    write_image(folder / "white.png", (255, 255, 255))
    assert data.prepare(folder / "white.png").equal(torch.full((3, 4, 4), 2.0))


def test_an_image_is_scaled_to_cover_and_cropped_around_its_centre(tmp_path: Path) -> None:
    pixels = np.zeros((8, 24), dtype=np.uint8)
    pixels[:, 8:16] = 200
    Image.fromarray(pixels).save(tmp_path / "wide.png")

    cropped = read_image(tmp_path / "wide.png", (1, 4, 4))

    assert cropped.shape == (1, 4, 4)
    assert cropped[0, :, 1:3].unique().tolist() == [200]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 128, 129, 257, 32_768, 65_535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")

    for channels in (1, 3):
        image = read_image(tmp_path / f"deep.{suffix}", (channels, 1, 6))
        assert image.tolist() == [[[0, 0, 1, 1, 128, 255]]] * channels


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_grey_values_without_white_are_refused(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(np.full((2, 2), 300, dtype=dtype)).save(tmp_path / "deep.tif")

    with pytest.raises(DataError, match=r"deep\.tif has grey values of 32 bits.*; convert it"):
        read_image(tmp_path / "deep.tif", (1, 2, 2))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_an_image_is_turned_as_its_exif_says(tmp_path: Path, suffix: str) -> None:
    pixels = np.zeros((16, 32), dtype=np.uint8)
    pixels[:, :16] = 200  # the left half is bright; turned clockwise it is the upper half
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).convert("RGB").save(tmp_path / f"turned.{suffix}", exif=exif)

    upright = read_image(tmp_path / f"turned.{suffix}", (1, 32, 16))[0].float()

    assert upright[:12].mean() > 180
    assert upright[20:].mean() < 20


def test_a_broken_image_is_named(folder: Path) -> None:
    broken = folder / "test" / "dog" / "1.bmp"
    broken.write_bytes(broken.read_bytes()[:60])

    with pytest.raises(DataError, match=r"cannot read the image .*dog/1\.bmp.*give another file"):
        list(load_image_folder(folder, size=(3, 4, 4)).test.batches(2))


def test_test_wins_over_val(folder: Path) -> None:
    for name, colour in COLOURS.items():
        write_image(folder / "val" / name / "0.png", colour)

    assert len(load_image_folder(folder, size=(3, 4, 4)).test) == 6


def test_hidden_and_other_files_are_skipped(folder: Path) -> None:
    (folder / "train" / ".cache").mkdir()
    (folder / "train" / "cat" / "notes.txt").write_text("none")
    (folder / "train" / "cat" / ".hidden.png").write_text("none")

    assert len(load_image_folder(folder, size=(3, 4, 4)).train) == 36


def test_files_that_are_left_out_are_told_once(folder: Path) -> None:
    for number in range(5):
        write_image(folder / "train" / "cat" / f"extra-{number}.tif", COLOURS["cat"])
    write_image(folder / "test" / "dog" / "inner" / "deep" / "0.png", COLOURS["dog"])
    write_image(folder / "test" / "stray.png", COLOURS["dog"])

    with pytest.warns(UserWarning, match="are left out") as told:
        data = load_image_folder(folder, size=(3, 4, 4))

    (warning,) = told
    message = str(warning.message)
    assert message.startswith("7 files are left out: 5 with an extension that is not read (")
    assert str(folder / "test/dog/inner/deep/0.png") in message
    assert "1 in folders inside a class" in message
    assert f"1 outside of a class ({folder / 'test/stray.png'})" in message
    assert message.count("extra-") == 3
    assert (len(data.train), len(data.test)) == (36, 6)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*absent; expected PATH/train/CLASS"):
        load_image_folder(tmp_path / "absent", size=(3, 4, 4))


def test_missing_splits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no folder train"):
        load_image_folder(tmp_path, size=(3, 4, 4))
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="neither a folder test nor a folder val"):
        load_image_folder(tmp_path, size=(3, 4, 4))


def test_an_empty_split(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()

    with pytest.raises(DataError, match="train is empty"):
        load_image_folder(tmp_path, size=(3, 4, 4))


def test_unlabelled_images(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "0.png", (0, 0, 0))
    (tmp_path / "test").mkdir()

    with pytest.raises(DataError, match="no labels; put each into a folder named after its class"):
        load_image_folder(tmp_path, size=(3, 4, 4))


def test_an_empty_class(folder: Path) -> None:
    for part in ("train", "test"):
        (folder / part / "bird").mkdir()

    with pytest.raises(DataError, match="bird holds no image"):
        load_image_folder(folder, size=(3, 4, 4))


def test_splits_with_different_classes(folder: Path) -> None:
    write_image(folder / "test" / "bird" / "0.png", (0, 0, 0))

    with pytest.raises(DataError, match="only one of them: bird"):
        load_image_folder(folder, size=(3, 4, 4))


def test_single_images_cannot_be_held_out(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_image(tmp_path / part / "cat" / "0.png", (0, 0, 0))

    with pytest.raises(DataError, match="expected at least two"):
        load_image_folder(tmp_path, size=(3, 4, 4))


@pytest.mark.parametrize("size", [(2, 4, 4), (3, 0, 4)])
def test_impossible_sizes(folder: Path, size: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match="expected 1 or 3 channels"):
        load_image_folder(folder, size=size)


def test_impossible_normalisation(folder: Path) -> None:
    with pytest.raises(DataError, match="mean has 2 values; expected 1 or 3"):
        load_image_folder(folder, size=(3, 4, 4), mean=[0.0, 0.0])
    with pytest.raises(DataError, match="greater than zero"):
        load_image_folder(folder, size=(3, 4, 4), std=[0.0])
