"""Counting the multiply-accumulates that a module performs."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@torch.no_grad()
def macs_per_image(module: nn.Module, *inputs: Tensor) -> int:
    """Multiply-accumulates of convolutions, linear layers, products and attention, per image.

    Args:
        module: run once, in the mode it is in.
        inputs: one batch per argument, first axis n.
    """
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return int(counter.get_total_flops()) // (2 * len(inputs[0]))
