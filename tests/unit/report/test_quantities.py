"""Numbers as a reader sees them."""

import pytest

from actpress.report import quantities


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (59.96, "1 min 00 s"), (185.0, "3 min 05 s"), (7620.0, "2 h 07 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert quantities.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (43_210, "43,210"), (1_234_567, "1.23 M"), (2.5e9, "2.50 G")]
)
def test_count(number: float, text: str) -> None:
    assert quantities.count(number) == text


@pytest.mark.parametrize(
    ("picojoule", "text"),
    [(0.0, "0.00 pJ"), (950.0, "950.00 pJ"), (36.44e6, "36.44 \N{MICRO SIGN}J"), (2e12, "2.00 J")],
)
def test_energy(picojoule: float, text: str) -> None:
    assert quantities.energy(picojoule) == text


@pytest.mark.parametrize(
    ("drop_pp", "text"),
    [(0.5, "-0.50 points"), (-0.16, "+0.16 points"), (0.001, "0.00 points")],
)
def test_points(drop_pp: float, text: str) -> None:
    assert quantities.points(drop_pp) == text


def test_memory_changes_to_mib() -> None:
    assert quantities.memory(1023 * 1024) == "1023.0 KiB"
    assert quantities.memory(1536 * 1024) == "1.50 MiB"


def test_kib_counts_bits() -> None:
    assert quantities.kib(8192 * 12.5) == "12.5"
