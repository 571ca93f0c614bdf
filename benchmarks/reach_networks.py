"""The networks of `make reach`: of other people's libraries, and those of MLPerf Tiny."""

import importlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from actpress.settings import Capture
from actpress.zoo.tiny_resnet import resnet8
from benchmarks.reach_tiny import AutoEncoder, DsCnn, MobileNetV1

Shape = tuple[int, ...]


MODULES = {
    "torchvision": "torchvision",
    "timm": "timm",
    "facenet-pytorch": "facenet_pytorch",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
    "ultralytics": "ultralytics.nn.tasks",
    "transformers": "transformers",
}
"""By library, what it is imported as."""


@dataclass(frozen=True)
class Network:
    """A network of the table.

    Attributes:
        name: unique.
        source: the library.
        build: makes it, with random weights.
        shape: of one input, without the batch; small where the network allows that.
        how: to capture it.
    """

    name: str
    source: str
    build: Callable[[], nn.Module]
    shape: Shape
    how: Capture = Capture.AUTO

    def load_library(self) -> None:
        """Import what `build` needs."""
        if self.source in MODULES:
            _library(MODULES[self.source])


def all_networks() -> tuple[Network, ...]:
    """In the order in which they are measured: what torch.fx traces, which is quick, first."""
    return (*_tiny(), *_torchvision(), *_timm(), *_facenet(), *_smp(), *_ultralytics(), *_hf())


def _tiny() -> list[Network]:
    source = "MLPerf Tiny"
    return [
        Network("resnet8", source, resnet8, (3, 32, 32)),
        Network("ds_cnn", source, DsCnn, (1, 49, 10)),
        Network("mobilenet_v1_025", source, MobileNetV1, (3, 96, 96)),
        Network("autoencoder", source, AutoEncoder, (640,)),
    ]


TORCHVISION = (
    "alexnet vgg11 vgg11_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 "
    "squeezenet1_0 squeezenet1_1 googlenet inception_v3 mobilenet_v2 mobilenet_v3_small "
    "mobilenet_v3_large mnasnet0_5 mnasnet1_3 shufflenet_v2_x0_5 shufflenet_v2_x1_0 "
    "regnet_x_400mf regnet_y_400mf efficientnet_b0 efficientnet_b3 efficientnet_v2_s "
    "convnext_tiny swin_t swin_v2_t maxvit_t vit_b_16"
)
SIZES = {"vit_b_16": 224, "maxvit_t": 224, "inception_v3": 128, "alexnet": 128}
SEGMENTATION = "fcn_resnet50 deeplabv3_mobilenet_v3_large lraspp_mobilenet_v3_large"
VIDEO = {"r3d_18": (3, 4, 32, 32), "mc3_18": (3, 4, 32, 32), "r2plus1d_18": (3, 4, 32, 32)}


def _torchvision() -> list[Network]:
    source, models = "torchvision", "torchvision.models"
    found = [
        Network(
            name, source, _call(models, name, **_weightless(name)), _square(SIZES.get(name, 96))
        )
        for name in TORCHVISION.split()
    ]
    nothing = {"weights": None, "weights_backbone": None}
    found += [
        Network(name, source, _call(f"{models}.segmentation", name, **nothing), _square(64))
        for name in SEGMENTATION.split()
    ]
    found += [
        Network(name, source, _call(f"{models}.video", name, weights=None), shape)
        for name, shape in VIDEO.items()
    ]
    detector = "retinanet_resnet50_fpn"
    make = _call(f"{models}.detection", detector, **nothing)
    return [*found, Network(detector, source, make, _square(64))]


def _weightless(name: str) -> dict[str, object]:
    heads = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
    return {"weights": None, **heads}


TIMM = (
    "resnet10t resnet18 resnet26d resnext26ts seresnext26ts ecaresnet26t gcresnext26ts "
    "legacy_seresnet18 legacy_xception skresnet18 resnest14d res2net50_26w_8s res2net50d "
    "resnetv2_18 resnetv2_50x1_bit resnetv2_50 densenet121 densenetblur121d dla34 dla46_c dpn68 "
    "vgg11_bn vovnet39a ese_vovnet19b_slim_dw hrnet_w18_small inception_v3 inception_v4 "
    "inception_resnet_v2 xception41 xception41p selecsls42 tresnet_m cspresnet50 cspdarknet53 "
    "cs3darknet_s darknet17 regnetx_002 regnety_002 regnetz_b16 gernet_s repvgg_a0 mobileone_s0 "
    "efficientnet_b0 tf_efficientnet_b0 efficientnet_lite0 tf_efficientnet_lite0 "
    "efficientnetv2_rw_t tf_efficientnetv2_b0 efficientnet_b0_gn mixnet_s tf_mixnet_s "
    "mnasnet_small semnasnet_075 mobilenetv1_100 mobilenetv2_050 mobilenetv3_small_050 "
    "tf_mobilenetv3_small_minimal_100 mobilenetv4_conv_small fbnetc_100 fbnetv3_b lcnet_050 "
    "spnasnet_100 tinynet_e hardcorenas_a ghostnet_050 ghostnetv2_100 repghostnet_050 rexnet_100 "
    "rexnetr_100 convnext_atto convnextv2_atto convmixer_768_32 inception_next_atto "
    "edgenext_xx_small nfnet_l0 nf_resnet50 nf_regnet_b0 dm_nfnet_f0 hgnet_tiny hgnetv2_b0 "
    "repvit_m0_9 fasternet_t0 starnet_s050 shvit_s1 mambaout_femto rdnet_tiny mobilevit_xxs "
    "mobilevitv2_050 efficientvit_b0 fastvit_t8"
)
TIMED = "timm:efficientnet_b0"
"""Captured both ways."""
TIMM_SIZES = {
    "efficientnet_b0": 224,
    "inception_v3": 128,
    "inception_v4": 128,
    "inception_resnet_v2": 128,
}


def _timm() -> list[Network]:
    found = [
        Network(
            f"timm:{name}",
            "timm",
            _call("timm", "create_model", name, pretrained=False),
            _square(TIMM_SIZES.get(name, 96)),
        )
        for name in TIMM.split()
    ]
    (timed,) = (network for network in found if network.name == TIMED)
    return [*found, replace(timed, name=f"{TIMED} exported", how=Capture.EXPORT)]


def _facenet() -> list[Network]:
    source, nets = "facenet-pytorch", "facenet_pytorch.models.mtcnn"
    whole = _call("facenet_pytorch", "InceptionResnetV1")
    parts = {"PNet": 24, "RNet": 24, "ONet": 48}
    return [
        Network("InceptionResnetV1", source, whole, _square(96)),
        *(
            Network(name, source, _call(nets, name, pretrained=False), _square(size))
            for name, size in parts.items()
        ),
    ]


SMP = (
    ("Unet", "resnet18"),
    ("Unet", "efficientnet-b0"),
    ("Unet", "mobilenet_v2"),
    ("Linknet", "resnet18"),
    ("FPN", "resnet18"),
    ("PSPNet", "resnet18"),
    ("DeepLabV3", "resnet18"),
    ("DeepLabV3Plus", "resnet18"),
    ("UnetPlusPlus", "resnet18"),
    ("MAnet", "resnet18"),
    ("PAN", "resnet18"),
    ("UPerNet", "resnet18"),
)


def _smp() -> list[Network]:
    library = "segmentation_models_pytorch"
    return [
        Network(
            f"{kind}:{encoder}",
            "segmentation-models-pytorch",
            _call(library, kind, encoder_name=encoder, encoder_weights=None, classes=3),
            _square(128 if kind == "PAN" else 64),
        )
        for kind, encoder in SMP
    ]


YOLO = (
    ("yolov8n-cls", "ClassificationModel"),
    ("yolo11n-cls", "ClassificationModel"),
    ("yolov3-tiny", "DetectionModel"),
    ("yolov5n", "DetectionModel"),
    ("yolov6n", "DetectionModel"),
    ("yolov8n", "DetectionModel"),
    ("yolov8n-seg", "SegmentationModel"),
    ("yolov8n-pose", "PoseModel"),
    ("yolov10n", "DetectionModel"),
    ("yolo11n", "DetectionModel"),
    ("yolov9t", "DetectionModel"),
)


def _ultralytics() -> list[Network]:
    return [
        Network(
            name,
            "ultralytics",
            _call("ultralytics.nn.tasks", kind, f"{name}.yaml", verbose=False),
            _square(64),
        )
        for name, kind in YOLO
    ]


STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [32, 64, 96, 128]}
HF: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("ResNet", "ForImageClassification", {**STAGES, "layer_type": "basic", "embedding_size": 32}),
    ("RegNet", "ForImageClassification", {**STAGES, "groups_width": 16}),
    ("ConvNext", "ForImageClassification", STAGES),
    ("ConvNextV2", "ForImageClassification", STAGES),
    ("Bit", "ForImageClassification", {**STAGES, "hidden_sizes": [128, 256, 384, 512]}),
    ("MobileNetV1", "ForImageClassification", {"depth_multiplier": 0.5}),
    ("MobileNetV2", "ForImageClassification", {"depth_multiplier": 0.5}),
    (
        "EfficientNet",
        "ForImageClassification",
        {"depth_coefficient": 0.5, "width_coefficient": 1.0, "hidden_dim": 1280},
    ),
    ("MobileViT", "ForImageClassification", {"image_size": 64}),
    ("Segformer", "ForSemanticSegmentation", STAGES),
)


def _hf() -> list[Network]:
    return [
        Network(
            f"{kind}{head}", "transformers", partial(_configured, kind, head, keys), _square(64)
        )
        for kind, head, keys in HF
    ]


def _configured(kind: str, head: str, keys: dict[str, Any]) -> nn.Module:
    library = _library("transformers")
    network: nn.Module = getattr(library, kind + head)(getattr(library, f"{kind}Config")(**keys))
    return network


def _call(module: str, name: str, *args: object, **kwargs: object) -> Callable[[], nn.Module]:
    return partial(_called, module, name, args, kwargs)


def _called(module: str, name: str, args: Sequence[object], kwargs: dict[str, Any]) -> nn.Module:
    network: nn.Module = getattr(_library(module), name)(*args, **kwargs)
    return network


def _library(module: str) -> Any:
    """Import a library; torchvision asks for operators that it has for another build of torch."""
    with suppress(RuntimeError):  # they are there already
        operators = torch.library.Library("torchvision", "FRAGMENT")
        operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(operators)
    return importlib.import_module(module)


_KEPT: list[torch.library.Library] = []
"""Operators live as long as what declared them."""


def _square(size: int) -> Shape:
    return 3, size, size
