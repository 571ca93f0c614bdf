"""Which values are observed in a pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from actpress.plan import Placement


@dataclass(frozen=True)
class Watch:
    """One value of some sites.

    Attributes:
        placements: which of its values, by site name.
        blocks: side of the blocks of pixels that are one column; 1 where none is named.
    """

    placements: Mapping[str, Placement]
    blocks: Mapping[str, int] = field(default_factory=dict)

    def block(self, name: str) -> int:
        """Side of the blocks at a site."""
        return self.blocks.get(name, 1)
