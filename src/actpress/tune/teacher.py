"""What the float network predicts, computed once for an image."""

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from actpress.tasks.nest import floats, joined, leaves, mapped

KEPT_BYTES = 1 << 28
"""Predictions are kept up to so many bytes."""


class Teacher:
    """The float network, on images that training goes through again and again.

    Images are known by their bytes, so that it does not matter where they come from, and those that
    are never the same twice are predicted each time. On a CPU only: elsewhere a prediction takes
    less time than it takes to look at the bytes.

    Args:
        network: in eval mode.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._kept: dict[bytes, Any] = {}
        self._bytes_left = KEPT_BYTES

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Any:
        """The network's output for x, shape (n, c, ...), in float32 and without lists."""
        if x.device.type != "cpu":
            return floats(self.network(x))
        names = [_name(image) for image in x]
        if all(name in self._kept for name in names):
            return joined([self._kept[name] for name in names])
        output = floats(self.network(x))
        if all(part.ndim and len(part) == len(x) for part in leaves(output)):
            for index, name in enumerate(names):
                self._keep(name, output, index)
        return output

    def _keep(self, name: bytes, output: Any, index: int) -> None:
        row = mapped(output, lambda part: part[index : index + 1].clone())
        size_bytes = sum(part.nbytes for part in leaves(row))
        if name not in self._kept and size_bytes <= self._bytes_left:
            self._kept[name] = row
            self._bytes_left -= size_bytes


def _name(image: Tensor) -> bytes:
    return hashlib.blake2b(image.contiguous().numpy().data, digest_size=16).digest()
