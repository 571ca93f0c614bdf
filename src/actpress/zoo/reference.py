"""The reference networks for 32x32 images, untrained and trained."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from actpress.errors import ModelError
from actpress.zoo.mobilenet import mobilenet_v2
from actpress.zoo.resnet import resnet18
from actpress.zoo.tiny_resnet import resnet8
from actpress.zoo.vgg import vgg16_bn

WEIGHTS_FOLDER = Path(__file__).parent / "weights"

BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: resnet18(num_classes=10, in_channels=1, base_channels=32, stem="small"),
    "mobilenet_v2": lambda: mobilenet_v2(num_classes=10, in_channels=1, stem="small"),
    "vgg16_bn": lambda: vgg16_bn(
        num_classes=10, in_channels=1, base_channels=32, hidden_features=256, pooled_size=1
    ),
    "resnet8": resnet8,
}


def build(name: str) -> nn.Module:
    """The untrained network, with the widths of the bundled checkpoint."""
    return BUILDERS[name]()


def load(name: str) -> nn.Module:
    """The trained network, in eval mode; weights are stored in half precision.

    Raises:
        ModelError: the weights are not bundled, or damaged.
    """
    path = WEIGHTS_FOLDER / f"{name}.safetensors"
    if not path.is_file():
        raise ModelError(
            f"the trained weights of {name} are missing at {path}; install actpress again, or "
            f"train them with `python -m {_training_command(name)}`"
        )
    model = build(name)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"the weights {path} are damaged: {error}; install actpress again"
        ) from error
    for module in model.modules():
        if isinstance(module, nn.Conv2d):  # the faster layout on a CPU
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return model.eval()


def resnet18_fashion_mnist() -> nn.Module:
    """ResNet18 with 32 base channels, trained on Fashion-MNIST; see `load`."""
    return load("resnet18")


def mobilenet_v2_fashion_mnist() -> nn.Module:
    """MobileNetV2 of width 1, trained on Fashion-MNIST; see `load`."""
    return load("mobilenet_v2")


def vgg16_bn_fashion_mnist() -> nn.Module:
    """VGG16-BN with 32 base channels, trained on Fashion-MNIST; see `load`."""
    return load("vgg16_bn")


def resnet8_cifar10() -> nn.Module:
    """MLPerf Tiny's ResNet8, fine-tuned to recompressed CIFAR-10 images; see `load`.

    It takes RGB images on the scale 0 to 255, as the data set `cifar10` has them.
    """
    return load("resnet8")


def published_accuracy(name: str) -> float:
    """Top-1 on the 10,000 test images, as measured when the checkpoint was made, in [0, 1]."""
    record = json.loads((WEIGHTS_FOLDER / f"{name}.json").read_text())
    return float(record["test_accuracy"])


def _training_command(name: str) -> str:
    if name == "resnet8":
        return "benchmarks.train_resnet8"
    return f"benchmarks.train_reference {name}"
