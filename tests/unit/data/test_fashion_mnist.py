import gzip
import hashlib
import io
import lzma
from pathlib import Path

import pytest
import torch

from actpress.data import Dataset, Split, load_fashion_mnist, load_fashion_mnist_subset
from actpress.data import fashion_mnist as module
from actpress.data.fashion_mnist import BUNDLED_FILES, BUNDLED_FOLDER, FILES, read_idx
from actpress.errors import DataError
from benchmarks import make_subset

SHA256 = {
    "train-images-idx3-ubyte.xz": (
        "3ea731f03ab49a38da9e61d6b4f121c0ef8e7f156f2c56788fd0e9aa74e78da9"
    ),
    "train-labels-idx1-ubyte.xz": (
        "428d79e44c8dba5e41af90e5dbca95b1944adaf98e1b34965b82f03f369e57cb"
    ),
    "t10k-images-idx3-ubyte.xz": (
        "a4381846ac9e0f219dcb1acce65840d31bd4b850fb958c6a0194a46dd1e50fc4"
    ),
    "t10k-labels-idx1-ubyte.xz": (
        "74df59184f28933179d9bdff8bee60cb95789e4f687d9dacec20bebd31aef20c"
    ),
}


@pytest.fixture(scope="module")
def subset() -> Dataset:
    return load_fashion_mnist_subset()


@pytest.fixture(scope="module")
def full() -> Path:
    for folder in (module.DEBIAN_FOLDER, module._cache_folder()):
        if all((folder / file).is_file() for file in FILES):
            return folder
    pytest.skip("the full Fashion-MNIST is not on this machine")


@pytest.mark.parametrize("file", BUNDLED_FILES)
def test_the_bundled_bytes_are_pinned(file: str) -> None:
    assert hashlib.sha256((BUNDLED_FOLDER / file).read_bytes()).hexdigest() == SHA256[file]


def test_the_subset_has_its_declared_sizes(subset: Dataset) -> None:
    assert [len(part) for part in (subset.train, subset.holdout, subset.test)] == [
        6_500,
        1_500,
        2_000,
    ]
    assert (subset.name, subset.classes) == ("fashion-mnist-subset", 10)
    assert subset.input_shape == (1, 32, 32)


@pytest.mark.parametrize("part", ["train", "holdout", "test"])
def test_classes_are_equally_frequent(subset: Dataset, part: str) -> None:
    split: Split = getattr(subset, part)
    counts = torch.bincount(split.labels, minlength=10)

    assert counts.unique().tolist() == [len(split) // 10]


def test_images_are_normalised(subset: Dataset) -> None:
    images, _ = next(subset.train.batches(1_000))

    inner = images[:, :, 2:-2, 2:-2]
    assert abs(inner.mean().item()) < 0.05
    assert abs(inner.std().item() - 1) < 0.05
    assert images[:, :, :2].unique().numel() == 1


def test_the_subset_is_what_the_script_draws(full: Path) -> None:
    for file, values in make_subset.subset(full).items():
        assert (read_idx(BUNDLED_FOLDER / file) == values).all()


def test_every_image_comes_from_its_own_part_of_the_full_set(full: Path) -> None:
    def hashes(path: Path) -> list[bytes]:
        return [image.tobytes() for image in read_idx(path)]

    train, test = (hashes(full / file) for file in list(FILES)[::2])
    bundled_train, bundled_test = (hashes(BUNDLED_FOLDER / file) for file in BUNDLED_FILES[::2])

    assert set(bundled_train[:6_500]) <= set(train[:55_000])
    assert set(bundled_train[6_500:]) <= set(train[55_000:])
    assert set(bundled_test) <= set(test)


def test_the_full_set_is_found_through_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in FILES:
        rank = 3 if "idx3" in file else 1
        count = 6_000 if "train" in file else 10
        header = bytes([0, 0, 8, rank]) + count.to_bytes(4) + (28).to_bytes(4) * (rank - 1)
        values = bytes(count * 28 ** (rank - 1))
        (tmp_path / file).write_bytes(gzip.compress(header + values, 1))
    monkeypatch.setenv("ACTPRESS_DATA", str(tmp_path))

    dataset = load_fashion_mnist()

    assert (len(dataset.train), len(dataset.holdout), len(dataset.test)) == (1_000, 5_000, 10)


def test_without_the_set_and_without_network_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEBIAN_FOLDER", tmp_path / "absent")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module.urllib.request, "urlopen", _refuse)

    with pytest.raises(DataError, match="dataset-fashion-mnist, or set ACTPRESS_DATA"):
        load_fashion_mnist()


def test_a_download_with_another_checksum_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.urllib.request, "urlopen", lambda *_, **__: io.BytesIO(b"altered"))

    with pytest.raises(DataError, match=r"has md5 .*, expected 8d4fb7e6"):
        module._download(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not an idx file"),
        (bytes([0, 0, 9, 1, 0, 0, 0, 1, 5]), "not an idx file"),
        (bytes([0, 0, 8, 3, 0, 0]), "not an idx file"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 2, 5]), r"declares shape \(2,\) but holds 1"),
    ],
)
def test_a_wrong_idx_file_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(raw))

    with pytest.raises(DataError, match=message):
        read_idx(path)


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_a_damaged_file_is_refused(tmp_path: Path, suffix: str) -> None:
    compress = gzip.compress if suffix == ".gz" else lzma.compress
    path = tmp_path / f"images{suffix}"
    whole = compress(bytes([0, 0, 8, 1, 0, 0, 0, 1, 5]))
    path.write_bytes(whole)
    assert read_idx(path).tolist() == [5]

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"images\{suffix}"):
            read_idx(path)


def _refuse(*_: object, **__: object) -> None:
    raise OSError("no network")
