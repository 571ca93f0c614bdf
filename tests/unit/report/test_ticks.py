"""Ticks are round and evenly spaced, and their labels differ."""

from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from actpress.report.ticks import decade_ticks, even_ticks, percent_ticks


@pytest.mark.parametrize("top", [0.37, 3.0, 7.5, 96.0, 1234.0])
def test_steps_are_round(top: float) -> None:
    axes = Figure().add_axes((0, 0, 1, 1))
    axes.set_xlim(0, top)
    even_ticks(axes.xaxis, 6)
    places = axes.xaxis.get_majorticklocs()
    steps = {f"{after - before:.6e}" for before, after in pairwise(places)}
    assert len(steps) == 1
    assert steps.pop()[0] in "125"
    assert 3 <= len(places) <= 9


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.90, 0.92, ["90.0 %", "90.5 %", "91.0 %", "91.5 %", "92.0 %"]),
        (0.9, 0.905, ["90.0 %", "90.1 %", "90.2 %", "90.3 %", "90.4 %", "90.5 %"]),
        (0.0, 1.0, ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        (0.921, 0.9215, ["92.10 %", "92.11 %", "92.12 %", "92.13 %", "92.14 %", "92.15 %"]),
    ],
)
def test_shares_have_the_digits_that_tell_them_apart(
    low: float, high: float, labels: list[str]
) -> None:
    axes = Figure().add_axes((0, 0, 1, 1))
    axes.set_ylim(low, high)
    percent_ticks(axes.yaxis, 6)
    formatter = axes.yaxis.get_major_formatter()
    inside = [
        place for place in axes.yaxis.get_majorticklocs() if low - 1e-9 <= place <= high + 1e-9
    ]
    assert [formatter(place) for place in inside] == labels


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (3e-4, 2e-2, ["5e-4", "1e-3", "2e-3", "5e-3", "1e-2", "2e-2"]),
        (8e-5, 0.4, ["1e-4", "1e-3", "1e-2", "1e-1"]),
        (0.6, 6.0, ["1", "2", "5"]),
        (9.0, 2100.0, ["1e1", "1e2", "1e3"]),
    ],
)
def test_logarithmic_axes_have_several_plain_labels(
    low: float, high: float, labels: list[str]
) -> None:
    axes = Figure().add_axes((0, 0, 1, 1))
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    decade_ticks(axes.yaxis)
    inside = [
        place
        for place in axes.yaxis.get_majorticklocs()
        if low <= place * (1 + 1e-9) and place <= high * (1 + 1e-9)
    ]
    formatter = axes.yaxis.get_major_formatter()
    assert [formatter(place) for place in inside] == labels
