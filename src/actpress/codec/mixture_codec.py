"""`MixtureCodec`: a site whose groups of components learn how many bits they deserve."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from actpress.budget import View
from actpress.codec.entropy import laplace_entropy_bits
from actpress.codec.precision import in_float32
from actpress.codec.projection import Projection
from actpress.codec.site_codec import CodecOutput
from actpress.kernels.mixture import Quantizers, mix_quantized

WIDEST = 8
"""Bit-widths are 0 (dropped) to this."""

WINDOW = 3
"""Candidates of a moving window."""

SYMBOL_LIMIT = 2047
"""Largest symbol where rare symbols cost the entropy coder next to nothing."""

CERTAINTY = 2.0
"""Logit of the first bit-width above those of its neighbours."""

EDGE = 0.5
"""Weight at which the candidate on the edge of a window moves it."""


class MixtureCodec(nn.Module):
    """Quantizes every group of components at several bit-widths at once, and weighs the results.

    ```
      x -> [ encode ] -> y -> sum_i softmax(logits / temperature)_i Q_i(y) -> [ decode ] -> x_hat
                         Q_i: width lowest + i, step 2^(log2_range - width); width 0 drops
    ```

    The widths of a group are a window of `candidates` consecutive ones. With fewer than all nine,
    `move_windows` shifts a window whose edge has won, so that few candidates explore all widths.

    In the fixed view a width is what packing stores: 2^width levels, zero between two of them for
    signed values. In the entropy view it is a resolution: the step is set by it, levels go as far
    as they are needed, and the rate is the entropy of the rounded values as a Laplace variable.

    Args:
        projection: between channels and components, all of them.
        group: of each component, shape (k,), int64, 0..G-1.
        log2_range: of each group, shape (G,): the range that 2^width steps divide.
        width: where each group starts, shape (G,), int64, 0..8.
        view: the bits that are counted.
        signed: whether components take both signs.
        between_levels: whether zero of signed components lies between two levels, as a projection's
            offset allows.
        candidates: in a window, 3..9.
        narrowest: no window goes below this width.
    """

    group: Tensor
    lowest: Tensor
    temperature: Tensor
    rate_scale: Tensor

    def __init__(
        self,
        projection: Projection,
        group: Tensor,
        log2_range: Tensor,
        width: Tensor,
        *,
        view: View,
        signed: bool = True,
        between_levels: bool = True,
        candidates: int = WINDOW,
        narrowest: int = 0,
    ) -> None:
        super().__init__()
        self.narrowest = narrowest
        self.projection = cast(Any, projection)
        self.view, self.signed, self.candidates = view, signed, candidates
        self.between_levels = signed and between_levels
        self.register_buffer("group", group)
        self.register_buffer(
            "lowest", (width - candidates // 2).clamp(narrowest, WIDEST + 1 - candidates)
        )
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("rate_scale", torch.ones(()))
        self.log2_range = nn.Parameter(log2_range.float().clone(), requires_grad=False)
        start = self.widths() == width[:, None]
        self.logits = nn.Parameter(CERTAINTY * start.float(), requires_grad=False)

    def widths(self) -> Tensor:
        """Bit-widths of the candidates of each group, shape (G, candidates), int64."""
        return self.lowest[:, None] + torch.arange(self.candidates, device=self.lowest.device)

    def weights(self) -> Tensor:
        """Of the candidates of each group, shape (G, candidates), adding up to 1."""
        return torch.softmax(self.logits / self.temperature, dim=1)

    def chosen_widths(self) -> Tensor:
        """The candidate of the largest weight in each group, shape (G,), int64."""
        return self.widths().gather(1, self.logits.argmax(1, keepdim=True))[:, 0]

    @in_float32
    def forward(self, x: Tensor) -> CodecOutput:
        """Compress x, shape (n, c, ...), at all candidate widths, and mix."""
        unit = torch.ones(len(self.group), device=x.device)
        y = self.projection.encode(x, unit)
        weights = self.weights()
        quantizers = self._quantizers(y[0, 0].numel())
        per_component = Quantizers(*(table[self.group] for table in quantizers))
        y_hat = mix_quantized(y, weights[self.group], per_component)
        x_hat = self.projection.decode(y_hat, unit)
        return CodecOutput(x_hat, self._rate_bits(y, weights, quantizers.step))

    @torch.no_grad()
    def move_windows(self) -> Tensor:
        """Shift every window whose edge has won by one; returns which moved, shape (G,), bool.

        The candidate that enters takes the logit of the one that leaves, so that it starts with
        next to no weight and has to earn it.
        """
        weights = self.weights()
        up = (weights[:, -1] > EDGE) & (self.lowest + self.candidates <= WIDEST)
        down = (weights[:, 0] > EDGE) & (self.lowest > self.narrowest)
        self.lowest += up.long() - down.long()
        self.logits[up] = self.logits[up].roll(-1, dims=1)
        self.logits[down] = self.logits[down].roll(1, dims=1)
        return up | down

    def _quantizers(self, pixels: int) -> Quantizers:
        """Tables of the candidates, shape (G, candidates)."""
        widths = self.widths()
        levels = 2.0**widths
        step = torch.exp2(self.log2_range[:, None] - widths)
        if self.view is View.ENTROPY:
            high = torch.full_like(step, SYMBOL_LIMIT)
            low, centre = -high if self.signed else torch.zeros_like(step), torch.zeros_like(step)
        else:
            low = -levels / 2 if self.signed else torch.zeros_like(levels)
            high = low + levels - 1
            centre = torch.full_like(step, 0.5 if self.between_levels else 0.0)
        high = torch.where(widths == 0, low - 1, high)
        step = _scale_gradient(step, self._step_gradient_scale(pixels, high))
        return Quantizers(step, centre, low, high)

    def _step_gradient_scale(self, pixels: int, high: Tensor) -> Tensor:
        """1 / sqrt(values * largest level), as LSQ scales the gradient of a step."""
        members = torch.bincount(self.group, minlength=len(self.lowest))
        return (members[:, None] * pixels * high.clamp(min=1)).rsqrt()

    def _rate_bits(self, y: Tensor, weights: Tensor, step: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.rate_scale * 0
        pixels = y[0, 0].numel()
        if self.view is View.FIXED:
            bits = (weights * self.widths()).sum(1)[self.group]
            return self.rate_scale * pixels * bits.sum()
        mean_abs = y.abs().mean(dim=(0, *range(2, y.ndim)))
        bits = laplace_entropy_bits(mean_abs[:, None] / step[self.group])
        kept = self.widths() > 0
        return self.rate_scale * pixels * (bits * (weights * kept)[self.group]).sum()


def _scale_gradient(value: Tensor, scale: Tensor) -> Tensor:
    """The same value; its gradient is multiplied by `scale`."""
    return (value - value * scale).detach() + value * scale
