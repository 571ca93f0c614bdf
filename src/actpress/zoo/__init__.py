"""Reference networks: torchvision's parameter names, a stem for 32x32 images, trained weights."""

from actpress.zoo.mobilenet import mobilenet_v2
from actpress.zoo.reference import (
    mobilenet_v2_fashion_mnist,
    resnet8_cifar10,
    resnet18_fashion_mnist,
    vgg16_bn_fashion_mnist,
)
from actpress.zoo.resnet import resnet18
from actpress.zoo.tiny_resnet import resnet8
from actpress.zoo.vgg import vgg16_bn

__all__ = [
    "mobilenet_v2",
    "mobilenet_v2_fashion_mnist",
    "resnet8",
    "resnet8_cifar10",
    "resnet18",
    "resnet18_fashion_mnist",
    "vgg16_bn",
    "vgg16_bn_fashion_mnist",
]
