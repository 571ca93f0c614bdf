"""The headline tells gains, losses and growth as they are."""

import re
from collections.abc import Callable

import pytest

from actpress.budget import Budget
from actpress.evaluation import Comparison
from actpress.evaluation.metrics import Metrics, Views
from actpress.report.quality import drop
from actpress.report.wording import caveats, headline

Vary = Callable[..., Metrics]


def with_ratios(metrics: Metrics, net: Views, alone: Views) -> Metrics:
    """Metrics with these ratios of net traffic, and of that of activations alone."""
    changes = {"net_ratio_8bit": net, "ratio_8bit": alone}
    return metrics.model_copy(update={"traffic": metrics.traffic.model_copy(update=changes)})


SMALLER = (Views(fixed=2.5, entropy=4.97), Views(fixed=2.75, entropy=5.97))


def test_a_gain_at_a_small_loss(metrics: Metrics) -> None:
    assert headline(with_ratios(metrics, *SMALLER)) == (
        "ResNet18 on Fashion-MNIST now moves 2.50x less than at 8 bit, codecs included, when "
        "packed at fixed width (activations alone 2.75x fewer bits), at 91.96 % accuracy instead "
        "of 92.44 % (-0.48 points)."
    )


def test_the_view_and_the_batch_of_the_budget_are_told(metrics: Metrics) -> None:
    changed = with_ratios(metrics, *SMALLER)
    traffic = changed.traffic.model_copy(update={"batch": 16})
    budget = str(Budget.parse("5x", batch=16))
    assert (
        "now moves 4.97x less than at 8 bit at batch 16, codecs included, with ideal entropy "
        "coding (activations alone 5.97x fewer bits), at"
    ) in headline(changed.model_copy(update={"traffic": traffic, "budget": budget}))


@pytest.mark.parametrize(
    ("net", "alone", "said"),
    [
        (1.0, 1.6, "as much as at 8 bit, codecs included, when .* alone 1.60x fewer bits"),
        (0.8, 1.0, "1.25x more than at 8 bit, codecs included, when .* alone as much"),
        (0.5, 0.8, "2.00x more than at 8 bit, codecs included, when .* alone 1.25x more"),
    ],
)
def test_no_gain_is_not_called_one_and_has_a_way_out(
    metrics: Metrics, net: float, alone: float, said: str
) -> None:
    views = (Views(fixed=each, entropy=9.0) for each in (net, alone))
    told = headline(with_ratios(metrics, *views))
    assert re.search(rf"now moves {said}\)", told)
    assert told.endswith(
        " That is no gain; `actpress compress --method gdr --budget 4x`, which weighs what codecs "
        "cost, would be one."
    )


def test_a_gain_needs_no_way_out(metrics: Metrics) -> None:
    assert "That is no gain" not in headline(metrics)


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


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ("{:g}bits (entropy, activations)", True),
        ("{:g}bits (fixed, activations)", False),
        ("0.5pp (entropy, batch 1)", False),
        ("", False),
    ],
)
def test_bits_above_the_budget_are_told(
    metrics: Metrics,
    budget: str,
    told: bool,  # noqa: FBT001
) -> None:
    asked = metrics.bits_per_value.entropy / 1.056 if told else 8.0
    found = caveats(metrics.model_copy(update={"budget": budget.format(asked)}))
    assert bool(found) is told
    if told:
        assert "exceed the budget" in found[0]
        assert "by 5.6 % on these images" in found[0]


@pytest.mark.parametrize("form", ["{:.4f}x (entropy, batch 1)", "{:.5f}bits (entropy, batch 1)"])
def test_net_traffic_above_what_was_asked_for_is_told(metrics: Metrics, form: str) -> None:
    reached = metrics.traffic.net_ratio_8bit.entropy

    def told(factor: float) -> tuple[str, ...]:
        ratio = factor * reached
        budget = form.format(8 / ratio if "bits" in form else ratio)
        return caveats(metrics.model_copy(update={"budget": budget}))

    (caveat,) = told(1.03)
    assert "by 3.0 %" in caveat
    assert told(1.01) == ()


def test_a_ratio_of_activations_is_held_against_activations(metrics: Metrics) -> None:
    traffic = metrics.traffic
    assert traffic.net_ratio_8bit.entropy < 0.97 * traffic.ratio_8bit.entropy
    asked = f"{traffic.ratio_8bit.entropy:.4f}x"
    alone = metrics.model_copy(update={"budget": f"{asked} (entropy, activations)"})
    assert caveats(alone) == ()
    (caveat,) = caveats(metrics.model_copy(update={"budget": f"{asked} (entropy, batch 1)"}))
    assert "exceed the budget" in caveat


@pytest.mark.parametrize(("view", "batch"), [("fixed", 3), ("entropy", 4)])
def test_parameters_that_eat_the_gain_are_named(metrics: Metrics, view: str, batch: int) -> None:
    """Parameters of 210 bits and tables of 150, where the codecs save 100 of 200 bits per image."""
    traffic = metrics.traffic.model_copy(
        update={
            "bits_8bit": 200.0,
            "bits": Views(fixed=100.0, entropy=100.0),
            "ratio_8bit": Views(fixed=2.0, entropy=2.0),
            "fetched_bits": Views(fixed=210.0, entropy=210.0),
            "table_bits": 150.0,
            "net_ratio_8bit": Views(fixed=200 / 310, entropy=200 / 460),
        }
    )
    changes = {"traffic": traffic, "budget": f"1pp ({view}, batch 1)"}
    (caveat,) = caveats(metrics.model_copy(update=changes))
    assert "At batch 1 the codecs' own parameters and tables cost more traffic" in caveat
    assert "activations alone take 2.00x fewer bits" in caveat
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
        update={"accuracy": 0.9149, "accuracy_drop_error_pp": 1.6, "held_out": held_out}
    )
    assert drop(told) == "-0.95 ± 1.60 points; on 400 held-out images -0.25 ± 0.90 points"
    assert drop(metrics.model_copy(update={"accuracy": 0.9149})) == "-0.95 points"
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
