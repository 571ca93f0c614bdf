"""Plain packing inside the network: real bytes, the same values, still one graph."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from actpress.codec import Packing
from actpress.errors import StreamError
from actpress.plan import Placement, Transform
from actpress.pressing import CompressedModel

MakePressed = Callable[..., CompressedModel]


def packed(pressed: CompressedModel) -> CompressedModel:
    for codec in pressed.codecs.values():
        codec.transport = Packing.of(codec)
    return pressed.eval()


@pytest.mark.parametrize("placement", Placement)
@pytest.mark.parametrize("transform", [Transform.IDENTITY, Transform.PCA, Transform.DCT])
@pytest.mark.parametrize("coarseness", [0.1, 0.5, 2.0])
def test_packing_changes_no_value(
    make_pressed: MakePressed,
    images: Tensor,
    transform: Transform,
    placement: Placement,
    coarseness: float,
) -> None:
    pressed = make_pressed(transform, placement=placement, coarseness=coarseness)
    with torch.no_grad():
        expected = pressed(images[:5])
        assert packed(pressed)(images[:5]).equal(expected)


def test_the_bytes_are_those_of_the_fixed_view(make_pressed: MakePressed) -> None:
    codec = make_pressed(Transform.PCA, coarseness=0.3).codecs["relu"]
    packing = Packing.of(codec)
    assert list(packing.bit_widths) == codec.fixed_bits().tolist()
    q = codec.encode(torch.randn(3, 8, 8, 8)).float()
    data = packing.pack(q)
    assert 8 * data.shape[1] == 64 * int(codec.fixed_bits().sum())
    assert data.shape == (3, packing.bytes_per_image(64))
    assert packing.unpack(data, (8, 8)).equal(q)
    with pytest.raises(StreamError, match="got packed symbols of shape"):
        packing.unpack(data[:, :-1], (8, 8))


def test_a_packing_network_compiles_and_exports(make_pressed: MakePressed, images: Tensor) -> None:
    network = packed(make_pressed(Transform.PCA)).network.eval_module
    with torch.no_grad():
        expected = network(images[:4])[0]
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
        assert compiled(images[:4])[0].equal(expected)
        program = torch.export.export(network, (images[:4],))
    calls = [str(node.target) for node in program.graph.nodes if "actpress" in str(node.target)]
    assert len(calls) == 2 * 5, "two operators at each of the five sites"
    assert program.module()(images[:4])[0].equal(expected)
