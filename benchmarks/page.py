"""What the pages of results share."""

TITLES = {"resnet18": "ResNet18", "vgg16_bn": "VGG16-BN", "mobilenet_v2": "MobileNetV2"}


def target_line(what: str, target: str, measured: str, *, met: bool | None) -> str:
    """A line of a table of targets; None is not judged."""
    verdict = "-" if met is None else "yes" if met else "**no**"
    return f"| {what} | {target} | {measured} | {verdict} |"
