"""What moving bits and extra arithmetic cost, in picojoule."""

from dataclasses import dataclass

from actpress.errors import BudgetError
from actpress.settings import MEMORY_PJ_PER_BIT

INT8_MAC_PJ = 0.3


@dataclass(frozen=True)
class EnergyModel:
    """Energy per bit moved and per extra multiply-accumulate.

    Attributes:
        memory: a name for the report; `of_memory` takes one of `MEMORY_PJ_PER_BIT`.
        pj_per_bit: of a read or a write.
        mac_pj: of one multiply-accumulate of an encoder or decoder.
    """

    memory: str = "lpddr4"
    pj_per_bit: float = MEMORY_PJ_PER_BIT["lpddr4"]
    mac_pj: float = INT8_MAC_PJ

    @classmethod
    def of_memory(cls, memory: str, *, mac_pj: float = INT8_MAC_PJ) -> "EnergyModel":
        """The model of a memory by name.

        Raises:
            BudgetError: a name that is not in `MEMORY_PJ_PER_BIT`.
        """
        if memory not in MEMORY_PJ_PER_BIT:
            raise BudgetError(
                f"there is no memory {memory!r}; expected {', '.join(MEMORY_PJ_PER_BIT)}, or give "
                f"EnergyModel its pj_per_bit"
            )
        return cls(memory, MEMORY_PJ_PER_BIT[memory], mac_pj)
