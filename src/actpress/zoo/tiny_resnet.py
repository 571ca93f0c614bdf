"""ResNet8 of MLPerf Tiny's image classification (Banbury et al. 2021, arXiv 2106.07597).

The network of the reference model in Keras, number for number: convolutions have biases, the
epsilon of batch normalisation is 1e-3, and padding is TensorFlow's `same`, which with a stride of 2
and an even size adds one row below and one column to the right only. Images are RGB, 0 to 255.
"""

from typing import cast

from torch import Tensor, nn

EPSILON = 1e-3
STAGES = ((16, 1), (32, 2), (64, 2))
"""Channels and stride of each block."""


class Block(nn.Module):
    """conv - norm - relu - conv - norm, plus the shortcut, then relu.

    A stride of 2 needs an even size.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        halves = stride == 2
        self.pad = nn.ZeroPad2d((0, 1, 0, 1)) if halves else nn.Identity()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 0 if halves else 1)
        self.bn1 = nn.BatchNorm2d(out_channels, EPSILON)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(out_channels, EPSILON)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride) if halves else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(self.pad(x))))
        return cast(Tensor, self.relu(self.shortcut(x) + self.bn2(self.conv2(y))))


class ResNet8(nn.Module):
    """A stem and three blocks; see `resnet8` for the arguments."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        channels = STAGES[0][0]
        self.conv1 = nn.Conv2d(in_channels, channels, 3, 1, 1)
        self.bn1 = nn.BatchNorm2d(channels, EPSILON)
        self.relu = nn.ReLU()
        blocks = []
        for out_channels, stride in STAGES:
            blocks.append(Block(channels, out_channels, stride))
            channels = out_channels
        self.layer1, self.layer2, self.layer3 = blocks
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return cast(Tensor, self.fc(self.avgpool(x).flatten(1)))


def resnet8(*, num_classes: int = 10, in_channels: int = 3) -> ResNet8:
    """Build an untrained ResNet8: 78,666 parameters, running statistics included, by default.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the input image, whose height and width are multiples of 4.
    """
    return ResNet8(num_classes, in_channels)
