"""Memory over time, for people."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console
from torch import Tensor

from actpress.deploy.integer import integer_network
from actpress.deploy.memory import MemoryPlan, memory_plan
from actpress.plan import Transform
from actpress.pressing import CompressedModel
from actpress.report.ram import print_ram, ram_rows, render_ram


@pytest.fixture
def plans(
    make_pressed: Callable[..., CompressedModel], images: Tensor
) -> tuple[MemoryPlan, MemoryPlan]:
    """Packed, and with int8 maps."""
    network = integer_network(make_pressed(Transform.IDENTITY, bit_width=4), [images])
    return memory_plan(network), memory_plan(network, whole_bytes=True)


def test_rows_are_the_plan(plans: tuple[MemoryPlan, MemoryPlan]) -> None:
    plan = plans[0]
    rows = ram_rows(plan)

    assert [row.name for row in rows] == [chain.name for chain in plan.chains]
    assert [row.is_peak for row in rows].count(True) == 1
    assert max(row.total for row in rows) == next(row.total for row in rows if row.is_peak)
    assert max(row.total for row in rows) <= plan.arena_bytes
    assert rows[0].live[0] == "x (64, 8 bit)"


def test_the_terminal_names_the_peak_and_the_int8_network(
    plans: tuple[MemoryPlan, MemoryPlan],
) -> None:
    plan, int8 = plans
    text = io.StringIO()
    print_ram(plan, int8, Console(file=text, width=100))

    said = " ".join(text.getvalue().split())
    assert f"arena {plan.arena_bytes:,} bytes: peak at {plan.chains[plan.peak_chain].name}" in said
    assert f"{int8.arena_bytes:,} bytes with int8 maps" in said
    for row in ram_rows(plan):
        assert f"{row.maps:,} {row.buffers:,} {row.total:,}" in said


def test_the_page_escapes_names_and_has_both_charts(
    plans: tuple[MemoryPlan, MemoryPlan],
) -> None:
    page = render_ram(*plans, "<script>")
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert page.count("<svg") == 2
    for block in plans[0].maps:
        assert f"{block.bytes:,}" in page
    assert page == render_ram(*plans, "<script>")
