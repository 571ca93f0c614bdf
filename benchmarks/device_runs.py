"""The compressed networks that `make bench-device` exports."""

from dataclasses import dataclass, replace
from pathlib import Path

from actpress import zoo
from actpress.allocate import SearchSettings
from actpress.api import compress
from actpress.budget import Budget, Count, View
from actpress.data import load_dataset
from actpress.methods import Settings
from actpress.settings import Trainable, TuneSettings

RUNS = Path("runs/device")
CALIBRATION_IMAGES = 500
TEST_IMAGES = 1000
"""That a run's own metrics are of; rows have figures of the C code."""


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
    def settings(self) -> TuneSettings:
        """Of the training loop."""
        return TuneSettings(
            steps=self.steps,
            batch_size=self.batch_size,
            lr_scale=self.lr_scale,
            trainable=Trainable.NETWORK,
            task=1.0,
        )


@dataclass(frozen=True)
class DeviceRun:
    """A network with a plan.

    Attributes:
        network: of the zoo.
        data: name of its data set.
        method: of `compress`.
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
        data = load_dataset(self.data)
        result = compress(
            getattr(zoo, self.network)(),
            replace(data, test=data.test.take(TEST_IMAGES)),
            method=self.method,
            budget=Budget.parse(self.budget, view=View.FIXED, count=Count.ACTIVATIONS),
            settings=Settings(
                calibration_images=CALIBRATION_IMAGES,
                search_images=self.search_images,
                search=SearchSettings(transforms=("identity",)),
                tune=TuneSettings() if self.training is None else self.training.settings,
            ),
            folder=self.folder.with_name(f"{self.name}.partial"),
        )
        result.save(self.folder, model=f"actpress.zoo:{self.network}", data=self.data)
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
    DeviceRun("resnet8_cifar10", "cifar10", "gdr", "15KiB-ram"),
)
