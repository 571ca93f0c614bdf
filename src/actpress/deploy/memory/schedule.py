"""Which stages run together row by row, what they need beside maps, and when a row is free."""

from collections.abc import Sequence
from dataclasses import dataclass

from actpress.deploy.integer import IntegerNetwork, Pool, Reading, Stage, Window

POINT = Window((1, 1))
WORD = 4


@dataclass(frozen=True)
class Chain:
    """Stages that run together: each hands its rows to the next, and only the last one stores.

    Attributes:
        stages: in order.
    """

    stages: tuple[Stage, ...]

    @property
    def last(self) -> Stage:
        """The one that stores a map, or gives logits."""
        return self.stages[-1]

    @property
    def name(self) -> str:
        """Of all modules."""
        return " + ".join(stage.name for stage in self.stages)

    @property
    def buffers(self) -> tuple["Buffers", ...]:
        """Of every stage."""
        following = (*self.stages[1:], None)
        return tuple(
            buffers_of(stage, after) for stage, after in zip(self.stages, following, strict=True)
        )


@dataclass(frozen=True)
class Buffers:
    """What a stage needs beside maps, in bytes. All but the rows are used for one row at a time.

    Attributes:
        rows: line buffers of the window.
        slots: rows in them.
        row_stride: from one to the next.
        joins: a line of every addend.
        sums: int32 sums of a pool whose windows do not overlap.
        row: the row that is being computed, before an encoder; none where it lies elsewhere.
        row_in_join: the addend whose line it overwrites, pixel by pixel; None for none.
        row_in_next: whether it lies in a line buffer of the stage that it is handed to.
        codes: codes of a row that a decoder reads or an encoder gives.
    """

    rows: int
    slots: int
    row_stride: int
    joins: tuple[int, ...]
    sums: int
    row: int
    codes: int
    row_in_join: int | None = None
    row_in_next: bool = False

    @property
    def bytes(self) -> int:
        """All of them, each from a multiple of four on."""
        each = (self.rows, *self.joins, self.sums, self.row, self.codes)
        return sum(aligned(size) for size in each)


def aligned(size: int) -> int:
    """The next multiple of four bytes."""
    return -(-size // WORD) * WORD


def window_of(stage: Stage) -> Window:
    """That of the operation; a single pixel for sums."""
    return POINT if stage.operation is None else stage.operation.window


def adds_up(stage: Stage) -> bool:
    """A pool whose windows do not overlap: rows go into sums, and need not be kept."""
    window = window_of(stage)
    plain = window.dilation == (1, 1) and not any(window.before + window.after)
    overlaps = any(by < size for by, size in zip(window.stride, window.kernel, strict=True))
    point = window.kernel == (1, 1)
    return isinstance(stage.operation, Pool) and plain and not overlaps and not point


def buffers_of(stage: Stage, following: Stage | None = None) -> Buffers:
    """Buffers of a stage, and of the one that it hands its rows to."""
    channels, _, width = stage.size
    rows = slots = row_stride = sums = codes = 0
    if stage.source is not None:
        window, source = window_of(stage), stage.source
        slots = 1 if adds_up(stage) else span(window)
        across = source.map.width + window.before[1] + window.after[1]
        row_stride = across * source.channels * stage.number_bytes
        rows = slots * row_stride + WORD - 1  # quads of inputs are read up to three bytes further
        sums = width * channels * 4 if adds_up(stage) else 0
    joins = tuple(
        addend.reading.map.width * addend.reading.channels * stage.number_bytes
        for addend in stage.addends
    )
    for reading in stage.readings:
        if reading.decoder is not None:
            codes = max(codes, reading.map.width * reading.map.channels)
    if stage.encoder is not None:
        codes = max(codes, width * len(stage.encoder.weight))
    row = width * channels * _value_bytes(stage)
    in_join = _join_under_row(stage)
    in_next = in_join is None and following is not None and _hands_on_in_place(stage, following)
    row = 0 if in_next or in_join is not None else row
    return Buffers(rows, slots, row_stride, joins, sums, row, codes, in_join, in_next)


def _value_bytes(stage: Stage) -> int:
    """Of the row that is computed: logits, line values for an encoder, or codes."""
    if stage.target is None:
        return WORD
    return 1 if stage.encoder is None else stage.number_bytes


def _join_under_row(stage: Stage) -> int | None:
    """An addend whose line has the form of the result: a value is read before it is overwritten."""
    channels, _, width = stage.size
    for at, addend in enumerate(stage.addends):
        reading = addend.reading
        alike = (addend.first, reading.channels, reading.map.width) == (0, channels, width)
        if stage.target is not None and alike:
            return at
    return None


def _hands_on_in_place(stage: Stage, following: Stage) -> bool:
    """Codes of a row become line values of the next stage one by one."""
    source = following.source
    return stage.encoder is None and source is not None and source.decoder is None


def span(window: Window) -> int:
    """Rows from the first to the last that a window sees."""
    return (window.kernel[0] - 1) * window.dilation[0] + 1


def rows_needed(stage: Stage, row: int) -> int:
    """How many rows of the source must have been read before a row of the result."""
    if stage.source is None:
        return 0
    window = window_of(stage)
    last = row * window.stride[0] - window.before[0] + span(window)
    return min(max(last, 0), stage.source.map.height)


def chains_of(network: IntegerNetwork, *, cascade: Sequence[str] = ()) -> tuple[Chain, ...]:
    """Stages that run together.

    Args:
        network: whose stages.
        cascade: names of maps that are not stored; each is read by the next stage alone.
    """
    chains: list[Chain] = []
    begun: list[Stage] = []
    for stage in network.stages:
        begun.append(stage)
        if stage.target is None or stage.target.name not in cascade:
            chains.append(Chain(tuple(begun)))
            begun = []
    return tuple(chains)


def cascadable(network: IntegerNetwork) -> tuple[str, ...]:
    """Maps that need not be stored: only the next stage reads them, as its source; none is sent."""
    names = []
    for stage, following in zip(network.stages[:-1], network.stages[1:], strict=True):
        target = stage.target
        readers = [
            (reader, reading)
            for reader in network.stages
            for reading in reader.readings
            if reading.map is target
        ]
        alone = len(readers) == 1 and readers[0][0] is following
        if target is None or target.name in network.sent:
            continue
        if alone and readers[0][1] is following.source:
            names.append(target.name)
    return tuple(names)


def rows_read(chain: Chain) -> dict[str, list[int]]:
    """For every map that a chain reads: rows that are done with when each row is stored.

    What is read as a source and joined, too, is done with when both are.
    """
    found: dict[str, list[int]] = {}
    made, seen = [0] * len(chain.stages), [0] * len(chain.stages)
    height = chain.last.size[1]
    while made[-1] < height:
        at = _ready(chain, made, seen)
        stage = chain.stages[at]
        if at == 0:
            seen[0] = rows_needed(stage, made[0])
        made[at] += 1
        if at + 1 < len(chain.stages):
            seen[at + 1] += 1
        else:
            _note(found, chain, made, seen)
    return found


def _ready(chain: Chain, made: list[int], seen: list[int]) -> int:
    """The last stage that can compute a row; the first one always can."""
    for at in range(len(chain.stages) - 1, 0, -1):
        stage = chain.stages[at]
        if made[at] < stage.size[1] and rows_needed(stage, made[at]) <= seen[at]:
            return at
    return 0


def _note(found: dict[str, list[int]], chain: Chain, made: list[int], seen: list[int]) -> None:
    done: dict[str, int] = {}
    for at, stage in enumerate(chain.stages):
        if at == 0 and stage.source is not None:
            done[stage.source.map.name] = seen[0]
        for addend in stage.addends:
            name = addend.reading.map.name
            done[name] = min(done.get(name, made[at]), made[at])
    for name, rows in done.items():
        found.setdefault(name, []).append(rows)


def stored_readings(chain: Chain) -> tuple[Reading, ...]:
    """What a chain reads from memory."""
    first = chain.stages[0].source
    own = () if first is None else (first,)
    return own + tuple(addend.reading for stage in chain.stages for addend in stage.addends)
