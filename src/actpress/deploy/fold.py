"""A frozen network whose layers have taken in the matrices of the codecs beside them."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from actpress.deploy.freeze import freeze
from actpress.deploy.layers import MixChannels
from actpress.deploy.neighbours import CodecAmongLayers, codecs_among_layers, fill_layers
from actpress.errors import ModelError
from actpress.graph import macs_per_image
from actpress.graph.merge import as_modules, example_of, finish
from actpress.pressing import CompressedModel


@dataclass(frozen=True)
class SiteFold:
    """What became of the codec of one site.

    Attributes:
        site: its name.
        encoder: path of the layer that took in the encoder; None if it stays.
        decoder: paths of the layers that took in the decoder.
        decodes: whether the decoder stays, for other readers.
        why: why something stays; empty where nothing does.
    """

    site: str
    encoder: str | None
    decoder: tuple[str, ...]
    decodes: bool
    why: str

    @property
    def is_any(self) -> bool:
        """Whether anything was folded."""
        return self.encoder is not None or bool(self.decoder)


@dataclass(frozen=True)
class FoldReport:
    """What folding changed.

    Attributes:
        sites: in the order of the plan.
        weights_before, weights_after: of all dense layers, those of codecs included; biases not.
        macs_before, macs_after: multiply-accumulates per image, a decoder counted once for all of
            its readers.
    """

    sites: tuple[SiteFold, ...]
    weights_before: int
    weights_after: int
    macs_before: int
    macs_after: int

    def __str__(self) -> str:
        whole = sum(site.encoder is not None and not site.decodes for site in self.sites)
        folded = sum(site.is_any for site in self.sites)
        return (
            f"{folded} of {len(self.sites)} sites folded, {whole} of them whole; weights "
            f"{self.weights_before:,} -> {self.weights_after:,}, multiply-accumulates "
            f"{self.macs_before:,} -> {self.macs_after:,}"
        )


class Folded(NamedTuple):
    """A folded network, and what was folded.

    Attributes:
        network: a plain module.
        report: of its sites.
    """

    network: fx.GraphModule
    report: FoldReport


def fold(model: CompressedModel, *, weights_may_grow: bool = False) -> Folded:
    """Freeze a compressed network, and put encoders and decoders into their neighbours.

    ```
    conv - norm - encode - quantize - decode - conv      becomes      conv' - quantize - conv''
    ```

    An encoder goes into the dense layer before it where only affine operations lie between, a
    decoder into each dense layer that reads the value as it is stored; another reader keeps a
    decoder. A site without a transform gives its steps away, past a ReLU too, and channels that it
    drops are neither computed nor read. Where padding of zeros would meet a decoder's offset, the
    layer reads one channel of ones besides. Matrices are multiplied in float64.

    Outputs are those of `freeze(model)` but for rounding in float32: what is quantized differs by
    at most 1e-5 of the largest terms that it is a sum of, in practice 1e-6, and a symbol only where
    it was as near to the middle between two.

    Args:
        model: from `press`, `compress` or `load_run`; stays as it is.
        weights_may_grow: fold also where fewer multiply-accumulates take more weights, as with
            blocks of pixels. Otherwise neither becomes more (see `cost.choose_folds`).

    Raises:
        ModelError: it is no compressed network, or nothing folds; says which sites and why.
    """
    network = freeze(model)
    as_modules(network)
    example = example_of(network)
    weights, macs = _weights(network), macs_per_image(network, *example)
    codecs = codecs_among_layers(model, network, weights_may_grow=weights_may_grow)
    if not any(codec.folds.all for codec in codecs):
        raise ModelError(f"nothing of this network folds: {_reasons(codecs)}; use freeze instead")
    fill_layers(network, codecs)
    for codec in codecs:
        codec.take_out(network)
    finish(network, example)
    report = FoldReport(
        tuple(map(_report, codecs)),
        weights,
        _weights(network),
        macs,
        macs_per_image(network, *example),
    )
    return Folded(network, report)


def _report(codec: CodecAmongLayers) -> SiteFold:
    return SiteFold(
        codec.plan.site,
        codec.folds.encoder_path,
        codec.folds.decoder_paths,
        decodes=codec.folds.decodes > 0,
        why=codec.why(),
    )


def _reasons(codecs: tuple[CodecAmongLayers, ...]) -> str:
    """Each reason once, with the sites that it holds for."""
    sites: dict[str, list[str]] = {}
    for codec in codecs:
        sites.setdefault(codec.why(), []).append(codec.plan.site)
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in sites.items())


def _weights(network: nn.Module) -> int:
    layers = (m for m in network.modules() if isinstance(m, nn.Linear | _ConvNd | MixChannels))
    return sum(layer.weight.numel() for layer in layers)
