"""Rules per site: read, applied in their order, and kept by the methods."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from actpress.api import compress
from actpress.data.dataset import Dataset
from actpress.errors import BudgetError, PlanError
from actpress.methods import Settings
from actpress.plan import Placement, Plan, Transform
from actpress.pressing import CompressedModel
from actpress.rules import Rule, What, apply_rules, rules_of
from actpress.tune import TuneSettings

SITES = ("relu", "layer1.0.relu", "layer1.1.relu", "layer2.0.relu")
SMALL = Settings(
    calibration_images=64,
    search_images=16,
    decoder_images=32,
    holdout_images=32,
    tune=TuneSettings(steps=4, batch_size=16, validate_every=2, validation_images=16),
)
BUDGET = "3bits (entropy, activations)"
Given = list[dict[str, object]]


def test_later_rules_win_and_fixed_settings_add_up() -> None:
    rules = rules_of(
        [
            {"sites": "layer*", "what": "fix", "transform": "pca"},
            {"sites": "layer1.*", "what": "fix", "placement": "pre_act"},
            {"sites": "*", "what": "leave"},
            {"sites": "layer2.0.relu", "what": "search"},
        ]
    )
    fixed = apply_rules(rules[:2], SITES)
    assert fixed["layer1.1.relu"].settings() == {
        "transform": "pca",
        "placement": Placement.PRE_ACT,
    }
    assert fixed["layer2.0.relu"].settings() == {"transform": "pca"}
    assert fixed["relu"].what is What.SEARCH
    last = apply_rules(rules, SITES)
    assert {last[name].what for name in SITES[:3]} == {What.LEAVE}
    assert last["layer2.0.relu"].what is What.SEARCH
    assert [Rule.of(rule.to_data()) for rule in rules] == list(rules)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"site": "*", "what": "leave"}, r"the key 'site' \(did you mean 'sites'\?\)"),
        (
            {"sites": "*", "what": "leav"},
            r"what 'leav' \(did you mean 'leave'\?\); expected search",
        ),
        ({"sites": "*"}, "has no text for what"),
        ({"sites": "*", "what": "fix"}, "says fix with nothing"),
        ({"sites": "*", "what": "leave", "block": 2}, "says leave with block"),
        ({"sites": "*", "what": "fix", "transform": 3}, "has transform 3; expected text"),
        ({"sites": "*", "what": "fix", "transform": "pcaa"}, r"'pcaa' \(did you mean 'pca'\?\)"),
        ({"sites": "*", "what": "fix", "placement": "pre"}, r"placement 'pre'"),
        ({"sites": "*", "what": "fix", "block": "2"}, "expected a whole number"),
        ({"sites": "*", "what": "fix", "block": 99}, "has block 99; expected 1 to"),
        ("layer1", "a rule is a str; expected an actpress.Rule, or its data"),
    ],
)
def test_malformed_rules_say_what_is_wrong(rule: object, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        rules_of([rule])  # type: ignore[list-item]


def test_a_rule_that_matches_nothing_names_the_sites() -> None:
    rules = rules_of([{"sites": "*", "what": "leave"}, {"sites": "layer3.*", "what": "leave"}])
    with pytest.raises(
        PlanError, match=r"rule 2, for sites 'layer3.\*', matches no site.*relu, layer1.0.relu, lay"
    ):
        apply_rules(rules, SITES)


@pytest.fixture(scope="module")
def ruled(model: nn.Module, dataset: Dataset) -> Callable[..., CompressedModel]:
    def run(rules: Given, method: str = "gdr", budget: str = BUDGET) -> CompressedModel:
        given = compress(model, dataset, method=method, budget=budget, rules=rules, settings=SMALL)
        return given.model

    return run


def test_a_site_that_is_left_alone_is_not_in_the_plan_and_is_counted(
    model: nn.Module, dataset: Dataset
) -> None:
    rules: Given = [{"sites": "relu#2", "what": "leave"}]
    found = compress(
        model,
        dataset,
        method="gdr",
        budget="2x (entropy, activations)",
        rules=rules,
        settings=SMALL,
    )
    metrics = found.metrics
    assert "relu#2" not in {site.site for site in found.model.plan}
    whole = sum(site.traffic_bits_8bit for site in metrics.sites)
    assert metrics.traffic.bits_8bit > whole
    left = metrics.traffic.bits_8bit - whole
    moved = sum(site.traffic_bits.entropy for site in metrics.sites)
    assert metrics.traffic.bits.entropy == pytest.approx(moved + left)
    assert metrics.traffic.ratio_8bit.entropy > 1.9  # of the whole network, not of what is planned
    assert sum(site.traffic_share for site in metrics.sites) == pytest.approx(
        whole / metrics.traffic.bits_8bit
    )
    assert "the others stay as they are" in metrics.scope
    every = compress(model, dataset, method="int8", settings=SMALL).metrics.sites
    values = sum(site.values for site in every)
    planned = sum(site.values for site in metrics.sites)
    stored = sum(site.bits.entropy for site in metrics.sites) + 8 * (values - planned)
    assert metrics.bits_per_value.entropy == pytest.approx(stored / values)
    assert metrics.stored_ratio_8bit == pytest.approx(8 * values / stored)
    assert '"what": "leave"' in str(metrics.settings["rules"])


@pytest.mark.parametrize("method", ["gdr", "cap"])
def test_a_site_keeps_eight_bits_whatever_is_searched_and_trained(
    ruled: Callable[..., CompressedModel], images: torch.Tensor, method: str
) -> None:
    pressed = ruled([{"sites": "relu#2", "what": "8bit"}], method, "4bits (entropy, activations)")
    (site,) = (site for site in pressed.plan if site.site == "relu#2")
    assert site.pinned
    assert (site.transform, site.bit_width) == (Transform.IDENTITY, 8)
    codec = pressed.codecs["relu#2"]
    assert codec.step.unique().numel() == 1
    x = images.new_zeros(1, site.channels, 8, 8)
    x[:] = float(codec.step[0]) * 255
    levels = codec.encode(x)
    assert int(levels.max()) <= 255
    assert float(codec.step[0]) == pytest.approx(site.step, rel=0.01)
    again = Plan.from_json(pressed.plan.to_json())
    assert again == pressed.plan
    assert pressed.plan.to_json().count('"pinned"') == 1


def test_a_transform_and_a_placement_are_kept(ruled: Callable[..., CompressedModel]) -> None:
    pressed = ruled(
        [
            {"sites": "*", "what": "fix", "transform": "pca"},
            {"sites": "relu*", "what": "fix", "placement": "pre_act"},
        ]
    )
    assert {site.transform for site in pressed.plan} == {"pca"}
    assert {s.placement for s in pressed.plan if s.site.startswith("relu")} == {Placement.PRE_ACT}


def test_what_cannot_be_kept_is_refused_before_any_work(
    ruled: Callable[..., CompressedModel],
) -> None:
    with pytest.raises(PlanError, match=r"lsq keeps no rule that says 8bit .*gdr and cap do"):
        ruled([{"sites": "*", "what": "8bit"}], "lsq")
    with pytest.raises(PlanError, match="leave all sites alone"):
        ruled([{"sites": "*", "what": "leave"}])
    with pytest.raises(PlanError, match="no state of site mean is what the rules ask for"):
        ruled([{"sites": "mean", "what": "fix", "placement": "pre_act"}])
    with pytest.raises(BudgetError, match=r"sites that rules leave alone take .* of the whole"):
        ruled([{"sites": "relu*", "what": "leave"}], budget="8x")


def test_eight_bits_heed_no_budget(ruled: Callable[..., CompressedModel]) -> None:
    pressed = ruled([{"sites": "relu*", "what": "leave"}], "int8", "8x")
    assert {site.site for site in pressed.plan}.isdisjoint({"relu", "relu#2"})


def test_a_plan_is_pressed_as_it_is(model: nn.Module, dataset: Dataset) -> None:
    start = compress(model, dataset, method="gdr", budget=BUDGET, settings=SMALL).model.plan
    sites = tuple(site.model_copy(update={"step": 2 * site.step}) for site in start.sites[1:])
    edited = start.model_copy(update={"sites": sites})

    found = compress(model, dataset, plan=edited, settings=SMALL)

    assert found.model.plan == edited
    assert found.metrics.budget == ""
    assert found.metrics.variant == "given plan"
    with pytest.raises(PlanError, match="a plan says what happens at every site"):
        compress(
            model, dataset, plan=edited, rules=[{"sites": "*", "what": "leave"}], settings=SMALL
        )
    other = edited.model_copy(update={"fingerprint": "0" * 64})
    with pytest.raises(PlanError, match="belongs to another network"):
        compress(model, dataset, plan=other, settings=SMALL)
