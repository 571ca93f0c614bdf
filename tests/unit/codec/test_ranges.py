"""What is stored of steps and symbol ranges, and that it says what it was made from."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actpress.codec import Quantizers, on_grid, pack_indices, ranges_of, unpack_indices
from actpress.codec.ranges import index_bits, packed_ranges, widths_of

RANGES = st.lists(
    st.tuples(st.integers(-300, 300), st.integers(0, 300)).map(lambda p: (p[0], p[0] + p[1])),
    min_size=1,
    max_size=6,
)


@given(seen=RANGES, alike=st.booleans())
def test_ranges_hold_what_was_seen_and_are_read_back(
    *, seen: list[tuple[int, int]], alike: bool
) -> None:
    low, high = (torch.tensor(column) for column in zip(*seen, strict=True))
    q_min, q_max = packed_ranges(low, high, alike=alike)
    assert (q_min <= low).all()
    assert (high <= q_max).all()
    stored = Quantizers.of(torch.ones(len(seen)), q_min, q_max)
    again = stored.ranges()
    assert again[0].equal(q_min)
    assert again[1].equal(q_max)
    if alike:
        assert len(widths_of(q_min, q_max).unique()) == 1


@pytest.mark.parametrize(
    ("low", "high", "width"),
    [(-142, 113, 8), (0, 255, 8), (0, 256, 9), (-8, 7, 4), (-9, 6, 4), (0, 0, 0), (-1, 0, 1)],
)
def test_levels_that_fit_into_bits_take_these(low: int, high: int, width: int) -> None:
    q_min, q_max = packed_ranges(torch.tensor([low]), torch.tensor([high]), alike=True)
    assert widths_of(q_min, q_max).tolist() == [width]


def test_groups_of_signed_components_are_centred() -> None:
    q_min, q_max = ranges_of(torch.tensor([3, 1, 0]), -(1 << 15))
    assert q_min.tolist() == [-4, -1, 0]
    assert q_max.tolist() == [3, 0, 0]


@given(st.lists(st.integers(0, 12), max_size=40))
def test_packed_indices_are_read_back(indices: list[int]) -> None:
    packed = pack_indices(torch.tensor(indices, dtype=torch.int64), 13)
    assert 8 * len(packed) == index_bits(len(indices), 13)
    assert unpack_indices(packed, len(indices), 13).tolist() == indices


def test_steps_that_differ_lie_on_a_grid() -> None:
    steps = on_grid(torch.tensor([1.0, 1.02, 1.5, 3.0]))
    assert steps[0] == steps[1]
    assert (steps[1:].log2() * 8 - (steps[1:].log2() * 8).round()).abs().max() < 0.05
    assert on_grid(steps).equal(steps), "the second time changes nothing"
