"""A folded network held against the frozen one, site by site."""

import torch
from torch import Tensor, nn

from actpress.deploy.fold import FoldReport, fold
from actpress.deploy.freeze import freeze
from actpress.deploy.layers import DivideChannels
from actpress.pressing import CompressedModel

TOLERANCE = 1e-5
"""Relative to the largest terms of the sum that is quantized, or to the outputs."""


class Replaced(nn.Module):
    """Gives symbols that are known already, and keeps what should have been quantized."""

    def __init__(self, symbols: Tensor) -> None:
        super().__init__()
        self.symbols = symbols
        self.seen = symbols

    def forward(self, z: Tensor) -> Tensor:
        self.seen = z
        return self.symbols


@torch.no_grad()
def assert_folds(
    pressed: CompressedModel, x: Tensor, *, weights_may_grow: bool = False
) -> FoldReport:
    """Every site quantizes the same numbers, and the outputs are equal, within float rounding.

    One symbol that differs changes all that follow it. So each site of the folded network goes on
    with the symbols of the frozen one.
    """
    folded, report = fold(pressed, weights_may_grow=weights_may_grow)
    frozen = freeze(pressed)
    paths = pressed.network.codec_paths
    given: dict[str, tuple[Tensor, Tensor]] = {}
    terms: dict[str, float] = {}

    def keep(site: str) -> object:
        return lambda _, inputs, q: given.update({site: (inputs[0], q)})

    def weigh(site: str) -> object:
        return lambda encode, inputs, _: terms.update({site: _gain(encode) * _largest(inputs[0])})

    for site, path in paths.items():
        frozen.get_submodule(f"{path}.encode").register_forward_hook(weigh(site))
        frozen.get_submodule(f"{path}.quantize").register_forward_hook(keep(site))
    expected = frozen(x)
    replaced = {}
    for site, path in paths.items():
        replaced[site] = folded.get_submodule(path).quantize = Replaced(given[site][1])
    output = folded(x)
    torch.testing.assert_close(output, expected, rtol=0, atol=TOLERANCE * _largest(expected))
    for site, (z, _) in given.items():
        seen = replaced[site].seen
        assert seen.shape == z.shape, site
        tolerance = TOLERANCE * max(terms[site], _largest(z))
        assert float((seen - z).abs().max()) <= tolerance, site
        differ = seen.round() != z.round()
        ties = (z - z.floor() - 0.5).abs() <= tolerance
        assert bool(ties[differ].all()), site
    return report


def _gain(encode: nn.Module) -> float:
    """Largest sum of magnitudes of an encoder's row."""
    if isinstance(encode, DivideChannels):
        return float(1 / encode.step.min())
    return float(encode.weight.abs().flatten(1).sum(1).max())


def _largest(values: Tensor) -> float:
    return float(values.abs().max().clamp(min=1))
