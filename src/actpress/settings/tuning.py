"""How a tuning run goes."""

from dataclasses import dataclass
from enum import StrEnum
from math import cos, isfinite, pi

from actpress.errors import TuningError


class Trainable(StrEnum):
    """What learns: the decoders, encoders and decoders, or the network's weights as well."""

    DECODER = "decoder"
    PROJECTIONS = "projections"
    NETWORK = "network"


@dataclass(frozen=True)
class TuneSettings:
    """Schedule, losses and what learns.

    Attributes:
        steps: optimizer steps.
        batch_size: images per step.
        encoder_lr: peak learning rate of encoders and their means, in quantization steps: an update
            of Adam moves a component by about so much. Linear warm-up, then a cosine to zero.
        decoder_lr: the same of decoders and their offsets, in what one symbol more changes of a
            restored value.
        step_lr: the same of quantization steps, as a share of their mean, for methods that train
            them on their own.
        network_lr: peak learning rate of the network's weights, when they learn.
        lr_scale: that all rates are multiplied by, those of the search for widths too.
        trainable: what learns.
        distillation: weight of the divergence from the float network's prediction.
        temperature: that softens both predictions in the distillation. Above 1 classes that the
            float network thinks unlikely count too, which matters on images that it is sure of.
        task: weight of the task's loss with the targets, of classification the cross-entropy.
        reconstruction: weight of the relative squared error at the sites.
        grad_clip: largest norm of the gradient.
        mixed_precision: run the network, not the codecs, in bfloat16; None does so on a GPU. On a
            CPU it is faster only with instructions for it, such as AVX512-BF16; where it has AMX,
            gradients pass the matrices of codecs in bfloat16 too if this is True.
        validate_every: steps between validations on held-out training images, and checkpoints.
        validation_images: how many of them.
        seed: of the order of the images.
    """

    steps: int = 400
    batch_size: int = 32
    encoder_lr: float = 3e-4
    decoder_lr: float = 3e-3
    step_lr: float = 2e-3
    network_lr: float = 1e-4
    lr_scale: float = 1.0
    trainable: Trainable = Trainable.PROJECTIONS
    distillation: float = 1.0
    temperature: float = 3.0
    task: float = 0.0
    reconstruction: float = 0.0
    grad_clip: float = 1.0
    mixed_precision: bool | None = None
    validate_every: int = 50
    validation_images: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.validate_every, self.validation_images) < 1:
            raise TuningError(
                "steps, batch_size, validate_every and validation_images must be at least 1"
            )
        rates = (self.encoder_lr, self.decoder_lr, self.step_lr, self.network_lr)
        positive = (*rates, self.lr_scale, self.grad_clip, self.temperature)
        weights = (self.distillation, self.task, self.reconstruction)
        if not all(isfinite(value) and value > 0 for value in positive):
            raise TuningError(
                "encoder_lr, decoder_lr, step_lr, network_lr, lr_scale, grad_clip and temperature "
                "must be positive and finite"
            )
        if not all(isfinite(value) and value >= 0 for value in weights):
            raise TuningError(
                "the weights distillation, task and reconstruction must be finite, at least zero"
            )
        if sum(weights) <= 0:
            raise TuningError(
                "at least one of the weights distillation, task, reconstruction must be positive"
            )

    @property
    def loss_scale(self) -> float:
        """How much larger softened distillation is than plain; bounds are weighed for the plain."""
        return self.temperature**2 if self.distillation else 1.0

    def lr_share(self, step: int, warmup: float = 0.1) -> float:
        """Learning rate of a step as a share of its peak."""
        return self.lr_scale * _cosine((step + 0.5) / self.steps, warmup)


def _cosine(progress: float, warmup: float) -> float:
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + cos(pi * (progress - warmup) / (1 - warmup)))
