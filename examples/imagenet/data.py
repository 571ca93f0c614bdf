"""ImageNet from a folder of images or from tar shards, as data for actpress.

    FOLDER/train/n01440764/*.JPEG   FOLDER/val/n01440764/*.JPEG      one folder per class
    FOLDER/train-0000.tar ...       FOLDER/val-0000.tar ...          KEY.jpg, KEY.cls (a number)

Classes are numbered in the order of their names. A folder that lacks some of them has
`classes.txt`, with the names of all, one a line. `data()` is the factory that actpress calls; it
reads where the images are, and how the network wants them, from the environment (`press.py` sets
both).
"""

import io
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

import actpress
from actpress.data import from_torch
from examples.imagenet.networks import Images

FOLDER, PREPARED = "IMAGENET", "IMAGENET_PREPARED"
SUFFIXES = {".jpg", ".jpeg", ".png"}
CLASSES = "classes.txt"


def data() -> actpress.Dataset:
    """Training images, a tenth of which are held out, and those for validation to test on."""
    folder = Path(os.environ[FOLDER])
    images = Images(**json.loads(os.environ[PREPARED]))
    train, val = (opened(folder, part, images) for part in ("train", "val"))
    return from_torch(train, test=val, name=f"imagenet in {folder.name}")


def opened(folder: Path, part: str, images: Images) -> Dataset[tuple[Tensor, int]]:
    """One split, whichever way it lies there."""
    shards = sorted(folder.glob(f"{part}-*.tar"))
    if shards:
        return Shards(shards, images)
    if not (folder / part).is_dir():
        raise SystemExit(f"{folder} has neither a folder {part} nor shards {part}-*.tar")
    return Files(folder, part, images)


class Files(Dataset[tuple[Tensor, int]]):
    """Images in one folder per class."""

    def __init__(self, folder: Path, part: str, images: Images) -> None:
        names = classes_of(folder, part)
        self.images = images
        self.paths: list[Path] = []
        self.targets: list[int] = []
        for number, name in enumerate(names):
            found = folder / part / name
            files = sorted(p for p in found.glob("*") if p.suffix.lower() in SUFFIXES)
            self.paths += files
            self.targets += [number] * len(files)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return prepared(self.paths[position].read_bytes(), self.images), self.targets[position]


@dataclass(frozen=True)
class Member:
    """Bytes of an image within a shard."""

    shard: int
    start: int
    length: int


class Shards(Dataset[tuple[Tensor, int]]):
    """Images in tar files that are not compressed, read at their places; the index is made once."""

    def __init__(self, shards: Sequence[Path], images: Images) -> None:
        self.images = images
        self.files = [os.open(path, os.O_RDONLY) for path in shards]
        self.members: list[Member] = []
        self.targets: list[int] = []
        for number, path in enumerate(shards):
            found: dict[str, Member] = {}
            with tarfile.open(path, "r:") as tar:
                for entry in tar:
                    key, _, suffix = entry.name.rpartition(".")
                    if f".{suffix.lower()}" in SUFFIXES:
                        found[key] = Member(number, entry.offset_data, entry.size)
                    elif suffix == "cls":
                        self.targets.append(int(self._bytes(number, entry)))
                        self.members.append(found.pop(key))
            if found:
                raise SystemExit(f"{path}: {next(iter(found))} has no .cls behind its image")

    def _bytes(self, shard: int, entry: tarfile.TarInfo) -> bytes:
        return os.pread(self.files[shard], entry.size, entry.offset_data)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        own = self.members[position]
        content = os.pread(self.files[own.shard], own.length, own.start)
        return prepared(content, self.images), self.targets[position]


def classes_of(folder: Path, part: str) -> list[str]:
    """Names of all classes in the order of the network's outputs."""
    listed = folder / CLASSES
    if listed.is_file():
        return listed.read_text(encoding="utf-8").split()
    return sorted(path.name for path in (folder / part).iterdir() if path.is_dir())


def prepared(content: bytes, images: Images) -> Tensor:
    """An image file as the network takes it, float32 (3, side, side)."""
    with Image.open(io.BytesIO(content)) as image:
        rgb = image.convert("RGB")
    shorter = round(images.side / images.crop)
    scale = shorter / min(rgb.size)
    width, height = (max(round(length * scale), images.side) for length in rgb.size)
    rgb = rgb.resize((width, height), Image.Resampling[images.resample.upper()])
    left, top = ((length - images.side) // 2 for length in (width, height))
    cropped = rgb.crop((left, top, left + images.side, top + images.side))
    pixels = torch.from_numpy(np.array(cropped)).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (images.mean, images.std))
    return (pixels - mean) / std
