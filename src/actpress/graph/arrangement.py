"""From a stored value to the form that codecs take, (n, c, ...), and back."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Arrangement:
    """Where images and channels are in a stored value.

    Attributes:
        batch_axis: axis of the images; 0 nearly always.
        rows: of that axis for each image: frames of a clip, windows, pixels; 1 nearly always.
            Neighbours belong to one image.
        channel_axis: axis of the channels; 1 in maps of convolutions, the last in tokens.
    """

    batch_axis: int = 0
    rows: int = 1
    channel_axis: int = 1

    @property
    def is_trivial(self) -> bool:
        """Whether a stored value has the form that codecs take."""
        return self == PLAIN

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Shape (n, c, ...) of what a codec gets, of that of the stored value."""
        sizes = list(stored)
        channels = sizes.pop(self.channel_axis)
        batch = sizes.pop(self.batch_axis - (self.channel_axis < self.batch_axis))
        frames = [self.rows] if self.rows > 1 else []
        return batch // self.rows, channels, *frames, *sizes


PLAIN = Arrangement()
"""That of a map (n, c, h, w), or a vector (n, c)."""


def to_codec(x: Tensor, batch_axis: int, rows: int, channel_axis: int) -> Tensor:
    """A stored value -> (n, c, ...), or (n, c, rows, ...) with several rows for each image.

    Args: see `Arrangement`.
    """
    x = x.movedim((batch_axis, channel_axis), (0, 1))
    return x if rows == 1 else x.unflatten(0, (-1, rows)).movedim(2, 1)


def from_codec(x: Tensor, batch_axis: int, rows: int, channel_axis: int) -> Tensor:
    """The inverse of `to_codec`."""
    x = x if rows == 1 else x.movedim(1, 2).flatten(0, 1)
    return x.movedim((0, 1), (batch_axis, channel_axis))
