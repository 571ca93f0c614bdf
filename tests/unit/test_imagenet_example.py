"""The ImageNet example reads both layouts alike, and prepares images as it is told."""

import io
import json
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from examples.imagenet import data as imagenet
from examples.imagenet import networks
from examples.imagenet.networks import Images
from examples.imagenet.press import _write_shards

IMAGES = Images(16, 0.8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
NAMES = ("apple", "bee", "cat")


def jpeg(value: int, size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((*size, 3), value, dtype=np.uint8)).save(file, "JPEG", quality=95)
    return file.getvalue()


FILES = [jpeg(20 * number) for number in range(6)]
LABELS = [2, 0, 0, 2, 0, 2]


def write_folder(folder: Path) -> None:
    for part in ("train", "val"):
        for number, (content, label) in enumerate(zip(FILES, LABELS, strict=True)):
            path = folder / part / NAMES[label] / f"{number}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    (folder / imagenet.CLASSES).write_text("\n".join(NAMES))


def test_a_folder_and_its_shards_hold_the_same(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder")
    (tmp_path / "shards").mkdir()
    _write_shards(tmp_path / "shards", "train", FILES, LABELS)
    folder, shards = (
        imagenet.opened(tmp_path / each, "train", IMAGES) for each in ("folder", "shards")
    )
    assert len(folder) == len(shards) == 6  # type: ignore[arg-type]
    own = sorted((float(x.mean()), label) for x, label in (folder[n] for n in range(6)))
    other = sorted((float(x.mean()), label) for x, label in (shards[n] for n in range(6)))
    assert own == other
    assert {label for _, label in own} == {0, 2}, "the class without images has its number"


def test_images_are_scaled_cropped_and_normalised() -> None:
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, 30:50] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    image = imagenet.prepared(file.getvalue(), IMAGES)
    assert image.shape == (3, 16, 16)
    assert image.dtype is torch.float32
    assert float(image.max()) == pytest.approx(2.0)  # white: (1 - 0.5) / 0.25
    assert float(image[:, :, 0].max()) == pytest.approx(-2.0)
    assert float(image[0, 8, 8]) == pytest.approx(2.0), "the centre is kept"


def test_the_factory_reads_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path)
    monkeypatch.setenv(imagenet.FOLDER, str(tmp_path))
    monkeypatch.setenv(imagenet.PREPARED, json.dumps(IMAGES.as_dict()))
    with pytest.warns(UserWarning, match="no holdout images are given"):
        data = imagenet.data()
    assert data.input_shape == (3, 16, 16)
    assert len(data.test) == 6


def test_a_shard_without_classes_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "train-0000.tar", "w") as tar:
        entry = tarfile.TarInfo("a.jpg")
        entry.size = len(FILES[0])
        tar.addfile(entry, io.BytesIO(FILES[0]))
    with pytest.raises(SystemExit, match=r"a has no \.cls behind its image"):
        imagenet.opened(tmp_path, "train", IMAGES)
    with pytest.raises(SystemExit, match="neither a folder val nor shards"):
        imagenet.opened(tmp_path, "val", IMAGES)


def test_random_weights_are_those_of_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = ModuleType("timm")
    timm.create_model = lambda name, pretrained: nn.Linear(3, 3)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", timm)
    before = torch.get_rng_state()
    one, other = (networks.network("timm:any", weights="none") for _ in range(2))
    assert one.weight.equal(other.weight)  # type: ignore[operator]
    assert not one.training
    assert torch.get_rng_state().equal(before)
