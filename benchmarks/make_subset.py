"""Draw the bundled subset of Fashion-MNIST from the full set.

    python -m benchmarks.make_subset

Every class gets the same number of images. Training images 55,000 to 59,999, which the bundled
networks never saw, are drawn separately and come last, so that they stay the held-out part.
Within a part, images keep their order. One seed gives one subset.
"""

import lzma
import random
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actpress.data import fashion_mnist
from actpress.data.fashion_mnist import Array, read_idx

Positions = NDArray[np.int64]

SEED = 0
TRAIN_PER_CLASS, HOLDOUT_PER_CLASS, TEST_PER_CLASS = 650, 150, 200


def main() -> None:
    """Write the four idx files."""
    folder = fashion_mnist.BUNDLED_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    contents = subset(fashion_mnist.find_folder())
    for file, values in contents.items():
        write_idx(folder / file, values)


def subset(full: Path) -> dict[str, Array]:
    """The bundled arrays by file name, drawn from the folder of the full set."""
    images, labels, test_images, test_labels = (
        read_idx(full / name) for name in fashion_mnist.FILES
    )
    draw = random.Random(SEED)
    cut = len(labels) - fashion_mnist.HOLDOUT
    seen = stratified(labels[:cut], TRAIN_PER_CLASS, draw)
    unseen = stratified(labels[cut:], HOLDOUT_PER_CLASS, draw) + cut
    train = np.concatenate([seen, unseen])
    test = stratified(test_labels, TEST_PER_CLASS, draw)
    values = images[train], labels[train], test_images[test], test_labels[test]
    return dict(zip(fashion_mnist.BUNDLED_FILES, values, strict=True))


def stratified(labels: Array, per_class: int, draw: random.Random) -> Positions:
    """Rising positions of `per_class` random images of every class."""
    chosen = [
        draw.sample(np.flatnonzero(labels == label).tolist(), per_class)
        for label in range(fashion_mnist.CLASSES)
    ]
    return np.sort(np.concatenate(chosen))


def write_idx(path: Path, values: Array) -> None:
    """Write unsigned bytes as an .xz idx file; it holds no time: equal values, equal bytes."""
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    # Neighbouring bytes are pixels: no alignment to 4 (pb=0), which saves 2 %.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "pb": 0}]
    path.write_bytes(lzma.compress(header + values.tobytes(), filters=filters))


if __name__ == "__main__":
    main()
