"""The shapes of MLPerf Tiny's networks that the zoo has not."""

from itertools import pairwise

from torch import Tensor, nn

WIDTHS = (8, 16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256)
HALVING = (1, 3, 5, 11)
"""Blocks of MobileNetV1 with stride 2."""


def _normalised(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]


def _separable(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [
        *_normalised(nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False)),
        *_normalised(nn.Conv2d(inputs, outputs, 1, bias=False)),
    ]


class DsCnn(nn.Sequential):
    """Keyword spotting: (1, 49, 10) to 12 words."""

    def __init__(self) -> None:
        super().__init__(
            *_normalised(nn.Conv2d(1, 64, (10, 4), 2, padding=(5, 1), bias=False)),
            *(layer for _ in range(4) for layer in _separable(64, 64)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, 12),
        )


class MobileNetV1(nn.Sequential):
    """Visual wake words at a quarter of the width: (3, 96, 96) to 2 classes."""

    def __init__(self) -> None:
        blocks = [
            layer
            for block, (inputs, outputs) in enumerate(pairwise(WIDTHS))
            for layer in _separable(inputs, outputs, 2 if block in HALVING else 1)
        ]
        super().__init__(
            *_normalised(nn.Conv2d(3, WIDTHS[0], 3, 2, padding=1, bias=False)),
            *blocks,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(WIDTHS[-1], 2),
        )


class AutoEncoder(nn.Module):
    """Anomalies in sound: (640,) to (640,) by way of 8 numbers."""

    def __init__(self) -> None:
        super().__init__()
        widths = (640, *(128,) * 4, 8, *(128,) * 4)
        layers = [
            layer
            for inputs, outputs in pairwise(widths)
            for layer in (nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())
        ]
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(widths[-1], 640)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.layers(x))
        return result
