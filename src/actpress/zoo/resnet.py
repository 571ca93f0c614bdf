"""ResNet18 with torchvision's parameter names (He et al. 2016, arXiv 1512.03385)."""

from typing import cast

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """conv - norm - relu - conv - norm, plus the shortcut, then relu."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += shortcut
        return cast(Tensor, self.relu(x))


class ResNet18(nn.Module):
    """Four stages of two basic blocks; see `resnet18` for the arguments."""

    def __init__(self, num_classes: int, in_channels: int, base_channels: int, stem: str) -> None:
        super().__init__()
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(in_channels, base_channels, 7, 2, 3, bias=False)
            self.maxpool: nn.Module = nn.MaxPool2d(3, 2, 1)
        elif stem == "small":
            self.conv1 = nn.Conv2d(in_channels, base_channels, 3, 1, 1, bias=False)
            self.maxpool = nn.Identity()
        else:
            raise ValueError(f"stem must be 'imagenet' or 'small', got {stem!r}")
        self.bn1 = nn.BatchNorm2d(base_channels)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(base_channels, base_channels, 1)
        self.layer2 = _stage(base_channels, base_channels * 2, 2)
        self.layer3 = _stage(base_channels * 2, base_channels * 4, 2)
        self.layer4 = _stage(base_channels * 4, base_channels * 8, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(base_channels * 8, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return cast(Tensor, self.fc(self.avgpool(x).flatten(1)))


def _stage(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(in_channels, out_channels, stride), BasicBlock(out_channels, out_channels, 1)
    )


def resnet18(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    base_channels: int = 64,
    stem: str = "imagenet",
) -> ResNet18:
    """Build an untrained ResNet18.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the input image.
        base_channels: width of the first stage; 64 is torchvision's network.
        stem: `imagenet` (7x7 stride 2, max pooling) or `small` (3x3 stride 1, for 32x32 images).
    """
    return ResNet18(num_classes, in_channels, base_channels, stem)
