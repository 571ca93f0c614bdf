"""Metrics to render: one like a real ResNet18, and one that tries to break the report."""

import random
from collections.abc import Callable

import pytest

from actpress.evaluation.metrics import (
    EnergyMetrics,
    Metrics,
    PathPoint,
    SiteMetrics,
    TrafficMetrics,
    Views,
)

NAMES = (
    "relu",
    *(f"layer{s}.{b}.{p}" for s in (1, 2, 3, 4) for b in (0, 1) for p in ("relu", "bn2")),
)
NAMES = (*NAMES, *(f"layer{stage}.0.downsample.1" for stage in (2, 3, 4)), "layer4.1.relu_1")


def views(fixed: float, entropy: float) -> Views:
    return Views(fixed=fixed, entropy=entropy)


def site(name: str, channels: int, side: int, noise: random.Random) -> SiteMetrics:
    values, reads = channels * side * side, noise.choice((1, 1, 2))
    rank = noise.randint(channels // 4, channels)
    bits = views(values * rank / channels * 5, values * rank / channels * noise.uniform(1.6, 3.4))
    decay = noise.uniform(0.85, 0.97)
    return SiteMetrics(
        name=name,
        shape=(channels, side, side),
        reads=reads,
        placement="post_act",
        transform="learned",
        channels=channels,
        rank=rank,
        step=0.1,
        values=values,
        widths=((5, rank), (0, channels - rank)),
        bits=bits,
        context_free_bits=bits.entropy,
        bits_per_value=views(bits.fixed / values, bits.entropy / values),
        traffic_share=0.0,
        traffic_bits_8bit=(1 + reads) * values * 8,
        traffic_bits=views((1 + reads) * bits.fixed, (1 + reads) * bits.entropy),
        parameter_bits=2 * rank * channels * 16,
        folded_parameter_bits=rank * channels * 2,
        credit_bits=0.0,
        index_bits=0.0,
        extra_macs=2 * rank * values,
        folded_extra_macs=rank * values,
        encoder_folds_into=None,
        decoder_folds_into=(),
        distortion_mse=0.01,
        eigenvalues=tuple(noise.uniform(0.5, 1.5) * decay**i for i in range(channels)),
    )


def resnet_sites() -> tuple[SiteMetrics, ...]:
    noise = random.Random(7)
    sites = []
    for index, name in enumerate(NAMES):
        stage = index * 4 // len(NAMES)
        sites.append(site(name, 32 * 2**stage, 28 // 2**stage, noise))
    total = sum(entry.traffic_bits_8bit for entry in sites)
    return tuple(
        entry.model_copy(
            update={
                "traffic_share": entry.traffic_bits_8bit / total,
                "eigenvalues": tuple(sorted(entry.eigenvalues, reverse=True)),
            }
        )
        for entry in sites
    )


def traffic_of(sites: tuple[SiteMetrics, ...]) -> TrafficMetrics:
    before = sum(entry.traffic_bits_8bit for entry in sites)
    fixed = sum(entry.traffic_bits.fixed for entry in sites)
    entropy = sum(entry.traffic_bits.entropy for entry in sites)
    plain, folded = (
        sum(entry.parameter_bits for entry in sites),
        sum(entry.folded_parameter_bits for entry in sites),
    )
    return TrafficMetrics(
        bits_8bit=before,
        bits=views(fixed, entropy),
        ratio_8bit=views(before / fixed, before / entropy),
        ratio_16bit=views(2 * before / fixed, 2 * before / entropy),
        ratio_32bit=views(4 * before / fixed, 4 * before / entropy),
        batch=1,
        parameter_bits=plain,
        folded_parameter_bits=folded,
        credit_bits=0.0,
        fetched_bits=views(folded, folded),
        index_bits=0.0,
        table_bits=0.0,
        net_ratio_8bit=views(before / (fixed + folded), before / (entropy + folded)),
        net_ratio_8bit_batch1=views(before / (fixed + folded), before / (entropy + folded)),
        net_ratio_8bit_unfolded=views(before / (fixed + plain), before / (entropy + plain)),
    )


def search_path(sites: tuple[SiteMetrics, ...]) -> tuple[PathPoint, ...]:
    noise = random.Random(3)
    return tuple(
        PathPoint(
            site=noise.choice(sites).name,
            transform="fisher_pca",
            rank=8,
            step=0.1,
            bits_per_value=4.0 * 0.99**move,
            price=1e6 * 0.99**move,
            loss=0.2 + 0.1 * (move / 120) ** 4 + noise.uniform(0, 0.002),
        )
        for move in range(120)
    )


@pytest.fixture(scope="session")
def metrics() -> Metrics:
    """A ResNet18 of 21 sites after learned projections: 5 to 6 times smaller, half a point lost."""
    sites = resnet_sites()
    traffic = traffic_of(sites)
    values = sum(entry.values for entry in sites)
    bits = views(
        sum(entry.bits.fixed for entry in sites) / values,
        sum(entry.bits.entropy for entry in sites) / values,
    )
    return Metrics(
        model="ResNet18",
        data="Fashion-MNIST",
        method="cap",
        variant="learned",
        seed=0,
        images=10_000,
        float_accuracy=0.9244,
        accuracy=0.9196,
        accuracy_drop_pp=0.48,
        agreement=0.9731,
        bits_per_value=bits,
        context_free_bits_per_value=bits.entropy,
        stored_ratio_8bit=8 / bits.entropy,
        network_macs=138_709_504,
        net_moved_ratio_8bit_batch1=traffic.net_ratio_8bit.entropy,
        search_node_evals=48_211,
        search_seconds=71.4,
        tune_seconds=185.0,
        budget="1.5 bits/value, entropy",
        objective="net traffic at batch 1, entropy",
        scope="all 21 sites between the input and the logits, stored after the activation",
        traffic=traffic,
        energy=EnergyMetrics(
            memory="LPDDR4",
            pj_per_bit=8.0,
            mac_pj=0.3,
            before_pj=traffic.bits_8bit * 8,
            after_pj=views(traffic.bits.fixed * 8, traffic.bits.entropy * 8),
        ),
        sites=sites,
        search=search_path(sites),
        settings={"epochs": 3, "learning_rate": 0.001, "mixed_precision": False},
    )


@pytest.fixture(scope="session")
def hostile(metrics: Metrics) -> Metrics:
    """One site with markup for a name, more bits than before, no spectrum, no search."""
    name = "<script>alert('$x$ & [red]')</script>"
    only = metrics.sites[0].model_copy(
        update={
            "name": name,
            "traffic_share": 1.0,
            "bits_per_value": views(9.0, 8.5),
            "traffic_bits": views(
                metrics.sites[0].traffic_bits_8bit * 9 / 8,
                metrics.sites[0].traffic_bits_8bit * 8.5 / 8,
            ),
            "extra_macs": 0,
            "folded_extra_macs": 0,
            "eigenvalues": (),
        }
    )
    traffic = traffic_of((only,))
    return metrics.model_copy(
        update={
            "model": "<b>Net</b>",
            "accuracy": 0.80,
            "accuracy_drop_pp": 12.44,
            "bits_per_value": views(9.0, 8.5),
            "stored_ratio_8bit": 8 / 8.5,
            "traffic": traffic,
            "energy": metrics.energy.model_copy(
                update={"before_pj": 100.0, "after_pj": views(130.0, 120.0)}
            ),
            "sites": (only,),
            "search": (),
            "settings": {"note": "<img src=x onerror=alert(1)>"},
        }
    )


@pytest.fixture
def vary(metrics: Metrics) -> Callable[..., Metrics]:
    """The realistic metrics with some fields replaced."""

    def replace(**fields: object) -> Metrics:
        return metrics.model_copy(update=fields)

    return replace
