"""Square blocks of pixels, which a projection may take together besides the channels.

Neighbouring pixels of a feature map are alike. A code table that knows a symbol's neighbours saves
part of what that costs; a transform over the block leaves fewer components as well.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from actpress.errors import PlanError

MOST_COMPONENTS = 384
"""Components of the blocks that methods choose, at most: parameters grow with the fourth power of
the side, and sites of many channels store few values."""


def as_blocks(x: Tensor, side: int) -> Tensor:
    """Cut values into blocks; side 1 leaves them as they are.

    Args:
        x: values, shape (n, c, h, w), with h and w multiples of `side`; any shape for side 1.
        side: of a block, in pixels.

    Returns:
        Shape (n, c * side^2, h / side, w / side); channel j of pixel (row, column) of a block is
        entry (j * side + row) * side + column.

    Raises:
        PlanError: the pixels do not divide into blocks.
    """
    check_pixels(x, side)
    return x if side == 1 else F.pixel_unshuffle(x, side)


def check_pixels(x: Tensor, side: int) -> None:
    """Refuse values, shape (n, c, ...), whose pixels do not divide into blocks.

    Raises:
        PlanError: they do not.
    """
    if side > 1 and not divides(x.shape[1:], side):
        raise PlanError(
            f"values of shape {tuple(x.shape)} cannot be cut into blocks of {side}x{side} pixels; "
            f"give inputs whose feature maps are multiples of {side}, or plan with blocks of side 1"
        )


def divides(shape: Sequence[int], side: int) -> bool:
    """Whether values of shape (c, ...) can be cut into blocks of this side."""
    spatial = shape[1:]
    return side == 1 or (len(spatial) == 2 and all(size and not size % side for size in spatial))


def from_blocks(blocks: Tensor, side: int) -> Tensor:
    """The inverse of `as_blocks`: (n, c * side^2, h, w) -> (n, c, h * side, w * side)."""
    return blocks if side == 1 else F.pixel_shuffle(blocks, side)


def block_side(shape: Sequence[int], wanted: int) -> int:
    """The side of the blocks that a method gives a site: the largest up to `wanted` that fits.

    It must divide height and width, and leave at most `MOST_COMPONENTS`.

    Args:
        shape: of the site's value, (c, ...).
        wanted: side, in pixels.
    """
    fitting = (
        side
        for side in range(wanted, 1, -1)
        if divides(shape, side) and shape[0] * side**2 <= MOST_COMPONENTS
    )
    return next(fitting, 1)
