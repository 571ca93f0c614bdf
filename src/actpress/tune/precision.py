"""Training in bfloat16 where that is faster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType

import torch
from torch import Tensor, nn

from actpress.codec import in_float32


@contextmanager
def mixed_precision(
    network: nn.Module, device: torch.device, *, wanted: bool | None
) -> Iterator[None]:
    """bfloat16 for what a network computes around its codecs while the block runs.

    On a CPU convolutions with groups and strides stay in float32: the gradient of their input has
    no fast kernel in bfloat16.

    Args:
        network: changed while the block runs, as it was afterwards.
        device: where it is.
        wanted: whether at all; None is on a GPU only.
    """
    if not (device.type == "cuda" if wanted is None else wanted):
        yield
        return
    slow = [m for m in network.modules() if device.type == "cpu" and _strides_in_groups(m)]
    own = [vars(module).get("forward") for module in slow]
    for module in slow:
        forward = in_float32(_without_self(module.forward))
        vars(module)["forward"] = MethodType(forward, module)
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            yield
    finally:
        for module, before in zip(slow, own, strict=True):
            del vars(module)["forward"]
            if before is not None:
                vars(module)["forward"] = before


def _without_self(forward: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Tensor], Tensor]:
    return lambda _module, x: forward(x)


def _strides_in_groups(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups > 1 and max(module.stride) > 1
