"""From a compressed network to an ONNX model."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import getitem
from typing import cast

import onnx
from onnx import TensorProto, helper
from torch import fx

from actpress._version import __version__
from actpress.codec import SiteCodec
from actpress.deploy.affine import AffineCodec, affine_codec
from actpress.deploy.onnx.codecs import Quantizers, write_codec
from actpress.deploy.onnx.emission import Emission
from actpress.deploy.onnx.groups import SymbolTensor
from actpress.deploy.onnx.operators import FORMS
from actpress.deploy.onnx.qdq import one_reader_each
from actpress.deploy.onnx.writer import Writer
from actpress.errors import ExportError
from actpress.graph.operators import human_name, operator_of
from actpress.graph.values import holds_tensor, shape_of
from actpress.pressing import CompressedModel

INPUT, OUTPUT = "image", "output"
BATCH = "n"
WITHOUT_TWO_BITS, WITH_TWO_BITS = (21, 10), (25, 13)
"""Opset and IR version; onnxruntime has no kernel for the opset that onnx writes by default."""


@dataclass(frozen=True)
class SiteInFile:
    """A site of the network in the file.

    Attributes:
        name: of the site.
        shape: of its symbols for one image, (k, ...).
        affine: its codec.
        symbols: where they are.
    """

    name: str
    shape: tuple[int, ...]
    affine: AffineCodec
    symbols: tuple[SymbolTensor, ...]

    @property
    def stated_bits(self) -> int:
        """Bits of an image's symbols under plain packing."""
        return int(self.affine.widths.sum()) * self._blocks

    @property
    def file_bits(self) -> int:
        """Bits of the same symbols in the types of the file."""
        return sum(each.group.bits * len(each.group.members) for each in self.symbols) * (
            self._blocks
        )

    @property
    def _blocks(self) -> int:
        blocks = 1
        for size in self.shape[1:]:
            blocks *= size
        return blocks


@dataclass(frozen=True)
class OnnxNetwork:
    """A network as an ONNX model.

    Attributes:
        model: the file.
        sites: by name, in the plan's order.
    """

    model: onnx.ModelProto
    sites: Mapping[str, SiteInFile]

    @property
    def opset(self) -> int:
        """Of ONNX's own operators."""
        return int(self.model.opset_import[0].version)


def onnx_network(
    pressed: CompressedModel, quantizers: Quantizers, *, batch: int | None = None
) -> OnnxNetwork:
    """Write a compressed network as an ONNX model.

    Args:
        pressed: with its ranges fixed (`fit_tables`).
        quantizers: how symbols are stored.
        batch: images of an input; None leaves it open.

    Raises:
        ExportError: an operation or a codec has no ONNX form (all operations are named), or the
            network has several inputs or outputs.
    """
    walk = _Walk(pressed, quantizers)
    for node in pressed.network.eval_module.graph.nodes:
        walk.visit(node)
    walk.check()
    return OnnxNetwork(walk.model(batch), walk.sites)


class _Walk:
    """The nodes of the captured graph, one after the other."""

    def __init__(self, pressed: CompressedModel, quantizers: Quantizers) -> None:
        module = pressed.network.eval_module
        self._paths = {path: site for site, path in pressed.network.codec_paths.items()}
        self._emission = Emission(module, Writer())
        self._quantizers = quantizers
        self._inputs: list[fx.Node] = []
        self._output: fx.Node | None = None
        self._refused: list[str] = []
        self.sites: dict[str, SiteInFile] = {}

    def visit(self, node: fx.Node) -> None:
        """Write one node; what has no form is noted, and so is not what depends on it."""
        if node.op == "placeholder":
            self._inputs.append(node)
            self._emission.names[node] = INPUT
        elif node.op == "output":
            self._output = node
        elif node.op == "call_module" and node.target in self._paths:
            self._write_codec(node)
        elif node.target is getitem and isinstance(node.args[0], fx.Node):
            self._take(node, node.args[0])
        elif node.op != "get_attr" and holds_tensor(node):
            self._write_operator(node)

    def check(self) -> None:
        """Raise for all that was refused at once.

        Raises:
            ExportError: see `onnx_network`.
        """
        if self._refused:
            raise ExportError(
                f"{len(self._refused)} operations of this network have no ONNX form here: "
                f"{'; '.join(self._refused)}. Replace them in the network, or export from PyTorch "
                f"what lies between (torch.onnx)"
            )
        if len(self._inputs) != 1 or self._result() not in self._emission.names:
            raise ExportError(
                f"a network of {len(self._inputs)} inputs that returns {self._result()} cannot be "
                f"exported; expected one input and one tensor; wrap the network"
            )

    def model(self, batch: int | None) -> onnx.ModelProto:
        """The finished model, checked by onnx."""
        nodes = one_reader_each(self._emission.writer.nodes)
        result = self._result()
        name = self._emission.names[result]
        nodes.append(helper.make_node("Identity", [name], [OUTPUT], name=OUTPUT))
        graph = helper.make_graph(
            nodes,
            "actpress",
            [_described(INPUT, self._inputs[0], batch)],
            [_described(OUTPUT, result, batch)],
            initializer=list(self._emission.writer.constants.values()),
        )
        return _model(graph)

    def _result(self) -> fx.Node:
        """What the network itself returns; its output node returns rates besides."""
        assert self._output is not None
        results = self._output.args[0]
        assert isinstance(results, tuple)
        return cast(fx.Node, results[0])

    def _write_codec(self, node: fx.Node) -> None:
        site, value = self._paths[str(node.target)], node.all_input_nodes[0]
        if value not in self._emission.names:
            return
        codec = self._emission.module(node)
        assert isinstance(codec, SiteCodec)
        shape = shape_of(value)[1:]
        affine = affine_codec(codec, shape[0])
        x_hat, symbols = write_codec(
            self._emission.writer,
            self._emission.names[value],
            site,
            affine,
            len(shape) - 1,
            self._quantizers,
        )
        self._emission.names[node] = x_hat
        self.sites[site] = SiteInFile(site, codec.symbol_shape(shape), affine, tuple(symbols))

    def _take(self, node: fx.Node, source: fx.Node) -> None:
        """Of what a codec returns, x_hat; the rate is not written."""
        if source.target in self._paths and source in self._emission.names:
            if node.args[1] == 0:
                self._emission.names[node] = self._emission.names[source]
        elif holds_tensor(node) and source in self._emission.names:
            self._refused.append(f"{human_name(node, self._emission.root)} (getitem)")

    def _write_operator(self, node: fx.Node) -> None:
        name = operator_of(node, self._emission.root).name
        if name not in FORMS:
            self._refused.append(f"{human_name(node, self._emission.root)} ({name})")
            return
        operands = [each for each in node.all_input_nodes if _is_computed(each)]
        if not all(each in self._emission.names for each in operands):
            return  # what it depends on was refused
        try:
            self._emission.names[node] = FORMS[name](self._emission, node)
        except ExportError as error:
            self._refused.append(str(error))


def _is_computed(node: fx.Node) -> bool:
    return node.op != "get_attr" and holds_tensor(node)


def _described(name: str, node: fx.Node, batch: int | None) -> onnx.ValueInfoProto:
    shape = [BATCH if batch is None else batch, *shape_of(node)[1:]]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    types = {each.data_type for each in graph.initializer}
    opset, version = WITH_TWO_BITS if TensorProto.UINT2 in types else WITHOUT_TWO_BITS
    domains = sorted({node.domain for node in graph.node} - {""})
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(each, 1) for each in domains)]
    model = helper.make_model(
        graph, opset_imports=imports, producer_name="actpress", producer_version=__version__
    )
    model.ir_version = version
    onnx.checker.check_model(model, full_check=not domains)
    return model
