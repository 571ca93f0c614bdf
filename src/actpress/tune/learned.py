"""Which parameters a run trains, and how fast.

Rates of projections are in quantization steps. Networks, sites and budgets differ by orders of
magnitude in how large a projection's entries are and how coarse its steps: one rate in the entries'
own units is too slow for one site and too fast for another. Adam moves every entry by about its
rate, so a rate is the movement that is wanted, divided by what an entry's movement does to a symbol
or to a restored value.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from actpress.codec import LinearProjection, SiteCodec, as_blocks, per_component
from actpress.errors import TuningError
from actpress.graph import values_before
from actpress.pressing import CompressedModel
from actpress.settings import Trainable, TuneSettings

SMALLEST_SCALE = 1e-6
"""Values that never vary are taken to vary by this much, so that rates stay finite."""

LARGEST_SHARE = 0.1
"""No rate is above this share of the entries: where a batch holds hardly a symbol that is not zero,
they could move far before anything shows."""


@dataclass(frozen=True)
class Learned:
    """Parameters with one learning rate.

    Attributes:
        parameters: trained together.
        peak_lr: of Adam; the schedule scales it.
    """

    parameters: tuple[nn.Parameter, ...]
    peak_lr: float


def learned_parameters(
    pressed: CompressedModel, settings: TuneSettings, inputs: Tensor
) -> list[Learned]:
    """What `settings.trainable` names: codecs, or decoders alone, or the network as well.

    Of a codec that are the steps, and encoder and decoder where the transform leaves them free.

    Args:
        pressed: the model to train.
        settings: its rates.
        inputs: a batch of training images, which says how large values are.
    """
    learned = list(_of_projections(pressed, settings, inputs))
    if settings.trainable is Trainable.NETWORK:
        learned.append(network_parameters(pressed, settings))
    return learned


def network_parameters(pressed: CompressedModel, settings: TuneSettings) -> Learned:
    """The network's own weights."""
    codecs = {id(parameter) for parameter in pressed.codec_parameters()}
    network = tuple(p for p in pressed.parameters() if id(p) not in codecs)
    return Learned(network, settings.network_lr)


def optimizer_of(pressed: CompressedModel, learned: Sequence[Learned]) -> torch.optim.Optimizer:
    """Adam over what learns; marks exactly those parameters as requiring a gradient."""
    pressed.requires_grad_(False)
    groups: list[dict[str, Any]] = [
        {"params": list(group.parameters), "peak_lr": group.peak_lr}
        for group in learned
        if group.parameters
    ]
    if not groups:
        raise TuningError(
            "nothing to train: no site of the plan has a learnable projection; use transform "
            "'learned', or let the network train"
        )
    for group in groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    return torch.optim.Adam(groups, fused=True)


@torch.no_grad()
def _of_projections(
    pressed: CompressedModel, settings: TuneSettings, inputs: Tensor
) -> Iterator[Learned]:
    names = {path: name for name, path in pressed.network.codec_paths.items()}
    for path, x in values_before(pressed.network.eval_module, inputs, names):
        codec = pressed.codecs[names[path]]
        projection = codec.projection
        if codec.pinned:
            continue
        yield Learned((codec.step,), settings.step_lr * float(codec.step.mean()))
        if not isinstance(projection, LinearProjection) or not projection.family.trained:
            continue
        if settings.trainable is not Trainable.DECODER:
            yield from _encoder(codec, projection, x, settings.encoder_lr)
        yield from _decoder(codec, projection, x, settings.decoder_lr)


def _encoder(
    codec: SiteCodec, projection: LinearProjection, x: Tensor, lr: float
) -> Iterator[Learned]:
    """Rates that move a component of the middle step by `lr` steps, for values x (n, c, ...)."""
    moved, entry = lr * float(codec.step.median()), _rms(projection.encoder)
    blocks = as_blocks(x, codec.block)
    centred = blocks - per_component(projection.mean, blocks)
    rate = moved / (_rms(centred) * sqrt(blocks.shape[1]))
    yield Learned((projection.encoder,), min(rate, LARGEST_SHARE * entry))
    yield Learned((projection.mean,), moved / (entry * sqrt(blocks.shape[1])))


def _decoder(
    codec: SiteCodec, projection: LinearProjection, x: Tensor, lr: float
) -> Iterator[Learned]:
    """Rates that move a restored value by `lr` of what a change of all symbols by one does."""
    one_symbol = _rms((projection.decoder * codec.step).square().sum(1).sqrt())
    y_hat = codec.encode(x) * per_component(codec.step, x)
    rate = lr * one_symbol / (_rms(y_hat) * sqrt(codec.rank))
    yield Learned((projection.decoder,), min(rate, LARGEST_SHARE * _rms(projection.decoder)))
    yield Learned((projection.offset,), lr * one_symbol)


def _rms(values: Tensor) -> float:
    return max(float(values.float().square().mean().sqrt()), SMALLEST_SCALE)
