"""Peak RAM of a compressed network, also if its sites stored other bits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from torch import Tensor

from actpress.deploy.integer import IntegerNetwork, integer_network
from actpress.deploy.memory.layout import BYTE, Group, RowLayout, layout_of
from actpress.deploy.memory.plan import MemoryPlan, planned
from actpress.pressing import CompressedModel


@dataclass(frozen=True)
class PlannedPeak:
    """The planner's peak.

    Attributes:
        network: that is planned.
    """

    network: IntegerNetwork

    @classmethod
    def of(cls, pressed: CompressedModel, batches: Iterable[Tensor]) -> "PlannedPeak":
        """That of a compressed network; `batches` as for `integer_network`.

        Raises:
            ExportError: something has no integer form.
        """
        return cls(integer_network(pressed, batches))

    def peak_bytes(self, stored_bits: Mapping[str, float]) -> int:
        """The arena, where sites store these bits an image, and the others what they do."""
        return self._plan(stored_bits).arena_bytes

    def at_peak(self, stored_bits: Mapping[str, float]) -> str:
        """Maps that live at the peak, and the line buffers there, with their bytes."""
        plan = self._plan(stored_bits)
        peak = plan.peak_chain
        maps = [
            f"{block.name} ({block.bytes:,} bytes)"
            for block in plan.maps
            if block.first <= peak <= block.last
        ]
        buffers = plan.buffers[peak]
        return f"{', '.join(maps)} and the line buffers of {buffers.name} ({buffers.bytes:,} bytes)"

    def _plan(self, stored_bits: Mapping[str, float]) -> MemoryPlan:
        layouts = {
            each.name: _rows(stored_bits[each.name], each.height)
            if each.name in stored_bits
            else layout_of(each)
            for each in self.network.maps
        }
        return planned(self.network, layouts)


def _rows(bits: float, height: int) -> RowLayout:
    """Rows of about so many bits a map."""
    return RowLayout((Group(BYTE, (), ceil(bits / height / BYTE)),), height)
