"""The account of a network: each quantity before, and after under both views of a bit."""

from dataclasses import dataclass

from actpress.evaluation.metrics import (
    EnergyMetrics,
    MeasuredMetrics,
    Metrics,
    TrafficMetrics,
    Views,
)
from actpress.report.quantities import count, energy, kib, percent, ratio

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
    """All that is moved, part by part, then ratios, bits per value and energy."""
    bits = metrics.bits_per_value
    return (
        *_traffic_rows(metrics.traffic),
        AccountRow("bits/value, activations", "8.00", f"{bits.fixed:.2f}", f"{bits.entropy:.2f}"),
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
    images = "one image" if measured.batch == 1 else f"{measured.batch} images"
    return (
        f"{measured.bits_per_value:.2f} bits/value in real bytes, headers included: "
        f"{100 * measured.excess_over_entropy:+.1f} % against the entropy view, "
        f"{images} a frame"
    )


def _traffic_rows(traffic: TrafficMetrics) -> tuple[AccountRow, ...]:
    moved, batch = traffic.bits, traffic.batch
    shared = Views(fixed=0.0, entropy=traffic.table_bits / batch)
    indices = Views(fixed=0.0, entropy=traffic.index_bits / batch)
    parameters = _less(_scaled(traffic.fetched_bits, 1 / batch), indices)
    total = _plus(_plus(_plus(moved, parameters), indices), shared)
    where = f"at batch {batch}"
    return (
        _kib_row("activations, KiB", moved, kib(traffic.bits_8bit)),
        _kib_row("+ codec parameters", parameters),
        _kib_row("+ class indices", indices),
        _kib_row("+ code tables", shared),
        _kib_row("= moved, KiB", total, kib(traffic.bits_8bit)),
        _ratio_row(f"net {where}", traffic.net_ratio_8bit),
        _ratio_row(f"net {where}, nothing folded", traffic.net_ratio_8bit_unfolded),
        _ratio_row("activations to 8 bit", traffic.ratio_8bit),
        _ratio_row("activations to 16 bit", traffic.ratio_16bit),
        _ratio_row("activations to 32 bit", traffic.ratio_32bit),
    )


def extra_macs_fact(metrics: Metrics) -> str:
    """The arithmetic of codecs beside the network's own, in one sentence."""
    folded = sum(site.folded_extra_macs for site in metrics.sites)
    unfolded = sum(site.extra_macs for site in metrics.sites)
    text = f"{count(folded)} folded, {count(unfolded)} unfolded"
    if not metrics.network_macs:
        return text
    share = percent(folded / metrics.network_macs, 1)
    return f"{text}; the network's own are {count(metrics.network_macs)}, folded {share} on top"


def latency_fact(metrics: Metrics) -> str:
    """What one image takes in PyTorch, in one sentence; empty where it was not measured."""
    latency = metrics.latency
    if latency is None:
        return ""
    return (
        f"{latency.before_ms:.2f} ms -> {latency.after_ms:.2f} ms for one image in PyTorch on "
        f"{latency.device}, one thread, which stores floats either way and computes the codecs on "
        f"top"
    )


def credit_fact(metrics: Metrics) -> str:
    """What folding does to the layers beside codecs, in one sentence; empty without folds."""
    bits, macs = (
        [getattr(site, name) for site in metrics.sites] for name in ("credit_bits", "credit_macs")
    )
    if not any(bits) and not any(macs):
        return ""
    return (
        f"layers that take in matrices shrink by {kib(_gains(bits))} KiB of weights and grow by "
        f"{kib(_losses(bits))} KiB; they save {count(_gains(macs))} multiply-accumulates and take "
        f"{count(_losses(macs))} more; this pays for the codec of the same site, and nothing "
        f"beyond that is counted"
    )


def _gains(changes: list[float]) -> float:
    return sum(max(change, 0.0) for change in changes)


def _losses(changes: list[float]) -> float:
    return sum(max(-change, 0.0) for change in changes)


def _kib_row(label: str, bits: Views, before: str = "") -> AccountRow:
    return AccountRow(label, before, kib(bits.fixed), kib(bits.entropy))


def _plus(first: Views, second: Views) -> Views:
    return Views(fixed=first.fixed + second.fixed, entropy=first.entropy + second.entropy)


def _less(first: Views, second: Views) -> Views:
    return _plus(first, _scaled(second, -1.0))


def _scaled(views: Views, factor: float) -> Views:
    return Views(fixed=views.fixed * factor, entropy=views.entropy * factor)


def _ratio_row(label: str, factors: Views) -> AccountRow:
    return AccountRow(label, "", ratio(factors.fixed), ratio(factors.entropy))


def _energy_row(spent: EnergyMetrics) -> AccountRow:
    after = spent.after_pj
    return AccountRow("energy", energy(spent.before_pj), energy(after.fixed), energy(after.entropy))
