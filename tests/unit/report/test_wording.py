"""The headline tells gains, losses and growth as they are."""

from collections.abc import Callable

import pytest

from actpress.evaluation import Comparison
from actpress.evaluation.metrics import Metrics, Views
from actpress.report.wording import caveats, drop, headline

Vary = Callable[..., Metrics]


def with_ratio(metrics: Metrics, fixed: float, entropy: float) -> Metrics:
    ratios = Views(fixed=fixed, entropy=entropy)
    traffic = metrics.traffic.model_copy(update={"ratio_8bit": ratios})
    return metrics.model_copy(update={"traffic": traffic})


def test_a_gain_at_a_small_loss(metrics: Metrics) -> None:
    assert headline(with_ratio(metrics, 2.75, 5.97)) == (
        "ResNet18 on Fashion-MNIST now moves 2.75x fewer activation bits than at 8 bit when packed "
        "at fixed width (5.97x fewer with ideal entropy coding), at 91.96 % accuracy instead of "
        "92.44 % (-0.48 points)."
    )


def test_the_view_of_the_budget_comes_first(metrics: Metrics) -> None:
    entropy = metrics.model_copy(update={"budget": "5.97x (entropy)"})
    assert (
        "now moves 5.97x fewer activation bits than at 8 bit with ideal entropy coding (2.75x "
        "fewer when packed at fixed width), at"
    ) in headline(with_ratio(entropy, 2.75, 5.97))


@pytest.mark.parametrize(
    ("fixed", "entropy", "said"),
    [
        (1.0, 1.6, "as many activation bits as at 8 bit when packed at fixed width (1.60x fewer"),
        (0.8, 1.25, "1.25x more activation bits than at 8 bit when packed at fixed width (1.25x"),
        (0.5, 0.8, "2.00x more activation bits than at 8 bit when packed at fixed width (1.25x m"),
    ],
)
def test_no_gain_is_not_called_one(
    metrics: Metrics, fixed: float, entropy: float, said: str
) -> None:
    assert said in headline(with_ratio(metrics, fixed, entropy))


@pytest.mark.parametrize(
    ("accuracy", "drop_pp", "said"),
    [
        (0.9244, 0.0, "with accuracy unchanged at 92.44 %."),
        (0.9260, -0.16, "at 92.60 % accuracy instead of 92.44 % (+0.16 points)."),
        (0.8, 12.44, "but loses 12.44 points of accuracy: 80.00 % instead of 92.44 %."),
    ],
)
def test_accuracy_is_told_as_it_is(vary: Vary, accuracy: float, drop_pp: float, said: str) -> None:
    assert headline(vary(accuracy=accuracy, accuracy_drop_pp=drop_pp)).endswith(said)


def test_loss_without_gain_is_no_trade(hostile: Metrics) -> None:
    assert "and loses 12.44 points" in headline(hostile)


def test_nothing_compressed(vary: Vary) -> None:
    sentence = headline(vary(sites=(), accuracy=0.9244, accuracy_drop_pp=0.0))
    assert sentence.startswith("No activation of ResNet18 on Fashion-MNIST was compressed")


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ("{:g}bits (entropy)", "exceed the budget"),
        ("{:g}bits (fixed)", None),
        ("0.5pp (entropy)", None),
        ("", None),
    ],
)
def test_bits_above_the_budget_are_told(metrics: Metrics, budget: str, told: str | None) -> None:
    asked = metrics.bits_per_value.entropy / 1.056
    own = metrics.model_copy(update={"budget": budget.format(asked if told else 8.0)})
    found = caveats(own)
    assert bool(found) is (told is not None)
    if told:
        assert told in found[0]
        assert "by 5.6 % on these images" in found[0]


def test_traffic_below_the_ratio_that_was_asked_for_is_told(metrics: Metrics) -> None:
    reached = metrics.traffic.ratio_8bit.entropy
    (caveat,) = caveats(metrics.model_copy(update={"budget": f"{1.03 * reached:.4f}x (entropy)"}))
    assert "by 3.0 %" in caveat
    assert caveats(metrics.model_copy(update={"budget": f"{1.01 * reached:.4f}x (entropy)"})) == ()


def test_a_plain_gain_needs_no_caveat(metrics: Metrics) -> None:
    assert caveats(metrics) == ()


@pytest.mark.parametrize(("view", "batch"), [("fixed", 3), ("entropy", 4)])
def test_parameters_that_eat_the_gain_are_named(metrics: Metrics, view: str, batch: int) -> None:
    """Parameters of 210 bits and tables of 150, where the codecs save 100 of 200 bits per image."""
    traffic = metrics.traffic.model_copy(
        update={
            "bits_8bit": 200.0,
            "bits": Views(fixed=100.0, entropy=100.0),
            "folded_parameter_bits": 210.0,
            "table_bits": 150.0,
            "net_ratio_8bit": Views(fixed=200 / 310, entropy=200 / 460),
        }
    )
    changes = {"traffic": traffic, "budget": f"8bits ({view})"}
    (caveat,) = caveats(metrics.model_copy(update=changes))
    assert f"(net {200 / (310 if view == 'fixed' else 460):.2f}x)" in caveat
    assert f"they pay off from {batch} images on" in caveat
    assert "blocks" not in caveat
    first = metrics.sites[0].model_copy(update={"block": 2})
    (caveat,) = caveats(metrics.model_copy(update=changes | {"sites": (first,)}))
    assert "smaller blocks have fewer" in caveat
    gain = traffic.model_copy(update={"net_ratio_8bit": Views(fixed=1.1, entropy=1.1)})
    assert caveats(metrics.model_copy(update=changes | {"traffic": gain})) == ()


def test_energy_that_grows_is_named(metrics: Metrics) -> None:
    costly = metrics.energy.model_copy(update={"before_pj": 1.0})
    (caveat,) = caveats(metrics.model_copy(update={"energy": costly}))
    assert "more energy" in caveat


def test_growing_traffic_needs_no_second_reason(hostile: Metrics) -> None:
    assert caveats(hostile) == ()


def test_a_drop_has_its_interval_and_that_of_the_images_that_decided(metrics: Metrics) -> None:
    held_out = Comparison(images=400, before=0.91, after=0.9075, drop_error_pp=0.9)
    told = metrics.model_copy(
        update={"accuracy_drop_pp": 0.95, "accuracy_drop_error_pp": 1.6, "held_out": held_out}
    )
    assert drop(told) == "-0.95 ± 1.60 points; on 400 held-out images -0.25 ± 0.90 points"
    assert drop(metrics.model_copy(update={"accuracy_drop_pp": 0.95})) == "-0.95 points"
    wanted = told.model_copy(update={"budget": "0.5pp (entropy)"})
    assert any(
        "400 held-out images are too few to tell a drop of 0.5" in c for c in caveats(wanted)
    )
    wide = told.model_copy(update={"budget": "1pp (entropy)"})
    assert not any("too few" in caveat for caveat in caveats(wide))


def test_a_float_network_that_guesses_is_called_so(metrics: Metrics) -> None:
    guessing = metrics.model_copy(
        update={"float_accuracy": 0.2882, "guessing_accuracy": 0.2882, "images": 2000}
    )
    assert (
        "The float network is right on 28.82 % of the test images, no more than by guessing "
        "(28.82 %): check its weights, the order of classes and how images are prepared."
    ) in caveats(guessing)
    knowing = guessing.model_copy(update={"float_accuracy": 0.35})
    assert not any("guessing" in caveat for caveat in caveats(knowing))
