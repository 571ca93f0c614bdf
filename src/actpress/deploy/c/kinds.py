"""How numbers of a kind of weights are written in C."""

from collections.abc import Iterator
from dataclasses import dataclass

from actpress.deploy.c.arrays import literal
from actpress.deploy.integer import AnyRescale, FloatRescale, Weights
from actpress.deploy.integer.arithmetic import Values


@dataclass(frozen=True)
class Kind:
    """C types and sizes.

    Attributes:
        weights: the kind.
        number: type of line values and weights.
        multiplier: type of multipliers.
        word: type of a word of the arena.
        output: type of logits.
        below_all: what any line value without its zero is above, or equal to.
        inputs: that are multiplied by weights in one step.
        channel_bytes: of `struct channel`.
        no_channel: one that fills up fours.
        lines: structure of a table of line values.
        decode, encode: functions that multiply by matrices.
        pixel: type of what they decode to, and encode.
        row: the row that was computed, as an encoder reads it.
    """

    weights: Weights
    number: str
    multiplier: str
    word: str
    output: str
    below_all: str
    inputs: int
    channel_bytes: int
    no_channel: str
    lines: str
    decode: str
    encode: str
    pixel: str
    row: str

    @property
    def is_float(self) -> bool:
        """Line values are the values themselves, without a zero of their own."""
        return self.weights is Weights.FLOAT32


INT8 = Kind(
    weights=Weights.INT8,
    number="int8_t",
    multiplier="int32_t",
    word="uint32_t",
    output="int32_t",
    below_all="-512",
    inputs=4,
    channel_bytes=16,
    no_channel="{0, 0, 0, 0, 0, 1}",
    lines="table",
    decode="multiply",
    encode="multiply",
    pixel="uint8_t",
    row="result",
)
FLOAT32 = Kind(
    weights=Weights.FLOAT32,
    number="float",
    multiplier="float",
    word="float",
    output="float",
    below_all="LEAST",
    inputs=1,
    channel_bytes=20,
    no_channel="{0, 0, 0, 0, 0}",
    lines="line_table",
    decode="decode",
    encode="encode",
    pixel="number",
    row="(const number *)(const void *)result",
)
KINDS = {kind.weights: kind for kind in (INT8, FLOAT32)}


def channels(bias: Values, rescale: AnyRescale, moved: int) -> Iterator[str]:
    """Initializers of `struct channel`; `moved` is added to what comes out."""
    columns = [bias, rescale.multiplier]
    columns += [each + moved for each in (rescale.offset, rescale.low, rescale.high)]
    if not isinstance(rescale, FloatRescale):
        columns.append(rescale.shift)
    for row in zip(*columns, strict=True):
        yield "{" + ", ".join(map(literal, row)) + "}"
