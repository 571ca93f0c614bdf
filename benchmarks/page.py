"""What the pages of results share."""

from collections import Counter
from collections.abc import Sequence

from benchmarks.store import Row

TITLES = {"resnet18": "ResNet18", "vgg16_bn": "VGG16-BN", "mobilenet_v2": "MobileNetV2"}


def target_line(what: str, target: str, measured: str, *, met: bool | None) -> str:
    """A line of a table of targets; None is not judged."""
    verdict = "-" if met is None else "yes" if met else "**no**"
    return f"| {what} | {target} | {measured} | {verdict} |"


def commits_line(rows: Sequence[Row]) -> str:
    """Of which commits the rows are: they stay where the code that makes them did not change."""
    counts = Counter(row["environment"]["commit"] for row in rows)
    listed = ", ".join(f"{commit} ({count})" for commit, count in counts.items())
    return f"Rows by the commit that measured them: {listed}.\n"
