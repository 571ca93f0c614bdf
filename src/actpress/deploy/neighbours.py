"""A frozen codec between its neighbours, and how they take it in."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from actpress.codec import SiteCodec
from actpress.cost import Fold, Folds, choose_folds
from actpress.deploy.freeze import DECODE, ENCODE, QUANTIZE
from actpress.deploy.layers import AppendOnes, DivideChannels
from actpress.deploy.maps import Maps, maps_of
from actpress.deploy.numbers import Numbers
from actpress.graph import DenseLayer
from actpress.graph.fold import Folding, Reader, Writer
from actpress.graph.merge import call_after, drop_if_unread, end_at, read_instead, set_module
from actpress.graph.values import shape_of
from actpress.plan import SitePlan
from actpress.pressing import CompressedModel


@dataclass(frozen=True)
class CodecAmongLayers:
    """The three calls of a codec in a frozen graph, and the layers about them.

    Attributes:
        plan: of its site.
        codec: whose numbers are folded.
        path: of its modules in the frozen network.
        encode, quantize, decode: its calls.
        writer: the layer that writes its value, if there is one.
        readers: the dense layers that read it as it is.
        others: nodes that read it otherwise.
        folds: what is folded.
    """

    plan: SitePlan
    codec: SiteCodec
    path: str
    encode: fx.Node
    quantize: fx.Node
    decode: fx.Node
    writer: Writer | None
    readers: tuple[Reader, ...]
    others: tuple[fx.Node, ...]
    folds: Folds

    @property
    def keeps_all(self) -> bool:
        """Whether all that is folded are steps of channels, in layers that stay as large."""
        return self.plan.is_identity and self.plan.rank == self.plan.channels

    def with_decoder(self, numbers: Numbers) -> Numbers:
        """A reader's numbers that take the decoder in."""
        if self.keeps_all:
            return numbers.scaled_inputs(self._step())
        maps = self._maps()
        offset = not self.plan.is_identity
        folded = numbers.form.with_decoder(maps.rank, maps.block, offset=offset)
        assert folded is not None, "the choice of folds asked the same"
        return numbers.with_decoder(folded, maps)

    def with_encoder(self, numbers: Numbers, folded: DenseLayer) -> Numbers:
        """The writer's numbers that take the encoder in."""
        if self.keeps_all:
            return numbers.scaled_outputs(1 / self._step())
        return numbers.with_encoder(folded, self._maps())

    def take_out(self, network: fx.GraphModule) -> None:
        """Edit the graph: layers have taken in what `folds` says."""
        keep = self.keeps_all
        taking = {
            fold.layer.path: self.plan.rank if keep else fold.folded.inputs
            for fold in self.folds.decoder
        }
        readers = [reader for reader in self.readers if reader.layer.path in taking]
        ones: fx.Node | None = None
        for reader in readers:
            channels, source = taking[reader.layer.path], self.quantize
            if channels > self.plan.rank:
                ones = ones or call_after(network, source, f"{self.path}.ones", AppendOnes())
                source = ones
            read_instead(network, reader, source, channels=channels)
        if not self.folds.decodes:
            drop_if_unread(network, self.decode, self.quantize, readers)
        if self.folds.encoder is not None and self.writer is not None:
            whole = self.writer.homogeneous
            if not whole:
                axes = len(shape_of(self.encode))
                step = self.codec.step.detach().clone()
                set_module(network, str(self.encode.target), DivideChannels(step, None, axes=axes))
            end_at(network, self.writer, self.encode, drop=whole)

    def why(self) -> str:
        """Why something stays; empty where nothing does."""
        parts = []
        if self.folds.encoder is None:
            parts.append(f"encoder: {self._why_encoder()}")
        elif self.writer is not None and not self.writer.homogeneous:
            parts.append("steps: the activation before them does not scale with its input")
        if self.folds.decodes:
            parts.append(f"decoder: {self._why_decoder()}")
        return ", ".join(parts)

    def _why_encoder(self) -> str:
        if self.writer is None:
            return "no convolution or linear layer alone writes its value"
        path = self.writer.layer.path
        if not (self.writer.affine or self.plan.is_identity):
            return f"an activation follows {path}"
        if self.keeps_all:
            return f"the activation after {path} does not scale with its input"
        if self.writer.layer.groups > 1:
            return f"{path} has groups of channels"
        if self.writer.layer.with_encoder(self.plan.rank, self.plan.block) is None:
            return f"{path} cannot give blocks of pixels"
        return f"{path} would take more weights or arithmetic than it saves"

    def _why_decoder(self) -> str:
        if self.others:
            return "it is read otherwise than by a dense layer"
        stays = [r.layer for r in self.readers if r.layer.path not in self.folds.decoder_paths]
        paths = ", ".join(layer.path for layer in stays) or "nothing"
        if any(layer.groups > 1 for layer in stays):
            return f"{paths} has groups of channels"
        rank, block, offset = self.plan.rank, self.plan.block, not self.plan.is_identity
        if any(layer.with_decoder(rank, block, offset=offset) is None for layer in stays):
            return f"{paths} cannot read blocks of pixels"
        return f"{paths} would take more weights or arithmetic than it saves"

    def _step(self) -> Tensor:
        return self.codec.step.detach().cpu().double()

    def _maps(self) -> Maps:
        """Of the codec in float64; without its steps where these stay behind an activation."""
        if not self.plan.is_identity:
            return maps_of(copy.deepcopy(self.codec).cpu().double())
        kept, step = self.codec.projection.kept.cpu(), self._step()
        unit = torch.eye(self.plan.channels, dtype=torch.float64)[kept]
        scaled = self.writer is not None and self.writer.homogeneous
        zero = torch.zeros(self.plan.channels, dtype=torch.float64)
        return Maps(
            unit / (step[:, None] if scaled else 1),
            zero[: len(kept)],
            unit.T * step,
            zero,
            block=1,
        )


def codecs_among_layers(
    model: CompressedModel, network: fx.GraphModule, *, weights_may_grow: bool
) -> tuple[CodecAmongLayers, ...]:
    """All codecs of a frozen network, with what is to be folded."""
    calls = {str(n.target): n for n in network.graph.nodes if n.op == "call_module"}
    paths, shapes = model.network.codec_paths, model.network.shapes
    without = [f"{path}.{part}" for path in paths.values() for part in (ENCODE, DECODE)]
    folding = Folding(network.graph, network, without=without)
    found = []
    for plan in model.plan:
        path = paths[plan.site]
        encode, quantize, decode = (calls[f"{path}.{p}"] for p in (ENCODE, QUANTIZE, DECODE))
        stored = encode.all_input_nodes[0]
        readers, others = folding.readers(decode)
        folds = choose_folds(
            folding.neighbours(stored, decode),
            plan,
            reads=model.reads.get(plan.site, 1),
            blocks=prod(shapes[plan.site]) // plan.components,
            weights_may_grow=weights_may_grow,
        )
        writer = folding.writer(stored)
        codec = CodecAmongLayers(
            plan,
            model.codecs[plan.site],
            path,
            encode,
            quantize,
            decode,
            writer,
            readers,
            others,
            folds,
        )
        found.append(replace(codec, folds=_scaling(codec)) if codec.keeps_all else codec)
    return tuple(_compatible(found))


def _scaling(codec: CodecAmongLayers) -> Folds:
    """Where steps of channels go: into the writer, and into readers if that spares the decoder."""
    encoder = None
    if codec.writer is not None and codec.writer.homogeneous:
        encoder = Fold(codec.writer.layer, True, codec.plan.rank)
    if codec.others or not codec.readers:
        return Folds(encoder, (), 1)
    return Folds(
        encoder, tuple(Fold(reader.layer, False, codec.plan.rank) for reader in codec.readers), 0
    )


def _compatible(codecs: Sequence[CodecAmongLayers]) -> Iterator[CodecAmongLayers]:
    """Leave an encoder where its layer reads blocks whose side does not divide its own."""
    reads = {
        fold.layer.path: fold.folded
        for codec in codecs
        for fold in codec.folds.decoder
        if not codec.keeps_all
    }
    for codec in codecs:
        encoder = codec.folds.encoder
        if encoder is not None and not codec.keeps_all:
            form = reads.get(encoder.layer.path, encoder.layer)
            if form.with_encoder(codec.plan.rank, codec.plan.block) is None:
                yield replace(codec, folds=replace(codec.folds, encoder=None))
                continue
        yield codec


def fill_layers(network: fx.GraphModule, codecs: Sequence[CodecAmongLayers]) -> None:
    """Give every layer that takes something in its new numbers."""
    numbers: dict[str, Numbers] = {}
    before: dict[str, DenseLayer] = {}

    def of(layer: DenseLayer) -> Numbers:
        before.setdefault(layer.path, layer)
        known = numbers.get(layer.path)
        return Numbers.of(layer, network.get_submodule(layer.path)) if known is None else known

    for codec in codecs:
        for fold in codec.folds.decoder:
            numbers[fold.layer.path] = codec.with_decoder(of(fold.layer))
    for codec in codecs:
        if codec.folds.encoder is None or codec.writer is None:
            continue
        own = of(codec.writer.layer)
        for norm in _norms(codec.writer, network):
            own = own.normalised(norm)
        folded = own.form
        if not codec.keeps_all:
            wanted = folded.with_encoder(codec.plan.rank, codec.plan.block)
            assert wanted is not None, "incompatible folds were left out"
            folded = wanted
        numbers[codec.writer.layer.path] = codec.with_encoder(own, folded)
    for path, own in numbers.items():
        set_module(network, path, own.module(network.get_submodule(path), before[path]))


def _norms(writer: Writer, network: nn.Module) -> Iterator[_BatchNorm]:
    for node in writer.between:
        module = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, _BatchNorm):
            yield module
