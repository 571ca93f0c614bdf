"""The few layers of a frozen network that torch.nn does not have."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.codec.projection import pixel_by_pixel


class RoundClamp(nn.Module):
    """z (n, k, ...) -> integer symbols as floats, of the same shape.

    Args:
        q_min, q_max: symbol range of each component, shape (k,).
        axes: of z.
        pixel_by_pixel: give maps in channels_last, as the decoder of a codec reads them.
    """

    q_min: Tensor
    q_max: Tensor

    def __init__(self, q_min: Tensor, q_max: Tensor, *, axes: int, pixel_by_pixel: bool) -> None:
        super().__init__()
        shape = (-1, *[1] * (axes - 2))
        self.register_buffer("q_min", q_min.reshape(shape))
        self.register_buffer("q_max", q_max.reshape(shape))
        self.pixel_by_pixel = pixel_by_pixel

    def forward(self, z: Tensor) -> Tensor:
        q = torch.round(z).clamp(self.q_min, self.q_max)
        return pixel_by_pixel(q) if self.pixel_by_pixel else q


class DivideChannels(nn.Module):
    """Some channels of x (n, c, ...), in units of their steps: (n, k, ...).

    Args:
        step: of each component, shape (k,).
        kept: its channel, shape (k,); None where all are kept.
        axes: of x.
    """

    step: Tensor
    kept: Tensor | None

    def __init__(self, step: Tensor, kept: Tensor | None, *, axes: int) -> None:
        super().__init__()
        self.register_buffer("step", step.reshape(-1, *[1] * (axes - 2)))
        self.register_buffer("kept", kept)

    def forward(self, x: Tensor) -> Tensor:
        return (x if self.kept is None else x.index_select(1, self.kept)) / self.step


class MultiplyChannels(nn.Module):
    """The way back of `DivideChannels`; channels that were dropped are zero.

    Args:
        step: of each component, shape (k,).
        position: of each of the c channels among the components, or k for a zero, shape (c,);
            None where all are kept.
        axes: of the symbols.
    """

    step: Tensor
    position: Tensor | None

    def __init__(self, step: Tensor, position: Tensor | None, *, axes: int) -> None:
        super().__init__()
        self.register_buffer("step", step.reshape(-1, *[1] * (axes - 2)))
        self.register_buffer("position", position)

    def forward(self, q: Tensor) -> Tensor:
        y = q * self.step
        if self.position is None:
            return y
        return torch.cat([y, torch.zeros_like(y[:, :1])], 1).index_select(1, self.position)


class MixChannels(nn.Module):
    """A matrix (k, c) on axis 1 of x (n, c, ...), of three axes or of more than four."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = frozen(weight[:, :, None]), frozen(bias)

    def forward(self, x: Tensor) -> Tensor:
        mixed = F.conv1d(x.flatten(2), self.weight, self.bias)
        return cast(Tensor, mixed.unflatten(2, x.shape[2:]))


class AppendOnes(nn.Module):
    """A channel of ones behind those of x (n, c, ...), which padding ends: (n, c + 1, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, torch.ones_like(x[:, :1])], 1)


def frozen(values: Tensor) -> nn.Parameter:
    """A parameter of its own that is not trained."""
    values = values.detach().clone(memory_format=torch.contiguous_format)
    return nn.Parameter(values, requires_grad=False)
