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


def test_a_plain_gain_needs_no_caveat(metrics: Metrics) -> None:
    assert caveats(metrics) == ()


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
