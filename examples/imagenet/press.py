"""One command for a network trained on ImageNet.

    python -m examples.imagenet.press run --data /data/imagenet --network torchvision:resnet18 \
        --processes 4 --out runs/resnet18 -- --method cap --budget 6x --steps 2000

What stands behind `--` goes to `actpress compress` as it is. Without ImageNet,

    python -m examples.imagenet.press make small --network efficientnet-lite0

writes a small folder of the same layout (`--shards`: tar shards) to try everything with: crops of
the photographs of scikit-image and scikit-learn, or of your own (`--photographs FOLDER`), labelled
with what the network sees in them.
"""

import argparse
import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from examples.imagenet.data import CLASSES, FOLDER, PREPARED, prepared
from examples.imagenet.networks import LITE0, images_of, network

ROOT = Path(__file__).resolve().parents[2]
CROPS = {"train": 300, "val": 120}
SHARDS = 2
SMALLEST, SIDE = 160, 256
"""Pixels of a crop, at least, and of the file that it becomes."""

OUTPUTS = 1000


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="compress a network")
    run.add_argument("--data", type=Path, required=True)
    run.add_argument("--processes", type=int, default=1)
    run.add_argument("--workers", type=int, default=4, help="threads that read, per process")
    run.add_argument("--out", type=Path, required=True)
    run.add_argument("more", nargs="*", help="behind --: options of actpress compress")
    run.set_defaults(work=press)
    make = commands.add_parser("make", help="write a small folder to try things with")
    make.add_argument("data", type=Path)
    make.add_argument("--photographs", type=Path)
    make.add_argument("--shards", action="store_true")
    make.set_defaults(work=make_folder)
    for command in (run, make):
        command.add_argument("--network", default=LITE0)
        command.add_argument("--weights", default="DEFAULT", help="none: random")
    options = parser.parse_args()
    options.work(options)


def press(options: argparse.Namespace) -> None:
    """Run `actpress compress` under torchrun, with the network's own preparation of images."""
    images = images_of(options.network, weights=options.weights)
    threads = max((os.cpu_count() or 1) // options.processes, 1)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        FOLDER: str(options.data.resolve()),
        PREPARED: json.dumps(images.as_dict()),
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
    }
    arguments = json.dumps({"name": options.network, "weights": options.weights})
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(options.processes), "-m", "actpress", "compress"),
        *("--model", "examples.imagenet.networks:network", "--model-args", arguments),
        *("--data", "examples.imagenet.data:data", "--workers", str(options.workers)),
        *("--out", str(options.out), *options.more),
    ]
    raise SystemExit(subprocess.run(command, env=environment, check=False).returncode)  # noqa: S603


def make_folder(options: argparse.Namespace) -> None:
    """Crops of photographs, with the network's own predictions as their classes."""
    photographs = list(_photographs(options.photographs))
    net, images = network(options.network, weights=options.weights), images_of(options.network)
    names = [f"class{number:04}" for number in range(OUTPUTS)]
    options.data.mkdir(parents=True)
    (options.data / CLASSES).write_text("\n".join(names) + "\n", encoding="utf-8")
    draw = np.random.default_rng(0)
    for part, count in CROPS.items():
        files = [_crop(photographs, draw) for _ in range(count)]
        with torch.no_grad():
            labels = [
                int(net(prepared(content, images)[None]).flatten().argmax()) for content in files
            ]
        if options.shards:
            _write_shards(options.data, part, files, labels)
        else:
            for number, (content, label) in enumerate(zip(files, labels, strict=True)):
                path = options.data / part / names[label] / f"{number:06}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    print(f"{options.data}: {CROPS['train']} images to train on, {CROPS['val']} to test on")


def _photographs(folder: Path | None) -> Iterator[np.ndarray]:
    """Photographs as (h, w, 3), uint8."""
    if folder is not None:
        for path in sorted(folder.iterdir()):
            with Image.open(path) as image:
                yield np.asarray(image.convert("RGB"))
        return
    try:
        own = importlib.import_module("skimage.data")
        samples = importlib.import_module("sklearn.datasets").load_sample_images()
    except ImportError as error:
        raise SystemExit(
            f"{error}; pip install scikit-image scikit-learn, or give --photographs FOLDER"
        ) from error
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        yield getattr(own, name)()
    yield from samples.images


def _crop(photographs: Sequence[np.ndarray], draw: np.random.Generator) -> bytes:
    """A JPEG file of a square somewhere in one of them."""
    photograph = photographs[int(draw.integers(len(photographs)))]
    height, width = photograph.shape[:2]
    side = int(draw.integers(SMALLEST, min(height, width) + 1))
    top, left = (int(draw.integers(length - side + 1)) for length in (height, width))
    square = Image.fromarray(photograph[top : top + side, left : left + side])
    file = io.BytesIO()
    square.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    return file.getvalue()


def _write_shards(folder: Path, part: str, files: Sequence[bytes], labels: Sequence[int]) -> None:
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{part}-{shard:04}.tar", "w") as tar:
            for number in range(shard, len(files), SHARDS):
                for suffix, content in ((".jpg", files[number]), (".cls", b"%d" % labels[number])):
                    entry = tarfile.TarInfo(f"{number:06}{suffix}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    main()
