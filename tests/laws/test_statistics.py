"""Laws of what calibration keeps, of counting and of plans."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actpress.calibration import merge_all, observe
from actpress.kernels import (
    CONTEXTS,
    as_planes,
    bin_edges,
    count_in_contexts,
    count_in_contexts_reference,
    float_histogram,
)
from actpress.methods.principal_components import water_level
from actpress.plan import NumberBits, Placement, Plan, SitePlan, Transform
from tests.conftest import two_threads

FLOAT32 = 3e-7
"""Share of the deviations that products of columns may be off by; they are made in float32."""

SHAPES = st.sampled_from([(7, 5), (6, 3, 4), (5, 4, 3, 3), (4, 1, 2, 2), (3, 6, 1, 1)])


def noise(shape: tuple[int, ...], seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator) * scale + 2 * scale
    return x.relu() if seed % 2 else x


@settings(max_examples=40, deadline=None)
@given(
    shape=SHAPES,
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    exponent=st.integers(-6, 6),
)
def test_merged_observers_are_one_pass(
    shape: tuple[int, ...], seed: int, sizes: list[int], exponent: int
) -> None:
    parts = [noise((size, *shape[1:]), seed + i, 10.0**exponent) for i, size in enumerate(sizes)]
    whole = observe(torch.cat(parts))

    merged = merge_all(observe(part) for part in parts)

    assert merged.count == whole.count
    assert merged.zeros == whole.zeros
    assert merged.minimum.equal(whole.minimum)
    assert merged.maximum.equal(whole.maximum)
    assert merged.histogram.equal(whole.histogram)
    scale = float(whole.outer.diagonal().mean() / whole.count)
    close = {"rtol": 0, "atol": FLOAT32 * scale}
    torch.testing.assert_close(merged.mean, whole.mean, rtol=0, atol=FLOAT32 * scale**0.5)
    torch.testing.assert_close(merged.covariance, whole.covariance, **close)


@settings(max_examples=40, deadline=None)
@given(
    shape=SHAPES,
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1e-25, 1e-3, 1.0, 1e17]),
    far=st.sampled_from([0.0, -1000.0]),
)
def test_observers_keep_the_moments_of_the_columns(
    shape: tuple[int, ...],
    seed: int,
    scale: float,
    far: float,
) -> None:
    x = noise(shape, seed, scale) + far * scale
    columns = x.transpose(0, 1).flatten(1).double()

    seen = observe(x)

    expected = torch.cov(columns, correction=0).reshape(shape[1], shape[1])
    deviation = expected.diagonal().sqrt()
    within = FLOAT32 * deviation
    assert ((seen.mean - columns.mean(1)).abs() <= within).all()
    assert ((seen.covariance - expected).abs() <= torch.outer(within, deviation)).all()
    assert seen.covariance.equal(seen.covariance.T)
    assert seen.zero_share == float((x == 0).double().mean())
    assert int(seen.histogram.sum()) == x.numel()


@settings(max_examples=40, deadline=None)
@given(
    shape=SHAPES,
    seed=st.integers(0, 1000),
    levels=st.integers(1, 40),
    contexts=st.sampled_from([1, CONTEXTS]),
    channels_last=st.booleans(),
    scale=st.sampled_from([0.01, 1.0, 30.0, 1e5]),
)
def test_compiled_counting_is_the_definition(
    shape: tuple[int, ...],
    seed: int,
    levels: int,
    contexts: int,
    channels_last: bool,  # noqa: FBT001
    scale: float,
) -> None:
    q = (noise(shape, seed, scale) - 2 * scale).round()
    if channels_last and q.ndim == 4:
        q = q.contiguous(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    lowest = -int(torch.randint(0, levels, (), generator=generator))
    counts = torch.randint(0, 5, (shape[1], contexts, levels), generator=generator)
    expected, again = counts.clone(), counts.clone()

    count_in_contexts(q, lowest, counts)

    count_in_contexts_reference(as_planes(q), lowest, expected)
    assert counts.equal(expected)
    with two_threads():
        count_in_contexts(q, lowest, again)
    assert again.equal(expected)


def test_counting_nothing_counts_nothing() -> None:
    counts = torch.zeros(3, 1, 4, dtype=torch.int64)
    count_in_contexts(torch.zeros(0, 3, 2), 0, counts)
    assert not counts.any()


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_every_value_lies_in_its_histogram_bin(values: list[float]) -> None:
    x = torch.tensor(values)
    histogram = float_histogram(x)
    positive, negative = histogram.chunk(2)

    assert int(histogram.sum()) == len(values)
    edges = torch.cat([bin_edges(), torch.tensor([float("inf")], dtype=torch.float64)])
    for index in (positive + negative).nonzero()[:, 0]:
        inside = (x.double().abs() >= edges[index]) & (x.double().abs() < edges[index + 1])
        assert int(inside.sum()) == int(positive[index] + negative[index])


@settings(max_examples=50, deadline=None)
@given(
    variances=st.lists(st.floats(1e-12, 1e6), min_size=1, max_size=20),
    share=st.floats(1e-6, 1.0),
)
def test_water_fills_exactly_the_distortion(variances: list[float], share: float) -> None:
    spectrum = torch.tensor(sorted(variances, reverse=True), dtype=torch.float64)
    distortion = share * float(spectrum.sum())

    level = water_level(spectrum, distortion)

    assert float(spectrum.clamp(max=level).sum()) == pytest.approx(distortion, rel=1e-9)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    names = draw(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=4))
    sites = []
    for name in names:
        channels = draw(st.integers(1, 1 << 20))
        sites.append(
            SitePlan(
                site=name,
                placement=draw(st.sampled_from(Placement)),
                transform=draw(st.sampled_from(Transform)),
                channels=channels,
                rank=draw(st.integers(1, channels)),
                step=draw(st.floats(0, 1e30, exclude_min=True, exclude_max=True)),
                bit_width=draw(st.integers(1, 16)),
                number_bits=draw(st.sampled_from(NumberBits)),
            )
        )
    return Plan(method=draw(st.text(max_size=9)), fingerprint="f" * 64, sites=tuple(sites))


@settings(max_examples=50, deadline=None)
@given(plan=plans())
def test_a_plan_reads_back_equal(plan: Plan) -> None:
    text = plan.to_json()
    assert Plan.from_json(text) == plan
    assert Plan.from_json(text).to_json() == text
