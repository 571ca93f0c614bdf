import pytest

from benchmarks.scale import AXES, Point, exponent, misses, stages


def rows(power: float) -> list[dict[str, object]]:
    """Seconds that grow with a power of the channels."""
    return [
        {"axis": "channels", "value": value, "seconds": {"fit": 1e-6 * value**power}}
        for value in AXES["channels"]
    ]


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_the_exponent_is_that_of_a_power(power: float) -> None:
    assert exponent(rows(power), "channels", "fit") == pytest.approx(power)


def test_a_stage_that_grows_too_fast_is_named() -> None:
    kept = {"channels": 2.9, "pixels": 1.1, "images": 0.9}
    assert not list(misses({"fit": kept}))
    found = list(misses({"fit": kept | {"images": 1.4}, "count": kept}))
    assert found == ["fit against images: 1.40, at most 1"]


def test_every_stage_is_timed() -> None:
    found = stages(Point(sites=2, channels=4, pixels=16, images=8))
    assert {"observe", "explore", "measure losses", "press, fit tables", "evaluate"} <= set(found)
    assert min(found.values()) >= 0
