"""Codecs compute in float32, also where the network around them is trained in bfloat16."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch
from torch import Tensor

Codec = TypeVar("Codec")
Output = TypeVar("Output")


def in_float32(forward: Callable[[Codec, Tensor], Output]) -> Callable[[Codec, Tensor], Output]:
    """A method that autocast does not reach: rounding must not depend on its precision."""

    @wraps(forward)
    def run(self: Codec, x: Tensor) -> Output:
        if not torch.is_autocast_enabled(x.device.type):
            return forward(self, x)
        with torch.autocast(x.device.type, enabled=False):
            return forward(self, x.float())

    return run
