"""ONNX files: Quantize / Dequantize nodes for onnxruntime, QONNX's `Quant` for FPGA tools.

Before a file is written, it has run in a real session: every stored symbol of some images is that
of PyTorch but for ties, and so is every prediction.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from actpress.deploy.onnx.audit import check_bits
from actpress.deploy.onnx.network import OnnxNetwork, SiteInFile, onnx_network
from actpress.deploy.onnx.qdq import LinearQuantizers
from actpress.deploy.onnx.quant import QuantNodes
from actpress.deploy.onnx.sessions import onnxruntime_session, qonnx_execution
from actpress.deploy.onnx.verification import Agreement, verify
from actpress.pressing import CompressedModel
from actpress.run import new_file


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        network: what it holds.
        agreement: with PyTorch.
    """

    network: OnnxNetwork
    agreement: Agreement

    @property
    def stated_bits(self) -> int:
        """Bits of an image's symbols under plain packing."""
        return sum(site.stated_bits for site in self.network.sites.values())

    @property
    def file_bits(self) -> int:
        """Bits of the same symbols in the types of the file."""
        return sum(site.file_bits for site in self.network.sites.values())

    @property
    def summary(self) -> str:
        """One line for people."""
        found = self.agreement
        ties = f"equal but for {found.ties} ties" if found.ties else "equal"
        predictions = f"{found.images - found.other_predictions} of {found.images} predictions"
        return (
            f"opset {self.network.opset}, {len(self.network.sites)} sites, {self.stated_bits:,} "
            f"bits an image, {self.file_bits:,} in the file's types; {found.symbols:,} symbols "
            f"{ties}, {predictions} equal"
        )


def export_onnx(
    pressed: CompressedModel, images: Tensor, out: Path, *, force: bool = False
) -> Exported:
    """Write a file for onnxruntime; symbols are UINT8, UINT4 or UINT2.

    Args:
        pressed: with its ranges fixed, in eval mode, on the CPU.
        images: to verify with, shape (n, c, h, w).
        out: the file.
        force: replace an earlier one.

    Raises:
        ExportError: something has no ONNX form, or the file does not compute what PyTorch does.
        RunError: `out` exists.
    """
    with new_file(out, force=force) as file:
        network = onnx_network(pressed, LinearQuantizers())
        agreement = verify(pressed, network, images, onnxruntime_session(network))
        file.write(network.model.SerializeToString(deterministic=True))
    return Exported(network, agreement)


def export_qonnx(
    pressed: CompressedModel, images: Tensor, out: Path, *, force: bool = False
) -> Exported:
    """Write a file with QONNX's `Quant` nodes for one image; symbols have any width up to 8 bits.

    Args: see `export_onnx`.

    Raises:
        ExportError: see `export_onnx`; also where QONNX's tools read other bits than are stated.
        RunError: `out` exists.
    """
    with new_file(out, force=force) as file:
        network = onnx_network(pressed, QuantNodes(), batch=1)
        agreement = verify(pressed, network, images, qonnx_execution(network))
        check_bits(network)
        file.write(network.model.SerializeToString(deterministic=True))
    return Exported(network, agreement)


__all__ = [
    "Agreement",
    "Exported",
    "OnnxNetwork",
    "SiteInFile",
    "export_onnx",
    "export_qonnx",
]
