"""What the user asks for: bits per value, a traffic ratio, or an accuracy floor."""

import re
from dataclasses import dataclass
from enum import StrEnum

from actpress.errors import BudgetError

REFERENCE_BITS = 8
"""Of a stored activation where nothing is compressed."""


class View(StrEnum):
    """How stored bits are counted.

    `fixed`: every kept symbol takes its component's bit-width, what plain packing stores.
    `entropy`: ideal code length under static tables fixed before the data was seen.
    """

    FIXED = "fixed"
    ENTROPY = "entropy"

    @property
    def other(self) -> "View":
        """The view that this one is not."""
        return View.ENTROPY if self is View.FIXED else View.FIXED


class BudgetKind(StrEnum):
    """The quantity that a budget bounds."""

    BITS_PER_VALUE = "bits"
    TRAFFIC_RATIO = "x"
    ACCURACY_DROP = "pp"


@dataclass(frozen=True)
class Budget:
    """One bound.

    Attributes:
        kind: what is bounded.
        amount: at most so many bits per value, at least such a ratio of traffic against 8 bit,
            or at most such a drop of accuracy in percentage points on held-out training images.
        view: how the bits are counted.
    """

    kind: BudgetKind
    amount: float
    view: View = View.ENTROPY

    @classmethod
    def parse(cls, text: str, *, view: View = View.ENTROPY) -> "Budget":
        """Read `1.34bits`, `6x` or `0.5pp`, also as `str` writes it: `1.34bits (fixed)`.

        >>> Budget.parse("1.34bits").amount
        1.34

        Args:
            text: the budget.
            view: where the text names none.

        Raises:
            BudgetError: none of the three forms, or an amount that makes no sense.
        """
        views = "|".join(View)
        match = re.fullmatch(rf"\s*(\d+(?:\.\d+)?)\s*(bits|x|pp)\s*(?:\(({views})\))?\s*", text)
        if match is None:
            raise BudgetError(
                f"cannot read the budget {text!r}; write 1.34bits (bits per value), 6x (traffic "
                f"against 8 bit) or 0.5pp (accuracy drop in percentage points)"
            )
        amount, kind = float(match[1]), BudgetKind(match[2])
        if amount == 0 and kind is not BudgetKind.ACCURACY_DROP:
            raise BudgetError(f"the budget {text!r} must be greater than zero")
        if kind is BudgetKind.BITS_PER_VALUE and amount > REFERENCE_BITS:
            raise BudgetError(
                f"the budget {text!r} is more than the {REFERENCE_BITS} bits that a value takes "
                f"without actpress; ask for fewer"
            )
        if kind is BudgetKind.TRAFFIC_RATIO and amount < 1:
            raise BudgetError(
                f"the budget {text!r} asks for more traffic than at {REFERENCE_BITS} bit; ask for "
                f"1x or a larger factor"
            )
        return cls(kind, amount, View(match[3]) if match[3] else view)

    def __str__(self) -> str:
        return f"{self.amount:g}{self.kind} ({self.view})"
