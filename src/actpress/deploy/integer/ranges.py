"""Least and greatest value of every node, from training images."""

from collections.abc import Iterable

import torch
from torch import Tensor, fx

from actpress.deploy.integer.operands import Bounds
from actpress.errors import ExportError


class _Watched(fx.Interpreter):
    """Runs a graph and keeps the range of every value."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.ranges: dict[str, Bounds] = {}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
            low, high = (float(each) for each in value.aminmax())
            least, greatest = self.ranges.get(n.name, (low, high))
            self.ranges[n.name] = min(low, least), max(high, greatest)
        return value


@torch.no_grad()
def value_ranges(network: fx.GraphModule, batches: Iterable[Tensor]) -> dict[str, Bounds]:
    """Range of every tensor of a frozen network, by the name of its node.

    Args:
        network: from `freeze`.
        batches: images as the network takes them, shape (n, c, h, w).

    Raises:
        ExportError: a value is not finite.
    """
    watched = _Watched(network)
    for images in batches:
        watched.run(images)
    for name, bounds in watched.ranges.items():
        if not all(map(torch.isfinite, torch.tensor(bounds))):
            raise ExportError(f"{name} has values that are not finite")
    return watched.ranges
