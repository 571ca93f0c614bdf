"""The chart of memory over time, as SVG text."""

from matplotlib.axes import Axes

from actpress.deploy.memory import MemoryPlan
from actpress.report.charts import WIDE_PX
from actpress.report.svg import AFTER, BEFORE, INK, RULE, place, render


def ram_chart(plan: MemoryPlan, most: int) -> str:
    """Offsets of maps and line buffers over the stages, as SVG; `most` bytes high."""

    def draw(axes: Axes) -> None:
        place(axes, left=76, right=14, top=14, bottom=48)
        for block in plan.maps:
            begin, width = block.first, block.last - block.first + 1
            offset = plan.offsets[block.name]
            axes.bar(begin, block.bytes, width, offset, align="edge", color=AFTER, edgecolor=INK)
            if block.bytes > most / 12:
                middle = begin + width / 2, offset + block.bytes / 2
                axes.annotate(block.name, middle, ha="center", va="center", fontsize=10)
        for at, (buffers, offset) in enumerate(zip(plan.buffers, plan.buffer_offsets, strict=True)):
            axes.bar(at, buffers.bytes, 1, offset, align="edge", color=BEFORE, edgecolor=RULE)
        axes.set_xlim(-1, len(plan.chains))
        axes.set_ylim(0, most)
        axes.set_xlabel("stages, in the order in which they run")
        axes.set_ylabel("offset in the arena, bytes")
        axes.tick_params(length=0)

    label = f"Offsets of {len(plan.maps)} maps over {len(plan.chains)} stages."
    return render(draw, width_px=WIDE_PX, height_px=380, label=label, salt=f"ram{plan.arena_bytes}")
