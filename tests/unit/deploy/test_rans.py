"""Maps whose rows are rANS streams: the coder, the slots of rows, and C that does the same."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actpress.deploy.c import export_c
from actpress.deploy.c.network import sources
from actpress.deploy.integer import Executor, IntegerMap, IntegerNetwork, integer_network
from actpress.deploy.integer.execute import image_codes
from actpress.deploy.memory import (
    CodedGroup,
    CodeTable,
    RowLayout,
    map_traffic,
    packed,
    planned,
    rans_layouts,
)
from actpress.deploy.memory.coding import NARROW, _assigned, coded_layout
from actpress.deploy.memory.rans import SLOTS, decode, encode
from actpress.plan import Transform
from tests.unit.deploy.conftest import Pressing
from tests.unit.deploy.test_c import assert_equal, emulated, make
from tests.unit.deploy.test_integer import Sums

ANYTHING = 100.0
SANITIZED = ("-std=c99", "-O1", "-DNET_WATCH", "-fsanitize=address,undefined")
DAMAGE = """
#include "net.h"
static uint32_t seed;
static uint32_t any(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}
void net_watch(uint32_t map, const uint8_t *packed, uint32_t bytes)
{
    uint8_t *damaged = (uint8_t *)packed;
    (void)map;
    if (!bytes) return;
    for (uint32_t i = 0; i < 1u + bytes / 8u; i++) damaged[any() % bytes] = (uint8_t)any();
    if (any() % 2u) damaged[0] = damaged[1] = 0xff;
}
int main(void)
{
    int32_t logits[NET_OUTPUTS];
    for (seed = 1; seed < 200u; seed++) {
        for (uint32_t i = 0; i < NET_INPUT_BYTES; i++) net_input()[i] = (uint8_t)any();
        net_run(logits);
    }
    return 0;
}
"""


@settings(max_examples=60, deadline=None)
@given(
    levels=st.lists(st.integers(1, 256), min_size=1, max_size=3),
    symbols=st.integers(1, 60),
    seed=st.integers(0, 10_000),
)
def test_streams_are_decoded_to_what_was_encoded(
    levels: list[int], symbols: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    tables = [CodeTable.of(random.exponential(size=each) ** 4) for each in levels]
    table_of = random.integers(0, len(levels), symbols)
    codes = random.integers(0, np.array(levels)[table_of], (3, symbols))
    streams = encode(codes, tables, table_of)
    for row in range(3):
        assert decode(streams.row(row), tables, table_of).tolist() == codes[row].tolist()


def test_streams_take_what_their_tables_say() -> None:
    table = CodeTable.of(np.array([90.0, 5, 3, 2]))
    codes = np.random.default_rng(0).choice(4, (20, 4000), p=[0.9, 0.05, 0.03, 0.02])
    streams = encode(codes, [table], np.zeros(4000, np.int64))
    ideal = table.bits[codes].sum(axis=1) / 8
    assert (streams.lengths <= 1.002 * ideal + 4).all()
    assert (streams.lengths >= 0.998 * ideal).all()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=256))
def test_tables_fill_all_slots(counts: list[float]) -> None:
    table = CodeTable.of(np.array(counts))
    assert sum(table.frequencies) == SLOTS == len(table.code_at)
    assert min(table.frequencies) >= 1


@given(st.binary(max_size=40), st.integers(0, 5))
def test_any_bytes_are_decoded_to_codes(stream: bytes, seed: int) -> None:
    random = np.random.default_rng(seed)
    tables = [CodeTable.of(random.random(5)), CodeTable.of(random.random(200))]
    codes = decode(stream, tables, np.arange(50) % 2)
    assert (codes < np.where(np.arange(50) % 2, 200, 5)).all()


TABLE = CodeTable.of(np.array([97.0, 1, 1, 1]))


def small_map(width: int = 8) -> IntegerMap:
    """Of two channels of 2 bits, and one of none."""
    return IntegerMap("map", 3, 4, width, np.zeros(3, np.int64), np.array([3, 0, 3]))


def small_layout(room: int) -> RowLayout:
    groups = (CodedGroup(TABLE, (0, 2)), CodedGroup(None, (1,)))
    return coded_layout(small_map(), groups, room)


def test_a_row_that_does_not_fit_loses_its_lowest_bits() -> None:
    codes = np.zeros((1, 4, 8, 3), np.int64)
    codes[0, 1, :, 0] = [3, 2, 1, 3, 2, 1, 3, 3]
    layout = small_layout(3)
    coding = layout.coding
    assert coding is not None
    assert coding.dropped_bits == 1
    assert layout.row_bytes == 5
    kept = layout.kept(codes)
    assert kept[0, 1, :, 0].tolist() == [2, 2, 0, 2, 2, 0, 2, 2]
    assert (kept[0, [0, 2, 3]] == 0).all()
    stored = packed(codes[0], layout)
    assert len(stored) == layout.size_bytes
    assert stored[5:7] == b"\0\0"
    assert stored[0:2] == b"\x03\0"
    assert layout.loaded_bytes(codes[0]).tolist() == [5, 4, 5, 5]
    assert layout.stored_bytes(codes[0]).tolist() == [5, 7, 5, 5]


def test_with_room_for_packed_rows_nothing_is_lost() -> None:
    codes = np.random.default_rng(0).integers(0, 4, (5, 4, 8, 3)) * np.array([1, 0, 1])
    layout = small_layout(4)
    assert layout.coding is not None
    assert layout.coding.dropped_bits == 0
    assert layout.kept(codes) is codes


def with_less_room(network: IntegerNetwork, layouts: dict[str, RowLayout]) -> dict[str, RowLayout]:
    """So little that many rows do not fit."""
    found = dict(layouts)
    for each in network.maps:
        coding = layouts[each.name].coding
        if coding is not None:
            found[each.name] = coded_layout(each, coding.groups, max(coding.room_bytes * 3 // 5, 4))
    return found


@pytest.mark.parametrize("bit_width", [2, 5])
@pytest.mark.parametrize("transform", [Transform.IDENTITY, Transform.PCA])
def test_c_is_the_reference(
    press_all: Pressing, colours: Tensor, tmp_path: Path, transform: Transform, bit_width: int
) -> None:
    network = integer_network(press_all(Sums(), transform, bit_width=bit_width), [colours])
    layouts = rans_layouts(network, [colours], worth=ANYTHING)
    assert sum(each.coding is not None for each in layouts.values()) > 3
    plan = planned(network, layouts, cascades=False)
    assert_equal(network, colours[:4], tmp_path / "room", plan)
    small = with_less_room(network, layouts)
    assert any(each.coding.dropped_bits for each in small.values() if each.coding is not None)
    plan = planned(network, small, cascades=False)
    assert_equal(network, colours[:4], tmp_path / "less", plan)


def test_tables_are_chosen_by_numbers_of_codes_where_both_kinds_are_there() -> None:
    levels = np.array([4, NARROW, NARROW + 1, 256])
    counts = np.zeros((4, 256))
    for row, most in enumerate(levels):
        counts[row, :most] = 1 + np.arange(most)
    assert _assigned(counts, levels).tolist() == [0, 0, 1, 1]
    few = np.array([4, NARROW, 4, NARROW])
    assert _assigned(counts[[0, 1, 0, 1]], few).tolist() in ([0, 1, 0, 1], [1, 0, 1, 0])


def test_damaged_rows_reach_nothing_beyond_the_arena(
    press_all: Pressing, colours: Tensor, tmp_path: Path
) -> None:
    """Whatever a row holds, sanitizers see no access outside of arena and tables."""
    network = integer_network(press_all(Sums(), Transform.IDENTITY, bit_width=3), [colours])
    layouts = with_less_room(network, rans_layouts(network, [colours], worth=ANYTHING))
    made = sources(network, planned(network, layouts), "damaged")
    for name, text in {**made.files, "damage.c": DAMAGE}.items():
        (tmp_path / name).write_text(text)
    command = ["cc", *SANITIZED, "-fno-sanitize-recover=all", "net.c", "weights.c", "damage.c"]
    subprocess.run([*command, "-o", "damage"], cwd=tmp_path, check=True)  # noqa: S603
    done = subprocess.run([tmp_path / "damage"], capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")


@emulated
def test_boards_decode_the_same_and_load_what_streams_take(
    press_all: Pressing, colours: Tensor, tmp_path: Path
) -> None:
    network = integer_network(press_all(Sums(), Transform.IDENTITY, bit_width=3), [colours])
    layouts = rans_layouts(network, [colours], worth=ANYTHING)
    made = export_c(
        network, colours[:2], tmp_path / "firmware", title="sums", cascades=False, layouts=layouts
    )
    said = make(tmp_path / "firmware", "qemu")
    assert "maps and outputs of 2 images: equal" in said
    found = re.search(r"maps: loaded (\d+) bytes, stored (\d+)", said)
    assert found is not None, said
    image = image_codes(network.input, colours[:1].numpy())
    codes = {name: each[0] for name, each in Executor(network).run(image)[1].items()}
    account = map_traffic(made.plan, codes)
    assert (account.loaded_bytes, account.stored_bytes) == tuple(map(int, found.groups()))
    assert "rANS" in (tmp_path / "firmware" / "memory.md").read_text()
