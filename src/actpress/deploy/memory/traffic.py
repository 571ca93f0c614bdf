"""Bytes that the stages of a plan load from stored maps and store in them."""

from collections.abc import Mapping
from dataclasses import dataclass

from actpress.deploy.integer import Stage
from actpress.deploy.integer.arithmetic import Array
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


def map_traffic(plan: MemoryPlan, codes: Mapping[str, Array]) -> Traffic:
    """What a plan moves for one image: maps once in, and once out for every reader.

    Rows that no window sees are not read.

    Args:
        plan: whose chains.
        codes: that are stored, of every map by name, shape (h, w, c); rANS rows differ in length.
    """
    loaded = stored = 0
    for chain in plan.chains:
        for name, rows in _rows_loaded(chain):
            loaded += int(plan.layouts[name].loaded_bytes(codes[name])[rows].sum())
        target = chain.last.target
        if target is not None:
            stored += int(plan.layouts[target.name].stored_bytes(codes[target.name]).sum())
    return Traffic(loaded, stored)


def _rows_loaded(chain: Chain) -> list[tuple[str, list[int]]]:
    first = chain.stages[0]
    own = [] if first.source is None else [(first.source.map.name, _rows_seen(first))]
    return own + [
        (addend.reading.map.name, list(range(stage.size[1])))
        for stage in chain.stages
        for addend in stage.addends
    ]


def _rows_seen(stage: Stage) -> list[int]:
    """Rows of the source from the first to the last of any window."""
    assert stage.source is not None
    window = window_of(stage)
    rows: set[int] = set()
    for row in range(stage.size[1]):
        top = row * window.stride[0] - window.before[0]
        rows.update(range(top, top + span(window)))
    return [row for row in sorted(rows) if 0 <= row < stage.source.map.height]
