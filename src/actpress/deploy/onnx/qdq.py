"""Symbols as `QuantizeLinear` and `DequantizeLinear` nodes, for onnxruntime.

Types are unsigned, and every channel has a scale and a zero point of its own, even where all are
equal: signed types and scalar scales meet rewrites of onnxruntime that change results or do not
load. A symbol q is stored as q - q_min.
"""

import numpy as np
import onnx
from ml_dtypes import uint2, uint4

from actpress.deploy.affine import FloatArray
from actpress.deploy.onnx.codecs import SiteForm, bounded
from actpress.deploy.onnx.groups import Group
from actpress.deploy.onnx.writer import Writer

TYPES = {2: np.dtype(uint2), 4: np.dtype(uint4), 8: np.dtype(np.uint8)}


class LinearQuantizers:
    """See `Quantizers`."""

    def container(self, width: int) -> int:
        """2, 4 or 8."""
        return next(bits for bits in TYPES if bits >= width)

    def quantize(
        self, writer: Writer, x: str, site: SiteForm, group: Group, scale: FloatArray
    ) -> str:
        """The float tensor after `DequantizeLinear`."""
        q_min, q_max = site.affine.q_min[group.members], site.affine.q_max[group.members]
        name = f"{site.name}.q{group.bits}"
        if (q_max - q_min < 2**group.bits - 1).any():
            x = bounded(writer, x, site, q_min * scale, q_max * scale)
        parameters = [
            writer.constant(scale, f"{name}.scale"),
            writer.constant((-q_min).astype(TYPES[group.bits]), f"{name}.zero_point"),
        ]
        stored = writer.node("QuantizeLinear", [x, *parameters], name, axis=1)
        return writer.node("DequantizeLinear", [stored, *parameters], f"{name}.value", axis=1)


def one_reader_each(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Give every reader a `DequantizeLinear` of its own, so that no float map lives on.

    A symbol tensor that two layers read is then stored as symbols until the second has read it.
    """
    readers = _readers(nodes)
    result = []
    for node in nodes:
        result.append(node)
        if node.op_type != "DequantizeLinear":
            continue
        for number, reader in enumerate(readers.get(node.output[0], [])[1:], start=2):
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name, copy.output[0] = f"{node.name}#{number}", f"{node.output[0]}#{number}"
            position = list(reader.input).index(node.output[0])
            reader.input[position] = copy.output[0]
            result.append(copy)
    return result


def _readers(nodes: list[onnx.NodeProto]) -> dict[str, list[onnx.NodeProto]]:
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found
