"""Which parameters a run trains, and how fast."""

from dataclasses import dataclass

from torch import nn

from actpress.press import PressedModel
from actpress.tune.settings import Trainable, TuneSettings

ENCODER, DECODER = ("encoder", "mean"), ("decoder", "offset")
MATRICES, BIASES = ("encoder", "decoder"), ("mean", "offset")
"""Parameters of a `LinearProjection`."""


@dataclass(frozen=True)
class Learned:
    """Parameters with one learning rate.

    Attributes:
        parameters: trained together.
        peak_lr: of Adam; the schedule scales it.
    """

    parameters: tuple[nn.Parameter, ...]
    peak_lr: float


def learned_parameters(pressed: PressedModel, settings: TuneSettings) -> list[Learned]:
    """What `settings.trainable` names: projections, or decoders alone, or the network as well."""
    learned = [
        Learned(_of_projections(pressed, settings.trainable, MATRICES), settings.lr),
        Learned(_of_projections(pressed, settings.trainable, BIASES), settings.bias_lr),
    ]
    if settings.trainable is Trainable.NETWORK:
        own = {id(parameter) for parameter in pressed.codec_parameters()}
        network = tuple(p for p in pressed.parameters() if id(p) not in own)
        learned.append(Learned(network, settings.network_lr))
    return learned


def _of_projections(
    pressed: PressedModel, trainable: Trainable, names: tuple[str, ...]
) -> tuple[nn.Parameter, ...]:
    """Parameters of all projections with one of these names, if they learn."""
    learns = (DECODER,) if trainable is Trainable.DECODER else (ENCODER, DECODER)
    wanted = {name for part in learns for name in part if name in names}
    return tuple(
        parameter
        for codec in pressed.codecs.values()
        for name, parameter in codec.projection.named_parameters()
        if name in wanted
    )
