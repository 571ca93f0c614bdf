"""Files run in a real onnxruntime session and hold the symbols of PyTorch."""

from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn

from actpress.deploy.onnx import export_onnx
from actpress.deploy.onnx.network import onnx_network
from actpress.deploy.onnx.qdq import LinearQuantizers
from actpress.deploy.onnx.sessions import onnxruntime_session
from actpress.deploy.onnx.verification import symbols_of, verify
from actpress.errors import ExportError, RunError
from actpress.plan import Placement, Transform
from actpress.pressing import CompressedModel
from actpress.zoo import resnet8
from tests.unit.deploy.conftest import Many, Pressing, Residual

MakePressed = Callable[..., CompressedModel]
TYPES = {2: TensorProto.UINT2, 4: TensorProto.UINT4, 8: TensorProto.UINT8}


def stored_types(model: onnx.ModelProto) -> set[int]:
    """Types of what `QuantizeLinear` gives."""
    constants = {each.name: each.data_type for each in model.graph.initializer}
    return {
        constants[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"
    }


@pytest.mark.parametrize("placement", list(Placement))
@pytest.mark.parametrize("transform", [Transform.IDENTITY, Transform.PCA])
@pytest.mark.parametrize("bit_width", [1, 2, 3, 4, 5, 8])
def test_every_symbol_is_that_of_pytorch(
    make_pressed: MakePressed,
    images: Tensor,
    tmp_path: Path,
    transform: Transform,
    placement: Placement,
    bit_width: int,
) -> None:
    pressed = make_pressed(
        transform, coarseness=2 ** (1 - bit_width) * 4, placement=placement, bit_width=bit_width
    )

    exported = export_onnx(pressed, images[:64], tmp_path / "net.onnx")

    shapes = pressed.network.shapes
    per_image = sum(
        prod(codec.symbol_shape(shapes[name])) for name, codec in pressed.codecs.items()
    )
    assert exported.agreement.symbols == 64 * per_image
    assert exported.agreement.ties < 5e-4 * exported.agreement.symbols
    model = onnx.load(tmp_path / "net.onnx")
    widths = {width for codec in pressed.codecs.values() for width in codec.fixed_bits().tolist()}
    wanted = {next(bits for bits in TYPES if bits >= width) for width in widths if width}
    assert stored_types(model) == {TYPES[bits] for bits in wanted}
    expected = (25, 13) if TYPES[2] in stored_types(model) else (21, 10)
    assert (model.opset_import[0].version, model.ir_version) == expected


@pytest.mark.parametrize("network", [Many, Residual])
@pytest.mark.parametrize(
    ("transform", "block"), [(Transform.IDENTITY, 1), (Transform.PCA, 1), (Transform.PCA, 2)]
)
def test_operators_and_blocks(
    press_all: Pressing,
    colours: Tensor,
    tmp_path: Path,
    network: type[nn.Module],
    transform: Transform,
    block: int,
) -> None:
    pressed = press_all(network(), transform, block=block, bit_width=5)

    exported = export_onnx(pressed, colours, tmp_path / "net.onnx")

    assert exported.agreement.ties < 5e-4 * exported.agreement.symbols
    assert exported.stated_bits <= exported.file_bits


def test_branches_and_mixed_widths(press_all: Pressing, colours: Tensor, tmp_path: Path) -> None:
    pressed = press_all(resnet8(), Transform.PCA, bit_width=4)
    widths = [len(codec.fixed_bits().unique()) for codec in pressed.codecs.values()]
    assert max(widths) > 2

    exported = export_onnx(pressed, colours, tmp_path / "net.onnx")

    assert exported.stated_bits <= exported.file_bits
    assert exported.agreement.other_predictions == 0


def test_the_session_that_the_docs_recommend_gives_the_same(
    press_all: Pressing, colours: Tensor, tmp_path: Path
) -> None:
    pressed = press_all(Many(), bit_width=3)
    export_onnx(pressed, colours, tmp_path / "net.onnx")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    session = onnxruntime.InferenceSession(
        tmp_path / "net.onnx",
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["ReluQuantRewrite", "DoubleQDQPairsRemover"],
    )

    (found,) = session.run(None, {"image": colours.numpy()})

    assert np.allclose(found, pressed(colours).detach(), atol=1e-3)


def test_symbols_are_read_back(press_all: Pressing, colours: Tensor) -> None:
    pressed = press_all(Residual(), Transform.PCA, block=2, bit_width=3)
    network = onnx_network(pressed, LinearQuantizers())
    tensors = onnxruntime_session(network)(colours.numpy())
    seen = {}

    for name, codec in pressed.codecs.items():
        codec.register_forward_pre_hook(
            lambda codec, inputs, name=name: seen.update({name: codec.encode(inputs[0])})
        )
    pressed(colours)

    for name, site in network.sites.items():
        assert symbols_of(site, tensors).shape == seen[name].shape
    first = next(iter(network.sites))
    assert symbols_of(network.sites[first], tensors).equal(seen[first].float())


def test_a_map_that_two_layers_read_is_dequantized_for_each(press_all: Pressing) -> None:
    pressed = press_all(Residual(), Transform.IDENTITY, placement=Placement.POST_ACT)

    model = onnx_network(pressed, LinearQuantizers()).model

    readers = [name for node in model.graph.node for name in node.input]
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            assert readers.count(node.output[0]) == 1


def test_a_file_that_differs_is_refused(
    press_all: Pressing, colours: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed = press_all(Residual())
    network = onnx_network(pressed, LinearQuantizers())

    for constant in network.model.graph.initializer:
        if constant.name.endswith("encoder.bias"):
            values = onnx.numpy_helper.to_array(constant) + np.float32(0.01)
            constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))

    monkeypatch.setattr("actpress.deploy.onnx.onnx_network", lambda *_: network)
    with pytest.raises(ExportError, match=r"site relu: \d+ of \d+ symbols of the file are not"):
        export_onnx(pressed, colours, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_wrong_outputs_are_refused(press_all: Pressing, colours: Tensor) -> None:
    pressed = press_all(Residual())
    network = onnx_network(pressed, LinearQuantizers())
    for constant in network.model.graph.initializer:
        if constant.name == "head.bias":
            constant.CopyFrom(onnx.numpy_helper.from_array(np.zeros(5, np.float32), "head.bias"))

    with pytest.raises(ExportError, match="outputs differ from PyTorch's by up to"):
        verify(pressed, network, colours, onnxruntime_session(network))
    assert all(codec.transport is None for codec in pressed.codecs.values())


class Unusual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.shuffle = nn.PixelShuffle(2)
        self.pad = nn.ReflectionPad2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cumsum(self.b(torch.relu(self.a(self.pad(x)))), 2)
        return self.shuffle(x).flatten(1)


def test_all_operators_without_a_form_are_named_at_once(
    press_all: Pressing, colours: Tensor, tmp_path: Path
) -> None:
    pressed = press_all(Unusual())

    told = (
        r"3 operations .*: pad \(pad: expected .*constant\); cumsum \(cumsum\); shuffle \(pixel_s"
    )
    with pytest.raises(ExportError, match=told):
        export_onnx(pressed, colours, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


class Shuffled(nn.Module):
    """Channels are shuffled by views; a map becomes tokens and back."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        x = self.b(x).permute(0, 2, 3, 1).permute((0, 3, 1, 2))
        return self.head(torch.relu(x).amax((2, 3)) if self.training else x.mean([-1, -2]))


def test_moves_of_values(press_all: Pressing, colours: Tensor, tmp_path: Path) -> None:
    exported = export_onnx(press_all(Shuffled()), colours, tmp_path / "net.onnx")

    assert exported.agreement.images == len(colours)


class Merged(Residual):
    """The batch axis becomes part of another: the shape depends on how many images there are."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        tokens = self.b(x).reshape(-1, 16)
        return self.head(tokens.reshape(x.shape[0], 6, -1).mean(2))


def test_shapes_that_depend_on_the_number_of_images(press_all: Pressing) -> None:
    pressed = press_all(Merged())

    with pytest.raises(ExportError, match=r"reshape \(reshape: from .* moves images out of the"):
        onnx_network(pressed, LinearQuantizers())


def test_a_network_that_returns_several_tensors(press_all: Pressing) -> None:
    class Two(Residual):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return super().forward(x), x

    pressed = press_all(Two())

    with pytest.raises(ExportError, match="expected one input and one tensor; wrap the network"):
        onnx_network(pressed, LinearQuantizers())


def test_existing_output(press_all: Pressing, colours: Tensor, tmp_path: Path) -> None:
    pressed, out = press_all(Residual()), tmp_path / "net.onnx"
    out.write_text("mine")

    with pytest.raises(RunError, match=r"net\.onnx exists already"):
        export_onnx(pressed, colours, out)
    assert out.read_text() == "mine"
    export_onnx(pressed, colours, out, force=True)
    onnx.checker.check_model(str(out), full_check=True)


def test_equal_networks_give_equal_bytes(
    press_all: Pressing, colours: Tensor, tmp_path: Path
) -> None:
    pressed = press_all(Residual())
    for name in ("a", "b"):
        export_onnx(pressed, colours, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
