"""memory.md: what a network takes, against int8 maps; and board/chains.txt for the counter."""

from collections.abc import Iterable

from actpress.deploy.integer import IntegerMap, IntegerNetwork
from actpress.deploy.memory import MemoryPlan

Row = tuple[object, ...]
MAP_HEADS: Row = (
    *("number", "map", "channels, height, width", "bits"),
    *("bytes", "offset", "stored by", "last read by"),
)


def memory_text(
    title: str, network: IntegerNetwork, plan: MemoryPlan, int8: MemoryPlan, *, weight_bytes: int
) -> str:
    """The text of memory.md.

    Args:
        title: of the network.
        network: that was planned.
        plan: with packed maps.
        int8: of the same planner with a byte for every symbol.
        weight_bytes: constants of weights.c.
    """
    peak, int8_peak = plan.buffers[plan.peak_chain], int8.buffers[int8.peak_chain]
    totals: list[Row] = [
        ("arena: all that the network takes beside the stack", plan.arena_bytes, int8.arena_bytes),
        ("maps at their peak", plan.activation_bytes, int8.activation_bytes),
        ("line buffers at the arena's peak", peak.bytes, int8_peak.bytes),
        ("constants, in flash", weight_bytes, weight_bytes),
    ]
    shapes = {each.name: each for each in network.maps}
    return "\n".join(
        (
            f"# Memory of {title}",
            "",
            *_table(("bytes", "this code", "int8 maps, same planner"), totals),
            "",
            (
                f"The peak is at {plan.chains[plan.peak_chain].name}. No offsets take less than "
                f"{plan.least_bytes:,} bytes for these maps. `make qemu` measures stack and code."
            ),
            "",
            "## Maps",
            "",
            *_table(
                MAP_HEADS,
                [_map_row(plan, at, shapes) for at in range(len(plan.maps))],
            ),
            "",
            "## Stages",
            "",
            "Stages joined by + run together row by row; what is between them is not stored.",
            "",
            *_table(
                ("stages", "maps that live", "line buffers", "together"),
                [_chain_row(plan, at) for at in range(len(plan.chains))],
            ),
            "",
        )
    )


def chains_text(plan: MemoryPlan) -> str:
    """Offset and bytes of the line buffers, a line for each chain."""
    pairs = zip(plan.buffer_offsets, plan.buffers, strict=True)
    return "".join(f"{offset} {block.bytes}\n" for offset, block in pairs)


def _map_row(plan: MemoryPlan, at: int, shapes: dict[str, IntegerMap]) -> Row:
    block = plan.maps[at]
    layout = plan.layouts[block.name]
    bits = ", ".join(str(group.bits) for group in layout.groups)
    if layout.coding is not None:
        bits = f"rANS, {layout.row_bytes:,} bytes a row"
    return (
        block.first if at else "",
        block.name,
        ", ".join(map(str, shapes[block.name].shape)),
        bits,
        block.bytes,
        plan.offsets[block.name],
        plan.chains[block.first].last.name if at else "the caller",
        plan.chains[block.last].name if block.last < len(plan.chains) else "the caller",
    )


def _chain_row(plan: MemoryPlan, at: int) -> Row:
    maps, buffers = plan.map_bytes_at(at), plan.buffers[at].bytes
    return plan.chains[at].name, maps, buffers, maps + buffers


def _table(heads: Row, rows: Iterable[Row]) -> list[str]:
    """A table; numbers to the right."""
    rows = list(rows)
    marks = ["--:" if isinstance(each, int) else "---" for each in rows[-1]]
    return [_line(heads), f"|{'|'.join(marks)}|", *map(_line, rows)]


def _line(cells: Row) -> str:
    return f"| {' | '.join(f'{c:,}' if isinstance(c, int) else str(c) for c in cells)} |"
