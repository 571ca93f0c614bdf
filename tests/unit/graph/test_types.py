"""Values of other floating types than float32, which is what codecs compute in."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.api import compress
from actpress.data.dataset import Dataset
from actpress.errors import ModelError
from actpress.graph import capture
from actpress.methods import Settings
from actpress.plan import Placement
from actpress.pressing import CompressedModel
from actpress.splitting import split
from actpress.tune import TuneSettings
from tests.conftest import CLASSES

IMAGE = torch.randn(2, 1, 8, 8)
TYPES = [torch.float64, torch.bfloat16, torch.float16]
SMALL = Settings(
    calibration_images=64,
    search_images=16,
    decoder_images=32,
    holdout_images=32,
    tune=TuneSettings(steps=4, batch_size=16, validate_every=2, validation_images=16),
)


class Mixed(nn.Module):
    """Computes its middle part in another type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1).to(dtype)
        self.c = nn.Conv2d(8, 8, 3, padding=1).to(dtype)
        self.head = nn.Linear(8, CLASSES)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x)).to(self.dtype)
        x = F.relu(self.c(F.relu(self.b(x))))
        return self.head(x.float().mean((2, 3)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("method", ["int8", "gdr", "cap", "codesign"])
def test_every_method_compresses_them_exactly(
    dataset: Dataset, dtype: torch.dtype, method: str
) -> None:
    network = Mixed(dtype).eval()
    result = compress(network, dataset, method=method, budget="4bits", settings=SMALL)
    pressed = result.model
    images = next(dataset.test.batches(8))[0]

    assert set(pressed.codecs) >= {"relu", "relu#2", "relu#3"}
    assert result.metrics.agreement > 0.8
    expected = pressed(images)
    for site in ("relu#2", "relu#3"):
        head, tail = split(pressed, site)
        assert tail(head(images)).equal(expected)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_layer_of_another_type_takes_no_projection_in(dtype: torch.dtype) -> None:
    sites = {site.name: site for site in capture(Mixed(dtype).eval(), IMAGE).sites}

    assert sites["relu"].encoder_folds_into(Placement.PRE_ACT) == "a"
    assert sites["relu#2"].encoder_folds_into(Placement.PRE_ACT) is None
    assert sites["relu#2"].decoder_folds_into(Placement.POST_ACT) == ()


@pytest.mark.parametrize("dtype", TYPES)
def test_a_network_of_another_type_than_its_images_is_told_so(dtype: torch.dtype) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3)).to(dtype)

    told = rf"0 is given torch\.float32 and {dtype}; .* model\.float\(\)"
    with pytest.raises(ModelError, match=told):
        capture(network, IMAGE)


@pytest.mark.parametrize("convert", ["double", "half", "bfloat16"])
def test_a_compressed_network_cannot_be_converted(
    make_pressed: Callable[..., CompressedModel], images: Tensor, convert: str
) -> None:
    pressed = make_pressed()
    expected = pressed(images[:4])

    with pytest.raises(ModelError, match=r"cannot be converted to torch\..*codec of site 'relu'"):
        getattr(pressed, convert)()

    assert pressed(images[:4]).equal(expected)
    assert pressed.float()(images[:4]).equal(expected)
    assert pressed.to("cpu")(images[:4]).equal(expected)
