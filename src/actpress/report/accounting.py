"""The account of a network: each quantity before, and after under both views of a bit."""

from dataclasses import dataclass

from actpress.evaluation.metrics import (
    EnergyMetrics,
    MeasuredMetrics,
    Metrics,
    TrafficMetrics,
    Views,
)
from actpress.report.quantities import energy, kib, ratio

FIXED_VIEW = "Every kept symbol takes the whole bits of its range, as plain packing stores it."
ENTROPY_VIEW = (
    "The ideal length of an entropy coder with static tables from calibration, which a symbol's "
    "neighbours choose where that pays."
)


@dataclass(frozen=True)
class AccountRow:
    """One line of the account, ready to print; `before` is empty for a ratio."""

    label: str
    before: str
    fixed: str
    entropy: str


def account_rows(metrics: Metrics) -> tuple[AccountRow, ...]:
    """Bits per value, traffic, ratios, net ratios and energy, in the order of printing."""
    bits = metrics.bits_per_value
    return (
        AccountRow("bits/value", "8.00", f"{bits.fixed:.2f}", f"{bits.entropy:.2f}"),
        *_traffic_rows(metrics.traffic),
        _energy_row(metrics.energy),
    )


def energy_assumptions(spent: EnergyMetrics) -> str:
    """What the energy figures rest on, in one sentence."""
    return (
        f"{spent.memory} at {spent.pj_per_bit:g} pJ/bit and {spent.mac_pj:g} pJ per extra MAC; "
        "codec parameters included, folded where possible"
    )


def context_fact(metrics: Metrics) -> str:
    """What the neighbours of a symbol are worth, in one sentence; empty where it is nothing."""
    if metrics.context_free_bits_per_value <= metrics.bits_per_value.entropy:
        return ""
    return (
        f"{metrics.bits_per_value.entropy:.2f} bits/value where a symbol's neighbours choose its "
        f"code table; without them it takes at least {metrics.context_free_bits_per_value:.2f}"
    )


def measured_fact(measured: MeasuredMetrics) -> str:
    """What real bytes took, in one sentence."""
    return (
        f"{measured.bits_per_value:.2f} bits/value in real bytes, headers included: "
        f"{100 * measured.excess_over_entropy:+.1f} % against the entropy view, "
        f"{measured.batch} images a frame"
    )


def _traffic_rows(traffic: TrafficMetrics) -> tuple[AccountRow, ...]:
    moved = traffic.bits
    return (
        AccountRow("traffic, KiB", kib(traffic.bits_8bit), kib(moved.fixed), kib(moved.entropy)),
        _ratio_row("ratio to 8 bit", traffic.ratio_8bit),
        _ratio_row("ratio to 16 bit", traffic.ratio_16bit),
        _ratio_row("ratio to 32 bit", traffic.ratio_32bit),
        _ratio_row("net at batch 1, folded", traffic.net_ratio_8bit),
        _ratio_row("net at batch 1, unfolded", traffic.net_ratio_8bit_unfolded),
    )


def _ratio_row(label: str, factors: Views) -> AccountRow:
    return AccountRow(label, "", ratio(factors.fixed), ratio(factors.entropy))


def _energy_row(spent: EnergyMetrics) -> AccountRow:
    after = spent.after_pj
    return AccountRow("energy", energy(spent.before_pj), energy(after.fixed), energy(after.entropy))
