"""`Objective`: what is to be made small. Searches, training and reports ask it and nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from actpress.budget import Budget, BudgetKind, Count, View
from actpress.cost.energy import EnergyModel
from actpress.cost.site_use import SiteUse, Stored


class Kind(StrEnum):
    """What an objective counts, per inference.

    `stored`: bits stored, the published bits per value.
    `traffic`: bits of activations moved, one write and one read per consumer.
    `net`: traffic, and all that the codecs make the device fetch, divided by the batch.
    `energy`: of the net traffic and of extra multiply-accumulates.
    """

    STORED = "stored"
    TRAFFIC = "traffic"
    NET = "net"
    ENERGY = "energy"

    @property
    def counts_codecs(self) -> bool:
        """Whether parameters, tables and indices have a price."""
        return self in (Kind.NET, Kind.ENERGY)


@dataclass(frozen=True)
class Objective:
    """Prices in bits per inference, or in picojoule where energy is counted.

    Attributes:
        kind: what is counted.
        view: how bits are counted; plain packing needs no code tables.
        batch: images per fetch of parameters, tables and indices.
        energy: of the memory and of arithmetic, for `energy`.
        weighs_arithmetic: whether searches for net traffic do, see `weight`.
    """

    kind: Kind = Kind.NET
    view: View = View.ENTROPY
    batch: int = 1
    energy: EnergyModel = field(default_factory=EnergyModel)
    weighs_arithmetic: bool = True

    @classmethod
    def of(cls, budget: Budget, energy: EnergyModel | None = None) -> "Objective":
        """The objective that a budget bounds, or that an accuracy budget makes small."""
        return cls(_kind(budget), budget.view, budget.batch, energy or EnergyModel())

    @property
    def bit_price(self) -> float:
        """Of a bit moved or stored."""
        return self.energy.pj_per_bit if self.kind is Kind.ENERGY else 1.0

    def price(self, use: SiteUse) -> float:
        """What a site costs."""
        if self.kind is Kind.STORED:
            return use.stored_bits
        if self.kind is Kind.TRAFFIC:
            return use.moved_bits
        net = self.bit_price * (use.moved_bits + use.fetched_bits / self.batch)
        return net + (self.energy.mac_pj * use.extra_macs if self.kind is Kind.ENERGY else 0.0)

    def weight(self, use: SiteUse) -> float:
        """What a search compares choices by: the price and, for net traffic, arithmetic.

        That is counted in bits that could be moved for its energy: one that costs more of it than
        its move is no gain for the device, although no budget of traffic counts it.
        """
        if self.kind is not Kind.NET or not self.weighs_arithmetic:
            return self.price(use)
        return self.price(use) + self.energy.mac_pj / self.energy.pj_per_bit * use.extra_macs

    def stored_bit_price(self, site: Stored) -> float:
        """What one more stored bit of a site costs: it is written, and read by every consumer."""
        one = SiteUse(site.values, site.reads, 1.0)
        return self.price(one)

    def table_price(self, table_bits: float) -> float:
        """What the network's shared code tables cost; nothing where packing needs none."""
        if not self.kind.counts_codecs or self.view is View.FIXED:
            return 0.0
        return self.bit_price * table_bits / self.batch

    def total(self, uses: Iterable[SiteUse], table_bits: float) -> float:
        """What a network costs."""
        return sum(self.price(use) for use in uses) + self.table_price(table_bits)

    def reference(self, sites: Iterable[Stored]) -> float:
        """What the sites cost without codecs, at 8 bits a value."""
        return sum(self.price(SiteUse.uncompressed(site)) for site in sites)

    def target(self, sites: Iterable[Stored], budget: Budget) -> float:
        """The price that a budget allows; zero for one of accuracy or RAM, which allows any."""
        if budget.is_quality or budget.is_ram:
            return 0.0
        return self.reference(sites) / budget.ratio

    def __str__(self) -> str:
        shared = f", batch {self.batch}" if self.kind.counts_codecs else ""
        return f"{self.kind} ({self.view}{shared})"


def _kind(budget: Budget) -> Kind:
    if budget.kind is BudgetKind.ENERGY:
        return Kind.ENERGY
    if budget.count is Count.NET:
        return Kind.NET
    stored = budget.kind in (BudgetKind.BITS_PER_VALUE, BudgetKind.RAM)
    return Kind.STORED if stored else Kind.TRAFFIC
