"""Bytes that the stages of a plan load from stored maps and store in them."""

from dataclasses import dataclass

from actpress.deploy.integer import Stage
from actpress.deploy.memory.plan import MemoryPlan
from actpress.deploy.memory.schedule import Chain, span, window_of


@dataclass(frozen=True)
class Traffic:
    """Of one inference.

    Attributes:
        loaded_bytes: from maps, the image included.
        stored_bytes: in maps; the image is stored by the caller.
    """

    loaded_bytes: int
    stored_bytes: int

    @property
    def bytes(self) -> int:
        """Both."""
        return self.loaded_bytes + self.stored_bytes


def map_traffic(plan: MemoryPlan) -> Traffic:
    """What a plan moves: maps once in, and once out for every reader.

    Rows that no window sees are not read.
    """
    loaded = stored = 0
    for chain in plan.chains:
        loaded += sum(rows * plan.layouts[name].row_bytes for name, rows in _rows_loaded(chain))
        if chain.last.target is not None:
            stored += plan.layouts[chain.last.target.name].size_bytes
    return Traffic(loaded, stored)


def _rows_loaded(chain: Chain) -> list[tuple[str, int]]:
    first = chain.stages[0]
    own = [] if first.source is None else [(first.source.map.name, _rows_seen(first))]
    return own + [
        (addend.reading.map.name, stage.size[1])
        for stage in chain.stages
        for addend in stage.addends
    ]


def _rows_seen(stage: Stage) -> int:
    """Rows of the source from the first to the last of any window."""
    assert stage.source is not None
    window = window_of(stage)
    rows: set[int] = set()
    for row in range(stage.size[1]):
        top = row * window.stride[0] - window.before[0]
        rows.update(range(top, top + span(window)))
    return sum(0 <= row < stage.source.map.height for row in rows)
