"""A codec in ONNX: encoder, one quantizer for each type of symbols, decoder.

```
x -> Conv (E, e) -> Split -> quantizer -+-> Concat -> Conv (D, d) -> [DepthToSpace] -> x_hat
                        `--> quantizer -'
```

Where symbols are channels divided by their steps, a quantizer is all there is. What quantizers are
differs: `qdq.py` and `quant.py`.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from actpress.deploy.affine import AffineCodec, FloatArray, IntArray
from actpress.deploy.onnx.groups import Group, SymbolTensor, groups_of
from actpress.deploy.onnx.writer import Writer
from actpress.errors import ExportError


class Quantizers(Protocol):
    """How symbols are stored in a file."""

    def container(self, width: int) -> int:
        """Bits of the type that holds a symbol of `width` bits."""

    def quantize(
        self, writer: Writer, x: str, site: "SiteForm", group: Group, scale: FloatArray
    ) -> str:
        """Clip and round x / scale to symbols, times `scale`.

        Args:
            writer: takes the nodes.
            x: tensor (n, m, ...), the members of the group.
            site: whose.
            group: of components.
            scale: of each member, shape (m,).
        """


@dataclass(frozen=True)
class SiteForm:
    """A site that is being written.

    Attributes:
        name: of the site.
        affine: its codec.
        groups: its components by type.
        axes: spatial axes of its value.
    """

    name: str
    affine: AffineCodec
    groups: tuple[Group, ...]
    axes: int

    def per_channel(self, values: FloatArray) -> FloatArray:
        """Shape (m,) -> (1, m, 1, ...)."""
        return values.reshape(1, -1, *[1] * self.axes)


def bounded(writer: Writer, x: str, site: SiteForm, low: FloatArray, high: FloatArray) -> str:
    """Keep each channel between bounds of its own, shape (m,), which `Clip` cannot do."""
    return by_channel(writer, "Max", by_channel(writer, "Min", x, site, high), site, low)


def by_channel(writer: Writer, operator: str, x: str, site: SiteForm, values: FloatArray) -> str:
    """Combine each channel with a number of its own, shape (m,)."""
    name = f"{site.name}.{operator.lower()}"
    numbers = values.astype(np.float32).reshape(1, -1, *[1] * site.axes)
    return writer.node(operator, [x, writer.constant(numbers, f"{name}.numbers")], name)


def write_codec(
    writer: Writer, x: str, site: str, affine: AffineCodec, axes: int, quantizers: Quantizers
) -> tuple[str, list[SymbolTensor]]:
    """Add a codec; returns the tensor of x_hat, and where the symbols are.

    Raises:
        ExportError: its symbols are too wide.
    """
    form = SiteForm(site, affine, groups_of(affine, site, quantizers.container), axes)
    stored = sum(len(group.members) for group in form.groups)
    if affine.step is not None and len(form.groups) == 1 and stored == affine.channels:
        x_hat = quantizers.quantize(writer, x, form, form.groups[0], affine.step)
        return x_hat, [SymbolTensor(x_hat, form.groups[0], affine.step)]
    return _write_projection(writer, x, form, quantizers)


def _write_projection(
    writer: Writer, x: str, form: SiteForm, quantizers: Quantizers
) -> tuple[str, list[SymbolTensor]]:
    order = np.concatenate([group.members for group in form.groups] or [np.zeros(0, np.int64)])
    if not len(order):
        return _constant(writer, x, form), []
    z = _encode(writer, x, form, order)
    symbols = []
    for group, part in zip(form.groups, _split(writer, z, form), strict=True):
        ones = np.ones(len(group.members), np.float32)
        name = quantizers.quantize(writer, part, form, group, ones)
        symbols.append(SymbolTensor(name, group, ones))
    names = [each.name for each in symbols]
    if len(names) > 1:
        names = [writer.node("Concat", names, f"{form.name}.symbols", axis=1)]
    return _decode(writer, names[0], form, order), symbols


def _split(writer: Writer, z: str, form: SiteForm) -> list[str]:
    if len(form.groups) == 1:
        return [z]
    sizes = [len(group.members) for group in form.groups]
    return writer.split(z, sizes, f"{form.name}.part")


def _encode(writer: Writer, x: str, form: SiteForm, order: IntArray) -> str:
    affine = form.affine
    matrix = affine.encoder[order]
    kernel = matrix.reshape(len(matrix), affine.channels, *[affine.block] * form.axes)
    bias = affine.encoder_bias[order]
    return _mix(writer, x, kernel, bias, f"{form.name}.encoder", side=affine.block)


def _decode(writer: Writer, q: str, form: SiteForm, order: IntArray) -> str:
    affine = form.affine
    matrix = affine.decoder[:, order]
    kernel = matrix.reshape(*matrix.shape, *[1] * form.axes)
    mixed = _mix(writer, q, kernel, _fixed(affine), f"{form.name}.decoder", side=1)
    if affine.block == 1:
        return mixed
    name = f"{form.name}.pixels"
    return writer.node("DepthToSpace", [mixed], name, blocksize=affine.block, mode="CRD")


def _fixed(affine: AffineCodec) -> FloatArray:
    """What the decoder gives where every stored symbol is zero, shape (K,)."""
    alone = np.where(affine.widths == 0, affine.q_min, 0).astype(np.float64)
    fixed = affine.decoder_bias + affine.decoder.astype(np.float64) @ alone
    return fixed.astype(np.float32)


def _mix(
    writer: Writer, x: str, kernel: FloatArray, bias: FloatArray, name: str, *, side: int
) -> str:
    """A linear map of the channels of x, of a block of pixels where `side` is greater than 1."""
    inputs = [x, writer.constant(kernel, f"{name}.weight"), writer.constant(bias, f"{name}.bias")]
    if kernel.ndim == 2:
        return writer.node("Gemm", inputs, name, transB=1)
    shape = list(kernel.shape[2:])
    return writer.node("Conv", inputs, name, kernel_shape=shape, strides=[side] * len(shape))


def _constant(writer: Writer, x: str, form: SiteForm) -> str:
    """x_hat where no symbol is stored: the decoder of a map of zeros."""
    affine = form.affine
    kernel = np.zeros((affine.channels, affine.channels, *[1] * form.axes), np.float32)
    if affine.block > 1:
        raise ExportError(
            f"site {form.name} keeps no symbol of its blocks of pixels, which has no ONNX form; "
            f"plan blocks of side 1 there"
        )
    return _mix(writer, x, kernel, _fixed(affine), f"{form.name}.decoder", side=1)
