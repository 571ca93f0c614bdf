"""One pass over two values finds their squared distance, whatever their layouts."""

from itertools import product

import pytest
import torch
from torch import Tensor

from actpress.kernels import squared_distance, squared_distance_reference
from tests.conftest import two_threads


def planes(values: Tensor) -> Tensor:
    return values


def by_pixel(values: Tensor) -> Tensor:
    return values.movedim(1, -1).contiguous().movedim(-1, 1)


def sliced(values: Tensor) -> Tensor:
    return values.repeat_interleave(2, 0)[::2]


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 7), (4, 5, 6, 7), (2, 1, 1, 1), (2, 3, 4, 2, 5)])
def test_it_is_the_definition_in_every_layout(shape: tuple[int, ...]) -> None:
    x, y = torch.randn(2, *shape)
    expected = float((x.double() - y.double()).square().sum())
    assert squared_distance_reference(x, y) == pytest.approx(expected, rel=1e-5)
    for of_x, of_y in product((planes, by_pixel, sliced), repeat=2):
        assert squared_distance(of_x(x), of_y(y)) == pytest.approx(expected, rel=1e-5)


def test_threads_change_no_bit() -> None:
    x, y = torch.randn(2, 5, 16, 9, 9)
    for layout in (planes, by_pixel):
        alone = squared_distance(x, layout(y))
        with two_threads():
            assert squared_distance(x, layout(y)) == alone


def test_nothing_is_nowhere() -> None:
    empty = torch.zeros(0, 3, 2, 2)
    assert squared_distance(empty, empty) == 0
