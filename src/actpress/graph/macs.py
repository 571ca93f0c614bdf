"""Counting the multiply-accumulates that a module performs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


@torch.no_grad()
def macs_per_image(module: nn.Module, *inputs: Tensor) -> int:
    """Multiply-accumulates of convolutions, linear layers, products and attention, per image.

    Args:
        module: run once, in the mode it is in.
        inputs: one batch per argument, first axis n.
    """
    counter = _FlopCounter()  # type: ignore[no-untyped-call]
    with counter:
        module(*inputs)
    return counter.flops // (2 * len(inputs[0]))


class _FlopCounter(TorchDispatchMode):
    """Adds up what torch's formulas say of every operator.

    torch's own counter begins with loading torch's compiler, which takes longer than counting and
    evaluating a small network.
    """

    flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to be skipped by the compiler, the compiler would have to be loaded

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        formula = cast(Callable[..., int] | None, flop_registry.get(func.overloadpacket))
        if formula is None:
            with self:
                parts: Any = func.decompose(*args, **kwargs)  # in inference mode alone
            return func(*args, **kwargs) if parts is NotImplemented else parts
        output = func(*args, **kwargs)
        self.flops += formula(*args, **kwargs, out_val=output)
        return output
