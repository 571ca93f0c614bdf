"""What the user asks for: bits per value, a ratio of traffic or energy, quality, peak RAM."""

import re
from dataclasses import dataclass
from enum import StrEnum

from actpress.errors import BudgetError

REFERENCE_BITS = 8
"""Of a stored activation where nothing is compressed."""

LARGEST_BATCH = 1 << 20


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


class Count(StrEnum):
    """What a budget counts.

    `net`: all that the device moves, the codecs' parameters, tables and indices included.
    `activations`: activations alone, the published meaning.
    """

    NET = "net"
    ACTIVATIONS = "activations"


class BudgetKind(StrEnum):
    """The quantity that a budget bounds."""

    BITS_PER_VALUE = "bits"
    TRAFFIC_RATIO = "x"
    ENERGY = "x-energy"
    ACCURACY_DROP = "pp"
    DECIBEL_DROP = "dB"
    RAM = "KiB-ram"


LOSSES = {BudgetKind.ACCURACY_DROP: "%", BudgetKind.DECIBEL_DROP: "dB"}
"""Kinds that bound a metric, by its unit."""

_FORM = re.compile(
    rf"\s*(\d+(?:\.\d+)?)\s*(bits|x-energy|x|pp|dB|KiB-ram)\s*"
    rf"(?:\((?P<view>{'|'.join(View)})(?:, (?:batch (?P<batch>\d+)|(?P<count>activations)))?\))?\s*"
)


@dataclass(frozen=True)
class Budget:
    """One bound.

    Attributes:
        kind: what is bounded.
        amount: at most so many bits per value, at least such a ratio against 8 bit, at most such a
            loss of accuracy, or of another metric in %, in percentage points on held-out training
            images, at most such a loss of a metric in dB likewise, or at most so many KiB of packed
            maps and line buffers at once, which C code takes beside its stack.
        view: how the bits are counted.
        count: whether the codecs' own parameters count. Net bits per value are those moved per
            value moved, so that `1bits` is `8x`; those of activations alone are stored per value.
        batch: images per fetch of the codecs' parameters.
    """

    kind: BudgetKind
    amount: float
    view: View = View.ENTROPY
    count: Count = Count.NET
    batch: int = 1

    def __post_init__(self) -> None:
        if self.is_ram:  # maps are packed plainly, and nothing else counts
            object.__setattr__(self, "view", View.FIXED)
            object.__setattr__(self, "count", Count.ACTIVATIONS)
        if not 1 <= self.batch <= LARGEST_BATCH:
            raise BudgetError(
                f"a batch of {self.batch} images makes no sense; give 1 to {LARGEST_BATCH:,}"
            )
        if self.count is Count.NET:
            return
        if self.kind is BudgetKind.ENERGY:
            raise BudgetError(
                f"the budget {self.amount:g}{self.kind} counts all that costs energy, which "
                f"activations alone do not tell; ask for a ratio ({self.amount:g}x), or count net"
            )
        if self.batch != 1:
            raise BudgetError(
                "a batch shares the codecs' parameters, which are not counted where activations "
                "alone are; leave one of the two out"
            )

    @classmethod
    def parse(
        cls, text: str, *, view: View = View.ENTROPY, count: Count = Count.NET, batch: int = 1
    ) -> "Budget":
        """Read `8x`, `6x-energy`, `1.34bits`, `0.5pp`, `0.3dB` or `24KiB-ram`, as `str` writes too.

        >>> Budget.parse("8x").amount
        8.0
        >>> str(Budget.parse("1.34bits", batch=16))
        '1.34bits (entropy, batch 16)'

        Args:
            text: the budget.
            view: where the text names none.
            count: likewise.
            batch: likewise.

        Raises:
            BudgetError: none of the forms, or an amount that makes no sense.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise BudgetError(
                f"cannot read the budget {text!r}; write 8x (less traffic than at 8 bit), "
                f"6x-energy (less energy), 1.34bits (bits per value), 0.5pp (loss of accuracy, or "
                f"of another metric in %, in percentage points), 0.3dB (loss of PSNR) or 24KiB-ram "
                f"(peak RAM in C)"
            )
        amount, kind = float(match[1]), BudgetKind(match[2])
        _check_amount(text, amount, kind)
        if match["count"]:
            count, batch = Count.ACTIVATIONS, 1
        elif match["batch"]:
            count, batch = Count.NET, int(match["batch"])
        return cls(kind, amount, View(match["view"] or view), count, batch)

    @property
    def is_quality(self) -> bool:
        """Whether it bounds what the task measures, and all else is to be as small as it can be."""
        return self.kind in LOSSES

    @property
    def quality_unit(self) -> str:
        """Of the metric that it bounds: `%` or `dB`; empty where it bounds none."""
        return LOSSES.get(self.kind, "")

    @property
    def is_ram(self) -> bool:
        """Whether it bounds the peak RAM of exported C."""
        return self.kind is BudgetKind.RAM

    @property
    def ratio(self) -> float:
        """How many times less than at 8 bit; not for a budget of quality or RAM."""
        if self.kind is BudgetKind.BITS_PER_VALUE:
            return REFERENCE_BITS / self.amount
        return self.amount

    def with_ratio(self, ratio: float) -> "Budget":
        """A budget of the same unit, view and count that asks for another ratio.

        A budget of quality becomes a ratio of traffic.
        """
        if self.kind is BudgetKind.BITS_PER_VALUE:
            return Budget(self.kind, REFERENCE_BITS / ratio, self.view, self.count, self.batch)
        kind = BudgetKind.TRAFFIC_RATIO if self.is_quality else self.kind
        return Budget(kind, ratio, self.view, self.count, self.batch)

    def __str__(self) -> str:
        counted = f"batch {self.batch}" if self.count is Count.NET else str(self.count)
        return f"{self.amount:g}{self.kind} ({self.view}, {counted})"


def _check_amount(text: str, amount: float, kind: BudgetKind) -> None:
    if kind in LOSSES:
        return
    if amount == 0:
        raise BudgetError(f"the budget {text!r} must be greater than zero")
    if kind is BudgetKind.BITS_PER_VALUE and amount > REFERENCE_BITS:
        raise BudgetError(
            f"the budget {text!r} is more than the {REFERENCE_BITS} bits that a value takes "
            f"without actpress; ask for fewer"
        )
    if kind in (BudgetKind.TRAFFIC_RATIO, BudgetKind.ENERGY) and amount < 1:
        raise BudgetError(
            f"the budget {text!r} asks for more traffic than at {REFERENCE_BITS} bit; ask for 1x "
            f"or a larger factor"
        )
