"""Cutting values into blocks of pixels, and putting them together again."""

import pytest
import torch
from torch.nn import functional as F

from actpress.codec import (
    MOST_COMPONENTS,
    LinearProjection,
    Moments,
    as_blocks,
    block_side,
    family_of,
)
from actpress.codec.blocks import from_blocks
from actpress.errors import PlanError
from actpress.plan import NumberBits, Transform


@pytest.mark.parametrize("side", [1, 2, 3])
def test_an_entry_of_a_block_is_where_the_definition_says(side: int) -> None:
    x = torch.arange(2 * 5 * 6 * 12.0).reshape(2, 5, 6, 12)
    blocks = as_blocks(x, side)
    assert blocks.shape == (2, 5 * side**2, 6 // side, 12 // side)
    channel, row, column, i, j = 3, side - 1, 0, 1, 2
    entry = (channel * side + row) * side + column
    assert blocks[1, entry, i, j] == x[1, channel, i * side + row, j * side + column]
    assert from_blocks(blocks, side).equal(x)


@pytest.mark.parametrize("shape", [(2, 4, 5, 6), (2, 4, 6, 5), (2, 4, 6), (2, 4), (2, 4, 6, 6, 6)])
def test_pixels_that_do_not_divide_are_refused(shape: tuple[int, ...]) -> None:
    x = torch.zeros(shape)
    assert as_blocks(x, 1) is x
    with pytest.raises(PlanError, match="cannot be cut into blocks of 2x2 pixels"):
        as_blocks(x, 2)


@pytest.mark.parametrize(
    ("shape", "wanted", "side"),
    [
        ((32, 8, 8), 1, 1),
        ((32, 8, 8), 2, 2),
        ((32, 7, 7), 2, 1),
        ((32, 8, 7), 2, 1),
        ((MOST_COMPONENTS // 4, 8, 8), 2, 2),
        ((MOST_COMPONENTS // 4 + 1, 8, 8), 2, 1),
        ((MOST_COMPONENTS // 4, 8, 8), 4, 2),
        ((4, 12, 12), 8, 6),
        ((32, 1, 1), 2, 1),
        ((32,), 2, 1),
        ((32, 8), 2, 1),
    ],
)
def test_a_site_gets_the_largest_side_that_it_is_made_for(
    shape: tuple[int, ...], wanted: int, side: int
) -> None:
    assert block_side(shape, wanted) == side


def test_a_projection_of_blocks_is_a_strided_convolution() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 6, 8, generator=generator)
    columns = as_blocks(x, 2).transpose(0, 1).flatten(1).double()
    family = family_of(Transform.PCA)
    basis = family.fit(Moments(columns @ columns.T / columns.shape[1], None, 4, 2))
    projection = LinearProjection(
        family, basis.select(range(10)), torch.zeros(16), block=2, number_bits=NumberBits.HALF
    )
    kernel = projection.encoder.reshape(10, 4, 2, 2)
    expected = F.conv2d(x, kernel, stride=2)
    torch.testing.assert_close(projection.encode(x, torch.ones(10)), expected)
    back = F.conv_transpose2d(expected, projection.decoder.T.reshape(10, 4, 2, 2), stride=2)
    torch.testing.assert_close(projection.decode(expected, torch.ones(10)), back)
    size = projection.size()
    assert (size.encoder_macs, size.decoder_macs) == (160, 160)
    assert (size.shared, size.encoder, size.decoder) == (160, 0, 0), "one matrix for both"
    assert projection.constant_bits() == (16 * 16, 16 * 16)
