"""Symbols as QONNX's `Quant` nodes (Pappalardo et al. 2022, arXiv 2206.07527), for FINN and hls4ml.

Any width from 1 to 8 bits has a type. QONNX's tools read it only where the zero point is 0; ranges
that are neither signed nor unsigned are therefore shifted before and after.
"""

import numpy as np

from actpress.deploy.affine import FloatArray
from actpress.deploy.onnx.codecs import SiteForm, bounded, by_channel
from actpress.deploy.onnx.groups import Group
from actpress.deploy.onnx.writer import Writer

DOMAIN = "qonnx.custom_op.general"


class QuantNodes:
    """See `Quantizers`."""

    def container(self, width: int) -> int:
        """The width itself."""
        return width

    def quantize(
        self, writer: Writer, x: str, site: SiteForm, group: Group, scale: FloatArray
    ) -> str:
        """The float tensor of symbols times scale."""
        q_min, q_max = site.affine.q_min[group.members], site.affine.q_max[group.members]
        name = quant_name(site.name, group)
        signed = bool((q_min < 0).any()) and group.bits > 1  # one signed bit is -1 and 1 there
        lowest = np.full(len(q_min), -(2 ** (group.bits - 1)) if signed else 0)
        shift = np.where((q_min >= lowest) & (q_max < lowest + 2**group.bits), 0, q_min - lowest)
        if (q_max - q_min < 2**group.bits - 1).any():
            x = bounded(writer, x, site, q_min * scale, q_max * scale)
        if shift.any():
            x = by_channel(writer, "Sub", x, site, shift * scale)
        quantized = _quant(writer, x, site, scale, bits=group.bits, signed=signed, name=name)
        if not shift.any():
            return quantized
        return by_channel(writer, "Add", quantized, site, shift * scale)


def quant_name(site: str, group: Group) -> str:
    """What the `doc_string` of a `Quant` node says, which no tool renames."""
    return f"{site}.q{group.bits}"


def _quant(
    writer: Writer,
    x: str,
    site: SiteForm,
    scale: FloatArray,
    *,
    bits: int,
    signed: bool,
    name: str,
) -> str:
    parameters = [
        writer.constant(site.per_channel(scale), f"{name}.scale"),
        writer.constant(np.array(0, np.float32), f"{name}.zero_point"),
        writer.constant(np.array(bits, np.float32), f"{name}.bits"),
    ]
    settings = {"signed": int(signed), "narrow": 0, "rounding_mode": "ROUND"}
    return writer.node("Quant", [x, *parameters], name, domain=DOMAIN, doc_string=name, **settings)
