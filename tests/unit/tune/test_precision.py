import pytest
import torch
from torch import nn

from actpress.tune.precision import mixed_precision

CPU = torch.device("cpu")


def seen(network: nn.Sequential, *, wanted: bool | None) -> list[torch.dtype]:
    with mixed_precision(network, CPU, wanted=wanted):
        x, dtypes = torch.randn(2, 4, 8, 8), []
        for layer in network:
            x = layer(x)
            dtypes.append(x.dtype)
    return dtypes


def test_strided_depthwise_convolutions_alone_stay_in_float32() -> None:
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
    )
    half, single = torch.bfloat16, torch.float32

    assert seen(network, wanted=True) == [half, half, single, half]
    assert seen(network, wanted=None) == [single] * 4
    assert all("forward" not in vars(layer) for layer in network)


class OnePixel(nn.Conv2d):
    """A convolution of one's own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[..., :1, :1]


def test_a_forward_of_ones_own_is_called_and_put_back() -> None:
    layer = OnePixel(4, 4, 3, stride=2, groups=4)

    def twice(x: torch.Tensor) -> torch.Tensor:
        return 2 * OnePixel.forward(layer, x)

    vars(layer)["forward"] = twice
    x = torch.randn(1, 4, 8, 8)

    with mixed_precision(layer, CPU, wanted=True), mixed_precision(layer, CPU, wanted=True):
        inside = layer(x)

    assert inside.equal(2 * OnePixel.forward(layer, x))
    assert vars(layer)["forward"] is twice


def test_the_network_is_as_before_after_an_error() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3, stride=2, groups=4))
    with pytest.raises(KeyboardInterrupt), mixed_precision(network, CPU, wanted=True):
        raise KeyboardInterrupt

    assert "forward" not in vars(network[0])
