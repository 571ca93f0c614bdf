"""Weights of a dense layer in float64, and the matrices that it takes in."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from actpress.deploy.layers import frozen
from actpress.deploy.maps import Maps
from actpress.graph import DenseLayer


@dataclass(frozen=True)
class Numbers:
    """What a layer of some form computes with.

    Attributes:
        form: of the layer.
        weight: shape (outputs, inputs / groups, *kernel), for transposed convolutions too.
        bias: shape (outputs,).
    """

    form: DenseLayer
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, form: DenseLayer, module: nn.Module) -> "Numbers":
        """Those of a module of `fold.DENSE_TYPES`."""
        assert isinstance(module, nn.Linear | _ConvNd), "dense layers are linear or convolutions"
        weight = module.weight.detach().cpu().double()
        if form.transposed:
            weight = _swapped(weight, form.groups)
        bias = torch.zeros(form.outputs).double()
        if module.bias is not None:
            bias = module.bias.detach().cpu().double()
        return cls(form, weight, bias)

    def normalised(self, norm: _BatchNorm) -> "Numbers":
        """With the affine map of a normalisation in eval mode behind it."""
        assert norm.running_mean is not None, "it has statistics of its own"
        assert norm.running_var is not None, "the same"
        mean, variance = norm.running_mean.cpu().double(), norm.running_var.cpu().double()
        scale = (variance + norm.eps).rsqrt()
        shift = -mean * scale
        if norm.affine:
            gain, offset = norm.weight.detach().cpu().double(), norm.bias.detach().cpu().double()
            scale, shift = scale * gain, shift * gain + offset
        scaled = self.scaled_outputs(scale)
        return replace(scaled, bias=scaled.bias + self._by_phase(shift))

    def scaled_outputs(self, scale: Tensor) -> "Numbers":
        """Every channel of the layer's result times a number, shape (outputs / shuffle^2,)."""
        scale = self._by_phase(scale)
        weight = self.weight * scale.reshape(-1, *[1] * (self.weight.ndim - 1))
        return replace(self, weight=weight, bias=self.bias * scale)

    def _by_phase(self, values: Tensor) -> Tensor:
        """Numbers of the channels after shuffling, for those before."""
        return values.repeat_interleave(self.form.shuffle**2)

    def scaled_inputs(self, scale: Tensor) -> "Numbers":
        """Reading each channel in units of a number, shape (inputs,)."""
        groups = self.form.groups
        by_group = scale.reshape(groups, -1).repeat_interleave(self.form.outputs // groups, 0)
        by_tap = by_group.reshape(*by_group.shape, *[1] * (self.weight.ndim - 2))
        return replace(self, weight=self.weight * by_tap)

    def with_encoder(self, folded: DenseLayer, maps: Maps) -> "Numbers":
        """Giving components in place of outputs.

        Args:
            folded: `form.with_encoder(maps.rank, maps.block)`.
            maps: in float64.
        """
        block, shuffle = maps.block, self.form.shuffle
        if shuffle > block:
            inner, outer, side = block, shuffle // block, 1
        else:
            inner, outer, side = shuffle, 1, block // shuffle
        # An encoder's pixel is (side, inner), an output's phase is (outer, inner).
        rank, channels = maps.rank, maps.channels
        matrix = maps.encoder.reshape(rank, channels, side, inner, side, inner)
        shape = channels, outer, inner, outer, inner
        weight = self.weight.reshape(*shape, *self.weight.shape[1:])
        bias = self.bias.reshape(shape)
        mixed_bias = torch.einsum("rcuv,cyuxv->ryx", matrix.sum((2, 4)), bias)
        mixed = torch.zeros(rank * outer**2, folded.inputs, *folded.kernel).double()
        for row in range(side):
            for column in range(side):
                part = torch.einsum("rcuv,cyuxv...->ryx...", matrix[:, :, row, :, column], weight)
                place = _window(self.form, row, column) if side > 1 else ...
                mixed[place] += part.reshape(len(mixed), *self.weight.shape[1:])
        constant = maps.encoder_bias[:, None, None]
        return Numbers(folded, mixed, (mixed_bias + constant).flatten())

    def with_decoder(self, folded: DenseLayer, maps: Maps) -> "Numbers":
        """Reading components in place of inputs.

        Args:
            folded: `form.with_decoder(maps.rank, maps.block, ...)`.
            maps: in float64.
        """
        if maps.block == 1:
            weight = torch.einsum("oc...,cj->oj...", self.weight, maps.decoder)
            constant = torch.einsum("oc...,c->o...", self.weight, maps.decoder_bias)
        else:
            weight, constant = self._of_blocks(folded, maps)
        phases = folded.outputs // self.form.outputs
        bias = self.bias.repeat_interleave(phases)
        if folded.inputs > maps.rank:  # one channel more, of ones
            return Numbers(folded, torch.cat([weight, constant[:, None]], 1), bias)
        return Numbers(folded, weight, bias + constant.reshape(len(bias), -1).sum(1))

    def _of_blocks(self, folded: DenseLayer, maps: Maps) -> tuple[Tensor, Tensor]:
        """Kernels of symbols, (outputs * phases^2, k, *kernel), and of the decoder's offset."""
        form, block, phases = self.form, maps.block, folded.shuffle
        decoder = maps.decoder.reshape(maps.channels, block, block, maps.rank)
        offset = maps.decoder_bias.reshape(maps.channels, block, block)
        shape = form.outputs, phases, phases
        weight = torch.zeros(*shape, maps.rank, *folded.kernel).double()
        constant = torch.zeros(*shape, *folded.kernel).double()
        for row, tap_row, y, inner_y in _taps(form, folded, block, axis=0):
            for column, tap_column, x, inner_x in _taps(form, folded, block, axis=1):
                taken = self.weight[:, :, tap_row, tap_column]
                weight[:, row, column, :, y, x] += taken @ decoder[:, inner_y, inner_x]
                constant[:, row, column, y, x] += taken @ offset[:, inner_y, inner_x]
        return weight.flatten(0, 2), constant.flatten(0, 2)

    def module(self, original: nn.Module, before: DenseLayer) -> nn.Module:
        """A layer of these numbers in float32, on the original's device, not to be trained.

        Args:
            original: the layer that it takes the place of.
            before: the form of that layer.
        """
        form = self.form
        if not form.kernel:
            with torch.device("meta"):
                linear = nn.Linear(form.inputs, form.outputs)
            return self._filled(linear, original)
        assert isinstance(original, _ConvNd), "layers with kernels are convolutions"
        sides = form.padding
        explicit = any(first != last or first < 0 for first, last in sides)
        padding: Any = original.padding
        before_it: list[nn.Module] = []
        if sides != before.padding:
            padding = 0 if explicit else tuple(first for first, _ in sides)
            before_it = [nn.ZeroPad2d((*sides[1], *sides[0]))] if explicit else []
        options: dict[str, Any] = {"padding": padding, "padding_mode": original.padding_mode}
        if form.transposed:
            options["output_padding"] = original.output_padding
        kind: Any = type(original)
        with torch.device("meta"):
            empty = kind(
                form.inputs,
                form.outputs,
                form.kernel,
                stride=form.stride,
                dilation=form.dilation,
                groups=form.groups,
                **options,
            )
        after_it = [nn.PixelShuffle(form.shuffle)] if form.shuffle > 1 else []
        layers = [*before_it, self._filled(empty, original), *after_it]
        return nn.Sequential(*layers) if len(layers) > 1 else layers[0]

    def _filled(self, layer: nn.Linear | _ConvNd, original: nn.Module) -> nn.Module:
        weight = self.weight
        if self.form.transposed:
            weight = _swapped(weight, self.form.groups)
        device = next(original.parameters()).device
        layer.weight = frozen(weight.float().to(device))
        layer.bias = frozen(self.bias.float().to(device))
        return layer.train(original.training)


def _swapped(weight: Tensor, groups: int) -> Tensor:
    """Between (a, b / groups, ...) and (b, a / groups, ...), the channels of a group together."""
    first, second, *kernel = weight.shape
    by_group = weight.reshape(groups, first // groups, second, *kernel).transpose(1, 2)
    return by_group.reshape(groups * second, first // groups, *kernel)


def _window(form: DenseLayer, row: int, column: int) -> tuple[slice, ...]:
    """Where the taps of one pixel of a block lie in the kernel of the whole block."""
    everything = slice(None)
    places = (
        slice(pixel * stride, pixel * stride + (taps - 1) * dilation + 1, dilation)
        for pixel, stride, taps, dilation in zip(
            (row, column), form.stride, form.kernel, form.dilation, strict=True
        )
    )
    return everything, everything, *places


def _taps(
    form: DenseLayer, folded: DenseLayer, block: int, *, axis: int
) -> Iterator[tuple[int, int, int, int]]:
    """Phase, tap, tap among blocks, and pixel within the block, along one axis."""
    before, first = form.padding[axis][0], -folded.padding[axis][0]
    for phase, tap in product(range(folded.shuffle), range(form.kernel[axis])):
        position = phase * form.stride[axis] + tap * form.dilation[axis] - before
        yield phase, tap, position // block - first, position % block
