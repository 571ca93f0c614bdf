"""MobileNetV2 with torchvision's parameter names (Sandler et al. 2018, arXiv 1801.04381)."""

from typing import cast

from torch import Tensor, nn

# (expansion, channels, blocks, stride of the first block): Table 2 of the paper.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class ConvNormActivation(nn.Sequential):
    """conv - norm - relu6, numbered 0, 1, 2 as in torchvision."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(
                in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
            ),
            nn.BatchNorm2d(out_channels),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; the projection has no activation (a linear bottleneck)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.use_res_connect = stride == 1 and in_channels == out_channels
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(ConvNormActivation(in_channels, hidden, 1))
        layers += [
            ConvNormActivation(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        if self.use_res_connect:
            return cast(Tensor, x + self.conv(x))
        return cast(Tensor, self.conv(x))


class MobileNetV2(nn.Module):
    """Seventeen inverted residuals; see `mobilenet_v2` for the arguments."""

    def __init__(self, num_classes: int, in_channels: int, stem: str) -> None:
        super().__init__()
        if stem not in ("imagenet", "small"):
            raise ValueError(f"stem must be 'imagenet' or 'small', got {stem!r}")
        channels = 32
        layers: list[nn.Module] = [
            ConvNormActivation(in_channels, channels, 3, 2 if stem == "imagenet" else 1)
        ]
        for expansion, out_channels, blocks, stride in STAGES:
            for index in range(blocks):
                step = stride if index == 0 else 1
                layers.append(InvertedResidual(channels, out_channels, step, expansion))
                channels = out_channels
        layers.append(ConvNormActivation(channels, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.adaptive_avg_pool2d(self.features(x), 1).flatten(1)
        return cast(Tensor, self.classifier(x))


def mobilenet_v2(
    *, num_classes: int = 1000, in_channels: int = 3, stem: str = "imagenet"
) -> MobileNetV2:
    """Build an untrained MobileNetV2 of width 1.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the input image.
        stem: `imagenet` (first convolution with stride 2) or `small` (stride 1, for 32x32 images).
    """
    return MobileNetV2(num_classes, in_channels, stem)
