"""The compressed networks that `make bench-device` exports, made by `actpress compress`."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

RUNS = Path("runs/device")
CALIBRATION_IMAGES = 500


@dataclass(frozen=True)
class Training:
    """Of a plan's steps and the network's weights, after the labels and the float network.

    Attributes:
        steps: of the optimizer.
        batch_size: images per step.
        lr_scale: that learning rates are multiplied by.
    """

    steps: int
    batch_size: int
    lr_scale: float

    @property
    def options(self) -> list[str]:
        """Of `actpress compress`."""
        return [
            *("--train", "network", "--label-weight", "1", "--steps", str(self.steps)),
            *("--batch-size", str(self.batch_size), "--lr-scale", str(self.lr_scale)),
        ]


@dataclass(frozen=True)
class DeviceRun:
    """A network with a plan.

    Attributes:
        network: of the zoo.
        data: name of its data set.
        method: of `actpress compress`.
        budget: of activations under plain packing, or of RAM; empty for int8.
        search_images: that plans are judged by.
        training: of method `cap`.
    """

    network: str
    data: str
    method: str
    budget: str = ""
    search_images: int = 500
    training: Training | None = None

    @property
    def name(self) -> str:
        """Of its folder."""
        return "-".join(filter(None, (self.network, self.method, self.budget)))

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return RUNS / self.name

    def make(self) -> Path:
        """Compress, unless that was done already; returns the folder."""
        if self.folder.exists():
            return self.folder
        command = ["compress", "--model", f"actpress.zoo:{self.network}", "--data", self.data]
        command += ["--method", self.method, "--calibration-images", str(CALIBRATION_IMAGES)]
        if self.budget:
            command += ["--budget", self.budget, "--view", "fixed", "--count", "activations"]
            command += ["--transform", "identity", "--search-images", str(self.search_images)]
        if self.training is not None:
            command += self.training.options
        subprocess.run(  # noqa: S603  our own command
            [sys.executable, "-m", "actpress", *command, "--out", str(self.folder)], check=True
        )
        return self.folder


FASHION = "fashion-mnist"
INT8 = {
    "resnet8_cifar10": DeviceRun("resnet8_cifar10", "cifar10", "int8"),
    "resnet18_fashion_mnist": DeviceRun("resnet18_fashion_mnist", FASHION, "int8"),
    "mobilenet_v2_fashion_mnist": DeviceRun("mobilenet_v2_fashion_mnist", FASHION, "int8"),
}
"""What drops are measured against, by network."""

COMPRESSED = (
    DeviceRun("resnet8_cifar10", "cifar10", "cap", "11.55KiB-ram", training=Training(2000, 32, 3)),
    DeviceRun("resnet18_fashion_mnist", FASHION, "gdr", "27.5KiB-ram", 200),
    DeviceRun("mobilenet_v2_fashion_mnist", FASHION, "gdr", "29.4KiB-ram", 200),
    DeviceRun("resnet8_cifar10", "cifar10", "cap", "2.8x", training=Training(3000, 32, 3)),
    DeviceRun("resnet8_cifar10", "cifar10", "cap", "3.6x", training=Training(4000, 32, 3)),
)
