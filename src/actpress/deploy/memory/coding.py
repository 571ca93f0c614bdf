"""Which maps are coded, with which of the network's tables, and how large the slots of rows are."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actpress.codec.entropy.clusters import cluster
from actpress.deploy.integer import Executor, IntegerMap, IntegerNetwork
from actpress.deploy.integer.arithmetic import Array
from actpress.deploy.integer.execute import image_codes
from actpress.deploy.memory.layout import (
    BYTE,
    HEADER_BYTES,
    CodedGroup,
    Coding,
    RowLayout,
    grouped,
    layout_of,
)
from actpress.deploy.memory.rans import CodeTable

TABLES = 2
"""Of a network, at most: each takes a KiB of flash for its slots."""

NARROW = 64
"""Codes of a channel at most, for the table of channels with few: a code takes four bytes."""

ONE_TABLE_COSTS = 0.02
"""All channels of a map share one table where that makes its streams longer by no more."""

WORTH = 0.95
"""Of packed rows is what streams may take at most."""

SPARE = 1 / 16
"""Room in a slot beyond the longest row of the calibration images."""

LEVELS = 256


def rans_layouts(
    network: IntegerNetwork, batches: Iterable[Tensor], *, worth: float = WORTH
) -> dict[str, RowLayout]:
    """Layouts of all maps, those of rANS rows where that moves fewer bytes; the image is packed.

    Args:
        network: whose maps.
        batches: training images, each of shape (n, c, h, w). Slots hold the longest row that these
            have, and a little more.
        worth: a map is coded where its streams take at most this share of its packed rows.
    """
    layouts = {each.name: layout_of(each) for each in network.maps}
    counted = [each for each in network.maps[1:] if each.bits.any()]
    if not counted:
        return layouts
    codes = _all_codes(network, batches)
    channels = [_Channels.of(each, codes[each.name]) for each in counted]
    every = np.concatenate([each.counts for each in channels])
    levels = np.concatenate([each.levels for each in channels])
    assigned = _assigned(every, levels)
    tables = [
        CodeTable.of(every[assigned == at].sum(axis=0)[: levels[assigned == at].max()])
        for at in range(int(assigned.max()) + 1)
    ]
    ends = np.cumsum([len(each.counts) for each in channels])
    for own, table_of in zip(channels, np.split(assigned, ends[:-1]), strict=True):
        name = own.stored.name
        layout = _coded(own, own.groups(tables, table_of), codes[name], worth)
        if layout is not None:
            layouts[name] = layout
    return layouts


def _assigned(counts: NDArray[np.float64], levels: Array) -> Array:
    """Table of every channel: by its number of codes where both kinds are there, or by its codes.

    Args:
        counts: of codes, shape (channels, 256).
        levels: codes that each may have, shape (channels,).
    """
    wide = (levels > NARROW).astype(np.int64)
    if wide.min() != wide.max():
        return wide
    found: Array = cluster(torch.from_numpy(counts)[:, None, :], TABLES).numpy()
    return found


@dataclass(frozen=True)
class _Channels:
    """Channels of a map that have bits.

    Attributes:
        stored: the map.
        members: their positions.
        levels: codes that each may have.
        counts: of their codes, shape (members, 256).
    """

    stored: IntegerMap
    members: Array
    levels: Array
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, stored: IntegerMap, codes: Array) -> "_Channels":
        members = np.flatnonzero(stored.bits)
        counts = [np.bincount(codes[..., at].ravel(), minlength=LEVELS) for at in members]
        levels = (stored.q_max - stored.q_min + 1)[members]
        return cls(stored, members, levels, np.stack(counts).astype(np.float64))

    def groups(self, tables: Sequence[CodeTable], table_of: Array) -> tuple[CodedGroup, ...]:
        """By table, or all in one where that takes little more."""
        bits = np.full((len(tables), LEVELS), np.inf)
        for at, table in enumerate(tables):
            bits[at, : len(table.frequencies)] = table.bits
        apart = sum(
            _bits(counts, bits[at]) for counts, at in zip(self.counts, table_of, strict=True)
        )
        total = self.counts.sum(axis=0)
        together = np.array(
            [
                _bits(total, bits[at]) if len(table.frequencies) >= self.levels.max() else np.inf
                for at, table in enumerate(tables)
            ]
        )
        if together.min() <= (1 + ONE_TABLE_COSTS) * apart:
            table_of = np.full_like(table_of, together.argmin())
        groups = [
            CodedGroup(tables[at], tuple(self.members[table_of == at].tolist()))
            for at in np.unique(table_of)
        ]
        constant = np.flatnonzero(self.stored.bits == 0)
        if len(constant):
            groups.append(CodedGroup(None, tuple(constant.tolist())))
        return tuple(groups)


def _bits(counts: NDArray[np.float64], bits: NDArray[np.float64]) -> float:
    seen = counts > 0
    return float(counts[seen] @ bits[seen])


def _all_codes(network: IntegerNetwork, batches: Iterable[Tensor]) -> dict[str, Array]:
    """Codes of all maps but the image."""
    executor = Executor(network)
    found: dict[str, list[Array]] = {each.name: [] for each in network.maps[1:]}
    for images in batches:
        _, codes = executor.run(image_codes(network.input, images.numpy()))
        for name, values in found.items():
            values.append(codes[name])
    return {name: np.concatenate(values) for name, values in found.items()}


def _coded(
    own: _Channels, groups: tuple[CodedGroup, ...], codes: Array, worth: float
) -> RowLayout | None:
    """The layout of a coded map; None where coding is not worth it."""
    stored = own.stored
    rows = codes.reshape(-1, stored.width, stored.channels)
    lengths = Coding(groups, 0, 0).streams(rows).lengths
    packed_bytes = layout_of(stored).row_bytes
    if HEADER_BYTES + lengths.mean() > worth * packed_bytes:
        return None
    room = min(math.ceil(lengths.max() * (1 + SPARE)), packed_bytes)
    return coded_layout(stored, groups, room)


def coded_layout(stored: IntegerMap, groups: tuple[CodedGroup, ...], room: int) -> RowLayout:
    """The layout of a coded map whose slots have room for streams of so many bytes."""
    choices = (grouped(np.maximum(stored.bits - less, 0), stored.width) for less in range(BYTE + 1))
    dropped, raw = next(
        (less, own)
        for less, own in enumerate(choices)
        if sum(group.row_bytes for group in own) <= room
    )
    return RowLayout(raw, stored.height, Coding(groups, HEADER_BYTES + room, dropped))
