"""The memory planner: offsets of packed maps and of line buffers in one arena.

A map lives from the chain that stores it to the last one that reads it, line buffers during their
chain. What lives at the same time lies apart, with one exception: a chain stores rows from the
first to the last, and reads them so; where it is the last reader of a map, its own map may take the
place of rows that are done with. For a map that is read (at A, row bytes r) and one that is stored
(at B, row bytes s) that holds if B <= A - d, d = max over rows y of (y + 1) s - done(y) r.
"""

import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from actpress.deploy.integer import IntegerMap, IntegerNetwork
from actpress.deploy.integer.arithmetic import Array
from actpress.deploy.memory.layout import RowLayout, layout_of
from actpress.deploy.memory.schedule import (
    Chain,
    aligned,
    cascadable,
    chains_of,
    rows_read,
    stored_readings,
)

EXACT_BLOCKS = 7
TRIALS = 1500


@dataclass(frozen=True)
class Block:
    """Something that lies in the arena for a while.

    Attributes:
        name: of the map, or of the chain whose line buffers these are.
        bytes: how many.
        first, last: chains during which it lives; what is sent lives on after all of them.
        is_map: whether it is one.
    """

    name: str
    bytes: int
    first: int
    last: int
    is_map: bool

    def meets(self, other: "Block") -> bool:
        """They live at the same time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class MemoryPlan:
    """Offsets of all blocks.

    Attributes:
        chains: in the order in which they run.
        layouts: of all stored maps, by name.
        maps: blocks of stored maps, the image first.
        buffers: block of each chain's line buffers.
        offsets: of the maps, by name; `buffer_offsets` those of the line buffers, by chain.
        arena_bytes: what all takes.
        least_bytes: no plan of these chains takes less than this.
    """

    chains: tuple[Chain, ...]
    layouts: Mapping[str, RowLayout]
    maps: tuple[Block, ...]
    buffers: tuple[Block, ...]
    offsets: Mapping[str, int]
    buffer_offsets: tuple[int, ...]
    arena_bytes: int
    least_bytes: int

    def kept(self, name: str, codes: Array) -> Array:
        """What is read back of codes (n, h, w, c) of a map: all, if it is not stored or packed."""
        return self.layouts[name].kept(codes) if name in self.offsets else codes

    def map_bytes_at(self, chain: int) -> int:
        """Bytes from the first to the last that maps take while a chain runs, gaps not counted."""
        spans = sorted(
            (self.offsets[block.name], self.offsets[block.name] + block.bytes)
            for block in self.maps
            if block.first <= chain <= block.last
        )
        total, end = 0, 0
        for start, stop in spans:
            total += max(stop - max(start, end), 0)
            end = max(end, stop)
        return total

    @property
    def peak_chain(self) -> int:
        """Where maps and line buffers together take most."""
        return max(
            range(len(self.chains)),
            key=lambda chain: self.map_bytes_at(chain) + self.buffers[chain].bytes,
        )

    @property
    def activation_bytes(self) -> int:
        """What maps alone take at most."""
        return max(self.map_bytes_at(chain) for chain in range(len(self.chains)))


def memory_plan(
    network: IntegerNetwork, *, whole_bytes: bool = False, cascades: bool = True
) -> MemoryPlan:
    """Plan the arena of a network.

    Args:
        network: whose maps.
        whole_bytes: int8 maps instead of packed ones.
        cascades: leave out maps that a chain can hand on row by row, where that takes less.
    """
    layouts = {each.name: layout_of(each, whole_bytes=whole_bytes) for each in network.maps}
    return planned(network, layouts, cascades=cascades)


def planned(
    network: IntegerNetwork, layouts: Mapping[str, RowLayout], *, cascades: bool = True
) -> MemoryPlan:
    """The same for maps of any layouts, by name."""
    best = _planned(network, layouts, ())
    if not cascades:
        return best
    left_out: tuple[str, ...] = ()
    for _ in network.maps:
        found = _with_one_less(network, layouts, best, left_out)
        if found is None:
            return best
        best, left_out = found
    return best


def _with_one_less(
    network: IntegerNetwork,
    layouts: Mapping[str, RowLayout],
    best: MemoryPlan,
    left_out: tuple[str, ...],
) -> tuple[MemoryPlan, tuple[str, ...]] | None:
    """Leave out one more map that lives at the peak, if that lowers it."""
    peak = best.peak_chain
    living = {block.name for block in best.maps if block.first <= peak <= block.last}
    chosen: tuple[MemoryPlan, tuple[str, ...]] | None = None
    for name in cascadable(network):
        if name in living and name not in left_out:
            tried = (*left_out, name)
            plan = _planned(network, layouts, tried)
            if plan.arena_bytes < (chosen[0] if chosen else best).arena_bytes:
                chosen = plan, tried
    return chosen


def _planned(
    network: IntegerNetwork, layouts: Mapping[str, RowLayout], left_out: tuple[str, ...]
) -> MemoryPlan:
    chains = chains_of(network, cascade=left_out)
    stored = [network.input.map, *(c.last.target for c in chains if c.last.target is not None)]
    maps = tuple(_map_block(each, layouts[each.name], chains, network.sent) for each in stored)
    buffers = tuple(
        Block(chain.name, sum(own.bytes for own in chain.buffers), at, at, is_map=False)
        for at, chain in enumerate(chains)
    )
    blocks = (*maps, *buffers)
    rules = _Rules(chains, layouts, blocks)
    least = _least(blocks, rules, len(chains))
    offsets, arena = _placed(blocks, rules, least=least)
    return MemoryPlan(
        chains=chains,
        layouts=layouts,
        maps=maps,
        buffers=buffers,
        offsets={block.name: offsets[at] for at, block in enumerate(maps)},
        buffer_offsets=tuple(offsets[len(maps) :]),
        arena_bytes=aligned(arena),
        least_bytes=least,
    )


def _map_block(
    stored: IntegerMap, layout: RowLayout, chains: Sequence[Chain], sent: Sequence[str]
) -> Block:
    first = next((at for at, chain in enumerate(chains) if chain.last.target is stored), -1)
    reads = [
        at
        for at, chain in enumerate(chains)
        if any(reading.map is stored for reading in stored_readings(chain))
    ]
    last = len(chains) if stored.name in sent else max(reads, default=first)
    return Block(stored.name, layout.size_bytes, first, last, is_map=True)


class _Rules:
    """Which pairs of blocks may overlap, and how far."""

    def __init__(
        self,
        chains: Sequence[Chain],
        layouts: Mapping[str, RowLayout],
        blocks: Sequence[Block],
    ) -> None:
        self.blocks = blocks
        self.ahead: dict[tuple[int, int], int] = {}
        """(stored, read) -> d, by the positions of the two."""
        numbers = {block.name: at for at, block in enumerate(blocks) if block.is_map}
        for at, chain in enumerate(chains):
            target = chain.last.target
            if target is None:
                continue
            written = layouts[target.name].row_bytes
            for name, done in rows_read(chain).items():
                if blocks[numbers[name]].last == at:
                    row_bytes = layouts[name].row_bytes
                    distance = max(
                        (y + 1) * written - rows * row_bytes for y, rows in enumerate(done)
                    )
                    self.ahead[numbers[target.name], numbers[name]] = distance

    def places(self, block: int, offset: Callable[[int], int], placed: Iterable[int]) -> list[int]:
        """Offsets that may be the lowest free one: where another block ends, or overlaps it."""
        found = [0]
        for other in placed:
            found.append(offset(other) + self.blocks[other].bytes)
            if (block, other) in self.ahead:
                found.append(offset(other) - self.ahead[block, other])
            if (other, block) in self.ahead:
                found.append(offset(other) + self.ahead[other, block])
        return sorted({aligned(each) for each in found if each >= 0})

    def fit(self, one: int, at: int, other: int, there: int) -> bool:
        """Two blocks may lie at these offsets."""
        first, second = self.blocks[one], self.blocks[other]
        if not first.meets(second):
            return True
        if at + first.bytes <= there or there + second.bytes <= at:
            return True
        if (one, other) in self.ahead:
            return at <= there - self.ahead[one, other]
        if (other, one) in self.ahead:
            return there <= at - self.ahead[other, one]
        return False


def _least(blocks: Sequence[Block], rules: _Rules, chains: int) -> int:
    """What lives during one chain at least: everything, less the most that may overlap."""
    least = 0
    for chain in range(chains):
        total = sum(block.bytes for block in blocks if block.first <= chain <= block.last)
        shared = [
            _most_shared(blocks[stored].bytes, blocks[read].bytes, ahead)
            for (stored, read), ahead in rules.ahead.items()
            if blocks[stored].first == chain
        ]
        least = max(least, total - max(shared, default=0))
    return least


def _most_shared(stored: int, read: int, ahead: int) -> int:
    """Bytes that two maps can have in common."""
    return stored + read - max(max(ahead, 0) + read, stored)


def _placed(blocks: Sequence[Block], rules: _Rules, *, least: int) -> tuple[list[int], int]:
    """The best of several orders, each block at the lowest offset that is free."""
    best: tuple[list[int], int] | None = None
    for order in _orders(blocks):
        found = _in_order(order, blocks, rules, None if best is None else best[1])
        if found is not None:
            best = found
            if best[1] <= least:
                break
    assert best is not None
    return best


def _orders(blocks: Sequence[Block]) -> Iterable[Sequence[int]]:
    every = range(len(blocks))
    by_size = sorted(every, key=lambda at: -blocks[at].bytes)
    yield by_size
    yield sorted(every, key=lambda at: (blocks[at].first, -blocks[at].bytes))
    yield sorted(every, key=lambda at: (not blocks[at].is_map, -blocks[at].bytes))
    if len(blocks) <= EXACT_BLOCKS:
        yield from itertools.permutations(every)
        return
    shuffle = random.Random(0)  # noqa: S311  the same plan every time
    for _ in range(TRIALS):
        order = sorted(every, key=lambda at: -blocks[at].bytes * shuffle.uniform(0.3, 1.0))
        yield order


def _in_order(
    order: Sequence[int], blocks: Sequence[Block], rules: _Rules, limit: int | None
) -> tuple[list[int], int] | None:
    """None where it takes no less than `limit`."""
    offsets: dict[int, int] = {}
    arena = 0
    for block in order:
        near = [other for other in offsets if blocks[other].meets(blocks[block])]
        at = next(
            place
            for place in rules.places(block, offsets.__getitem__, near)
            if all(rules.fit(block, place, other, offsets[other]) for other in near)
        )
        offsets[block] = at
        arena = max(arena, at + blocks[block].bytes)
        if limit is not None and arena >= limit:
            return None
    return [offsets[at] for at in range(len(blocks))], arena
