"""What stands beside a figure, so that it is not read for another one."""

from collections.abc import Callable

import pytest

from actpress.evaluation import LatencyMetrics
from actpress.evaluation.metrics import MeasuredMetrics, Metrics
from actpress.report.accounting import credit_fact, extra_macs_fact, latency_fact, measured_fact


def test_extra_operations_stand_beside_those_of_the_network(vary: Callable[..., Metrics]) -> None:
    site = (
        vary().sites[0].model_copy(update={"extra_macs": 4_000_000, "folded_extra_macs": 3_000_000})
    )
    told = extra_macs_fact(vary(sites=(site,), network_macs=120_000_000))
    assert told == (
        "3.00 M folded, 4.00 M unfolded; the network's own are 120.00 M, folded 2.5 % on top"
    )
    unknown = extra_macs_fact(vary(sites=(site,), network_macs=None))
    assert unknown == "3.00 M folded, 4.00 M unfolded"


def test_what_neighbours_save_and_what_they_take_more_are_told_apart(
    vary: Callable[..., Metrics],
) -> None:
    site = vary().sites[0]
    shrunk = site.model_copy(update={"credit_bits": 81_920.0, "credit_macs": 2_500_000.0})
    grown = site.model_copy(update={"credit_bits": -8_192.0, "credit_macs": -40_000.0})
    assert credit_fact(vary(sites=(shrunk, grown))) == (
        "layers that take in matrices shrink by 10.0 KiB of weights and grow by 1.0 KiB; they save "
        "2.50 M multiply-accumulates and take 40,000 more; this pays for the codec of the same "
        "site, and nothing beyond that is counted"
    )
    plain = site.model_copy(update={"credit_bits": 0.0, "credit_macs": 0.0})
    assert credit_fact(vary(sites=(plain,))) == ""


def test_latency_is_told_where_it_was_measured(vary: Callable[..., Metrics]) -> None:
    told = latency_fact(vary(latency=LatencyMetrics(device="cpu", before_ms=4.0, after_ms=9.5)))
    assert told.startswith("4.00 ms -> 9.50 ms for one image in PyTorch on cpu, one thread")
    assert not latency_fact(vary(latency=None))


@pytest.mark.parametrize(("batch", "images"), [(1, "one image"), (100, "100 images")])
def test_real_bytes_are_told_with_the_images_of_a_frame(batch: int, images: str) -> None:
    measured = MeasuredMetrics(
        batch=batch, stream_bytes=900, bits_per_value=1.67, excess_over_entropy=0.015, site_bits={}
    )
    assert measured_fact(measured) == (
        "1.67 bits/value in real bytes, headers included: +1.5 % against the entropy view, "
        f"{images} a frame"
    )
