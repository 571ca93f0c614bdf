"""A folder of C99 that computes an integer network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from actpress.deploy.c.golden import golden_files
from actpress.deploy.c.memory_md import chains_text, memory_text
from actpress.deploy.c.network import sources, template
from actpress.deploy.integer import IntegerNetwork
from actpress.deploy.memory import MemoryPlan, RowLayout, memory_plan, planned
from actpress.run import new_folder

COPIED = (
    "Makefile",
    "check.c",
    "console.h",
    "console_host.c",
    "board/cortex-m.ld",
    "board/count.c",
    "board/run_main.c",
    "board/semihost.c",
    "board/semihost.h",
    "board/startup.c",
)


@dataclass(frozen=True)
class Firmware:
    """A folder that was written.

    Attributes:
        plan: of its memory.
        int8_plan: of the same network with a byte for every symbol.
        weight_bytes: constants, in flash.
    """

    plan: MemoryPlan
    int8_plan: MemoryPlan
    weight_bytes: int

    @property
    def summary(self) -> str:
        """One line for people."""
        plan, int8 = self.plan, self.int8_plan
        return (
            f"arena {plan.arena_bytes:,} bytes ({int8.arena_bytes:,} with int8 maps), peak at "
            f"{plan.chains[plan.peak_chain].name}, {len(plan.maps) - 1} maps stored, "
            f"{self.weight_bytes:,} bytes of constants; run `make check` in it"
        )


def export_c(
    network: IntegerNetwork,
    images: Tensor,
    out: Path,
    *,
    title: str,
    force: bool = False,
    whole_bytes: bool = False,
    cascades: bool = True,
    layouts: Mapping[str, RowLayout] | None = None,
) -> Firmware:
    """Write C99 for a network: net.c, net.h, weights.c, main.c, Makefile, memory.md and a check.

    Args:
        network: from `integer_network`.
        images: golden images, shape (n, c, h, w).
        out: the folder.
        title: what the network is called.
        force: replace an earlier export.
        whole_bytes: a byte for every symbol instead of packed ones, to compare with.
        cascades: let stages hand on rows where that lowers the peak.
        layouts: of all maps by name, such as those of `rans_layouts`, instead of packed rows.

    Raises:
        ExportError: something has no C form; names the module.
        RunError: `out` exists.
    """
    if layouts is None:
        plan = memory_plan(network, whole_bytes=whole_bytes, cascades=cascades)
    else:
        plan = planned(network, layouts, cascades=cascades)
    int8 = plan if whole_bytes else memory_plan(network, whole_bytes=True, cascades=cascades)
    made = sources(network, plan, title)
    report = memory_text(title, network, plan, int8, weight_bytes=made.weight_bytes)
    text = {
        **made.files,
        **golden_files(network, plan, images.numpy()),
        **{name: template(name) for name in COPIED},
        "board/chains.txt": chains_text(plan),
        "memory.md": report,
    }
    with new_folder(out, force=force, known_by="net.h") as folder:
        for name, content in text.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")
    return Firmware(plan, int8, made.weight_bytes)
