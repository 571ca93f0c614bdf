"""VGG16-BN with torchvision's parameter names (Simonyan and Zisserman 2015, arXiv 1409.1556)."""

from typing import cast

from torch import Tensor, nn

# Multiples of the base width; None is a 2x2 max pooling. Configuration D of the paper.
LAYOUT = (1, 1, None, 2, 2, None, 4, 4, 4, None, 8, 8, 8, None, 8, 8, 8, None)


class VGG16BN(nn.Module):
    """Thirteen 3x3 convolutions and three linear layers; see `vgg16_bn` for the arguments."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        base_channels: int,
        hidden_features: int,
        pooled_size: int,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for multiple in LAYOUT:
            if multiple is None:
                layers.append(nn.MaxPool2d(2, 2))
                continue
            width = multiple * base_channels
            layers += [
                nn.Conv2d(channels, width, 3, 1, 1),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled_size)
        self.classifier = nn.Sequential(
            nn.Linear(channels * pooled_size**2, hidden_features),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(hidden_features, hidden_features),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(hidden_features, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x)).flatten(1)
        return cast(Tensor, self.classifier(x))


def vgg16_bn(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    base_channels: int = 64,
    hidden_features: int = 4096,
    pooled_size: int = 7,
) -> VGG16BN:
    """Build an untrained VGG16 with batch normalisation.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the input image.
        base_channels: width of the first stage; 64 is torchvision's network.
        hidden_features: width of the two hidden linear layers; torchvision has 4096.
        pooled_size: side of the pooled feature map; torchvision has 7, 32x32 images need 1.
    """
    return VGG16BN(num_classes, in_channels, base_channels, hidden_features, pooled_size)
