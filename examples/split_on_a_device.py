"""The head of a network in C, its tail in PyTorch.

    python examples/split_on_a_device.py FOLDER

compresses the bundled MobileNetV2 to 4 bits, writes the part up to `features.3` as C, builds that
for this machine, and lets the tail go on from the bytes that it sends. `make qemu BOARD=m7` in
FOLDER/head runs it on an emulated board, where every byte of golden images must be the same.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import actpress
from actpress.deploy.c import export_c, stream_of
from actpress.deploy.integer import head_of, integer_network
from actpress.deploy.integer.execute import image_codes
from actpress.pressing import CompressedModel

SITE, IMAGES = "features.3", 20


def through_device(
    model: CompressedModel, at: str, calibration: Tensor, images: Tensor, folder: Path
) -> Tensor:
    """What the tail computes of messages that C code sends.

    Args:
        model: compressed, its tables fitted.
        at: site after which it is cut.
        calibration: training images, for ranges in integers, shape (n, c, h, w).
        images: that go through head and tail.
        folder: for the C code.
    """
    head, tail = actpress.split(model, at)
    network = head_of(integer_network(model, [calibration]), head.sites)
    export_c(network, images[:2], folder, title=f"head up to {at}")
    subprocess.run(["make", "-s", "-C", str(folder), "main"], check=True)  # noqa: S603, S607
    messages = []
    for codes in image_codes(network.input, images.numpy()):
        (folder / "image").write_bytes(codes.astype(np.uint8).tobytes())
        command = [folder / "main", folder / "image"]
        messages.append(subprocess.run(command, check=True, capture_output=True).stdout)  # noqa: S603
    logits: Tensor = tail(stream_of(head, network, messages))
    return logits


def main() -> None:
    """Compress, cut, and compare predictions."""
    data = actpress.load_dataset("fashion-mnist-subset")
    from actpress.zoo import mobilenet_v2_fashion_mnist  # noqa: PLC0415  weights are read here

    result = actpress.compress(mobilenet_v2_fashion_mnist(), data, method="uniform", budget="4bits")
    calibration = next(data.train.batches(64))[0]
    images = next(data.test.batches(IMAGES))[0]
    logits = through_device(result.model, SITE, calibration, images, Path(sys.argv[1]) / "head")
    with torch.no_grad():
        same = (logits.argmax(1) == result.model(images).argmax(1)).sum()
    print(f"{same} of {len(images)} predictions as in PyTorch alone")


if __name__ == "__main__":
    main()
