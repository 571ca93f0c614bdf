"""QONNX's own tools run the files and read the bits that are stated."""

import json
import subprocess
import sys
from math import prod
from pathlib import Path

import onnx
import pytest
from torch import Tensor, nn

from actpress.deploy.onnx import audit, export_qonnx
from actpress.deploy.onnx.network import onnx_network
from actpress.deploy.onnx.quant import QuantNodes
from actpress.errors import ExportError
from actpress.plan import Placement, Transform
from actpress.zoo import resnet8
from tests.unit.deploy.conftest import Many, Pressing, Residual


@pytest.mark.parametrize("bit_width", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    ("transform", "placement"),
    [
        (Transform.PCA, Placement.PRE_ACT),
        (Transform.IDENTITY, Placement.PRE_ACT),
        (Transform.IDENTITY, Placement.POST_ACT),
    ],
)
def test_every_symbol_is_that_of_pytorch_and_bits_are_those_stated(
    press_all: Pressing,
    colours: Tensor,
    tmp_path: Path,
    transform: Transform,
    placement: Placement,
    bit_width: int,
) -> None:
    pressed = press_all(Residual(), transform, bit_width=bit_width, placement=placement)

    exported = export_qonnx(pressed, colours[:3], tmp_path / "net.onnx")

    assert exported.agreement.ties < 5e-4 * exported.agreement.symbols
    shapes = pressed.network.shapes
    packed = sum(
        int(codec.fixed_bits().sum()) * prod(shapes[name][1:])
        for name, codec in pressed.codecs.items()
    )
    assert exported.stated_bits == exported.file_bits == packed


@pytest.mark.parametrize(("network", "block"), [(Many, 1), (Residual, 2)])
def test_operators_and_blocks(
    press_all: Pressing, colours: Tensor, tmp_path: Path, network: type[nn.Module], block: int
) -> None:
    pressed = press_all(network(), Transform.PCA, block=block, bit_width=3)

    exported = export_qonnx(pressed, colours[:2], tmp_path / "net.onnx")

    nodes = [
        node for node in onnx.load(tmp_path / "net.onnx").graph.node if node.op_type == "Quant"
    ]
    assert nodes
    assert {node.domain for node in nodes} == {"qonnx.custom_op.general"}
    assert exported.file_bits == exported.stated_bits


def test_branches_and_mixed_widths(press_all: Pressing, colours: Tensor, tmp_path: Path) -> None:
    """QONNX's tools put the nodes of branches in another order."""
    pressed = press_all(resnet8(), Transform.PCA, bit_width=4)
    widths = [len(codec.fixed_bits().unique()) for codec in pressed.codecs.values()]
    assert max(widths) > 2

    exported = export_qonnx(pressed, colours[:2], tmp_path / "net.onnx")

    assert exported.stated_bits <= exported.file_bits
    assert exported.agreement.other_predictions == 0


def test_the_command_line_tool_reads_the_types_of_what_decoders_get(
    press_all: Pressing, colours: Tensor, tmp_path: Path
) -> None:
    pressed = press_all(Residual(), Transform.PCA, bit_width=3)
    export_qonnx(pressed, colours[:1], tmp_path / "net.onnx")
    tool = Path(sys.executable).with_name("qonnx-inference-cost")

    subprocess.run(  # noqa: S603  the tool of a pinned package
        [tool, tmp_path / "net.onnx", "--output-json", tmp_path / "cost.json"],
        check=True,
        capture_output=True,
    )

    cost = json.loads((tmp_path / "cost.json").read_text())
    assert any("op_mac_INT3" in key or "op_mac_UINT3" in key for key in cost["total_cost"])


def test_other_bits_than_stated_are_refused(
    press_all: Pressing, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed = press_all(Residual(), Transform.PCA, bit_width=3)
    network = onnx_network(pressed, QuantNodes(), batch=1)
    true = audit.bits_read(network)
    monkeypatch.setattr(audit, "bits_read", lambda _: {**true, "relu.q3": 7})

    with pytest.raises(ExportError, match=r"site relu: .* reads \d+ bits"):
        audit.check_bits(network)
