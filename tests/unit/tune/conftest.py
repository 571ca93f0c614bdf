"""A small aggressive case to tune: three of eight components, coarse steps."""

from collections.abc import Callable

import pytest
from torch import Tensor

from actpress.plan import Transform
from actpress.pressing import CompressedModel
from actpress.tune import align_rate_model


@pytest.fixture
def aggressive(
    make_pressed: Callable[..., CompressedModel], images: Tensor
) -> Callable[[], tuple[CompressedModel, float]]:
    """Builds a pressed network with tables and aligned rates, and its bits per inference."""

    def make() -> tuple[CompressedModel, float]:
        pressed = make_pressed(Transform.LEARNED, rank=3, coarseness=2.5)
        align_rate_model(pressed, [images[:64]], pressed.coded_bits)
        return pressed, sum(pressed.coded_bits.values())

    return make
