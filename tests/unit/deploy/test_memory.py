"""The memory planner: what it places never overwrites what is still to be read."""

import random
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actpress.deploy.integer import IntegerMap, IntegerNetwork, integer_network
from actpress.deploy.memory import MemoryPlan, layout_of, memory_plan, packed
from actpress.deploy.memory.schedule import rows_read
from actpress.plan import Transform
from actpress.pressing import CompressedModel
from tests.unit.deploy.conftest import Pressing, Residual
from tests.unit.deploy.test_integer import Sums

MakePressed = Callable[..., CompressedModel]


def replayed(plan: MemoryPlan) -> None:
    """Write every row where the plan has it; each row must still be there when it is read."""
    owner: dict[int, tuple[str, int]] = {}

    def write(name: str, row: int) -> None:
        layout = plan.layouts[name]
        begin = plan.offsets[name] + row * layout.row_bytes
        assert begin + layout.row_bytes <= plan.arena_bytes
        owner.update(dict.fromkeys(range(begin, begin + layout.row_bytes), (name, row)))

    def read(name: str, row: int) -> None:
        layout = plan.layouts[name]
        begin = plan.offsets[name] + row * layout.row_bytes
        for at in range(begin, begin + layout.row_bytes):
            assert owner[at] == (name, row), f"{name}, row {row}, was overwritten by {owner[at]}"

    for row in range(plan.layouts[plan.maps[0].name].height):
        write(plan.maps[0].name, row)
    for at, chain in enumerate(plan.chains):
        buffer = range(plan.buffer_offsets[at], plan.buffer_offsets[at] + plan.buffers[at].bytes)
        assert buffer.stop <= plan.arena_bytes
        owner.update(dict.fromkeys(buffer, ("buffers", at)))
        done, seen = rows_read(chain), dict.fromkeys(rows_read(chain), 0)
        for row in range(chain.last.size[1]):
            for name, rows in done.items():
                for each in range(seen[name], rows[row]):
                    read(name, each)
                seen[name] = rows[row]
            if chain.last.target is not None:
                write(chain.last.target.name, row)
            assert all(owner[byte] == ("buffers", at) for byte in buffer)


@pytest.mark.parametrize("build", [Sums, Residual])
@pytest.mark.parametrize("cascades", [False, True])
@pytest.mark.parametrize("whole_bytes", [False, True])
def test_nothing_is_overwritten_before_it_is_read(
    press_all: Pressing,
    colours: Tensor,
    build: Callable[[], nn.Module],
    *,
    cascades: bool,
    whole_bytes: bool,
) -> None:
    network = integer_network(press_all(build(), Transform.PCA), [colours])
    replayed(memory_plan(network, cascades=cascades, whole_bytes=whole_bytes))


def test_a_chain_of_convolutions_takes_one_map_and_its_line_buffers(
    press_all: Pressing, colours: Tensor
) -> None:
    """Each map takes the place of the rows that were read of the one before."""
    network = nn.Sequential(
        *(
            nn.Sequential(nn.Conv2d(3 if at == 0 else 8, 8, 3, padding=1), nn.ReLU())
            for at in range(4)
        ),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    integers = integer_network(press_all(network, Transform.IDENTITY, bit_width=4), [colours])
    plan = memory_plan(integers, cascades=False)
    one_map = 16 * 16 * 8 // 2
    assert plan.layouts[plan.maps[1].name].size_bytes == one_map
    lines, row = 3 * 18 * 8 + 3, 16 * 8
    assert plan.buffers[1].bytes == -(-lines // 4) * 4 + row
    assert plan.arena_bytes == one_map + plan.buffers[1].bytes == plan.least_bytes


def test_cascades_leave_out_maps_where_that_takes_less(press_all: Pressing) -> None:
    images = torch.randn(8, 3, 48, 48)
    pressed = press_all(Residual(), Transform.IDENTITY, bit_width=4, images=images)
    network = integer_network(pressed, [images])
    plain, cascaded = memory_plan(network, cascades=False), memory_plan(network)
    assert cascaded.arena_bytes < plain.arena_bytes
    left_out = {block.name for block in plain.maps} - {block.name for block in cascaded.maps}
    joined = {s.target.name for c in cascaded.chains for s in c.stages[:-1] if s.target is not None}
    assert left_out == joined != set()


def network_of(make_pressed: MakePressed, images: Tensor) -> IntegerNetwork:
    return integer_network(make_pressed(Transform.IDENTITY, bit_width=4), [images])


def test_packed_maps_take_fewer_bytes(make_pressed: MakePressed, images: Tensor) -> None:
    network = network_of(make_pressed, images)
    plan, int8 = memory_plan(network), memory_plan(network, whole_bytes=True)
    assert plan.activation_bytes < 0.6 * int8.activation_bytes
    assert memory_plan(network) == plan


def test_rows_are_packed_width_by_width() -> None:
    q_max = np.array([1, 15, 0, 3])
    stored = IntegerMap("x", 4, 2, 3, np.zeros(4, np.int64), q_max)
    layout = layout_of(stored)
    assert [(g.bits, g.members, g.row_bytes) for g in layout.groups] == [
        (0, (2,), 0), (1, (0,), 1), (2, (3,), 1), (4, (1,), 2),
    ]  # fmt: skip
    codes = np.zeros((2, 3, 4), np.int64)
    codes[0] = [[1, 10, 0, 3], [0, 11, 0, 1], [1, 12, 0, 2]]
    assert packed(codes, layout) == bytes([0b101, 0b100111, 0xBA, 0x0C, 0, 0, 0, 0])
    assert layout_of(stored, whole_bytes=True).size_bytes == 24


def test_random_chains_are_placed_well(press_all: Pressing) -> None:
    """The planner's peak is the bound that no plan can beat, or close to it."""
    draw = random.Random(3)
    images = torch.randn(8, 3, 16, 16)
    for _ in range(4):
        channels = [3, *(draw.choice([4, 8, 12]) for _ in range(5))]
        layers = [
            nn.Sequential(nn.Conv2d(a, b, 3, draw.choice([1, 1, 2]), 1), nn.ReLU())
            for a, b in pairwise(channels)
        ]
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 3))
        model = nn.Sequential(*layers, head)
        network = integer_network(press_all(model, Transform.IDENTITY, images=images), [images])
        plan = memory_plan(network, cascades=False)
        replayed(plan)
        assert plan.least_bytes <= plan.arena_bytes <= 1.02 * plan.least_bytes


def test_a_row_lies_over_an_addend_or_in_the_next_line(press_all: Pressing) -> None:
    """Where codes are replaced one by one, the row that is computed needs no bytes of its own."""
    images = torch.randn(8, 3, 48, 48)
    pressed = press_all(Residual(), Transform.IDENTITY, bit_width=4, images=images)
    plan = memory_plan(integer_network(pressed, [images]))
    joined = {
        stage.name: (buffers.row, buffers.row_in_join, buffers.row_in_next)
        for chain in plan.chains
        for stage, buffers in zip(chain.stages, chain.buffers, strict=True)
        if len(chain.stages) > 1
    }
    assert (0, 0, False) in joined.values()
    assert (0, None, True) in joined.values()
    projected = press_all(Residual(), Transform.PCA, images=images)
    plan = memory_plan(integer_network(projected, [images]))
    for chain in plan.chains:
        for (stage, after), buffers in zip(pairwise(chain.stages), chain.buffers, strict=False):
            codes_differ = stage.encoder is not None or after.source.decoder is not None
            assert not (buffers.row_in_next and codes_differ)
            assert buffers.row_in_next or buffers.row or buffers.row_in_join is not None
