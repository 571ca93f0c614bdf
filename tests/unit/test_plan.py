"""Plans are checked before they are believed (the round trip is a law)."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from actpress.errors import PlanError
from actpress.plan import Plan, SitePlan

MakePlan = Callable[..., Plan]


def edited(plan: Plan, **changes: object) -> str:
    """The plan's JSON with fields of its first site changed."""
    content = json.loads(plan.to_json())
    content["sites"][0].update(changes)
    return json.dumps(content)


def test_a_plan_of_a_few_bytes_costs_no_memory() -> None:
    """Groups are compared with the components of a site before a list of them is made."""
    group = {"components": [0], "bit_width": 4, "step": 1.0}
    site = {
        "site": "a",
        "placement": "pre_act",
        "transform": "pca",
        "channels": 1 << 20,
        "rank": 1,
        "step": 1.0,
        "groups": [group],
    }
    text = json.dumps({"method": "m", "fingerprint": "f", "sites": [site]})
    tracemalloc.start()
    with pytest.raises(PlanError, match="must hold each of the 1048576 components"):
        Plan.from_json(text)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rank": 9}, "rank 9 exceeds its 8 components"),
        ({"rank": 0}, r"sites\.0\.rank: .* greater than or equal to 1 \(got 0\)"),
        ({"step": 0}, r"sites\.0\.step"),
        ({"step": "NaN"}, r"sites\.0\.step"),
        ({"step": 1e30}, r"sites\.0\.step"),
        ({"channels": 1 << 21}, r"sites\.0\.channels"),
        ({"bit_width": 17}, r"sites\.0\.bit_width"),
        ({"transform": "No Name"}, r"sites\.0\.transform"),
        ({"step_shifts": [1, 2]}, "step_shifts holds 2 numbers; expected one for each of the"),
        ({"number_bits": 5}, r"sites\.0\.number_bits"),
        ({"placement": "middle"}, r"sites\.0\.placement"),
        ({"colour": "red"}, r"sites\.0\.colour: Extra inputs"),
        ({"site": None}, r"sites\.0\.site"),
    ],
)
def test_a_value_out_of_bounds_is_named(
    make_plan: MakePlan, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(PlanError, match=f"mine is not a valid plan: .*{complaint}"):
        Plan.from_json(edited(make_plan(), **changes), source="mine")


@pytest.mark.parametrize("extra", [{}, {"news": 1}])
def test_another_version_is_told_apart_from_damage(
    make_plan: MakePlan, extra: dict[str, int]
) -> None:
    content = json.loads(make_plan().to_json()) | extra
    with pytest.raises(PlanError, match="version 3, but this actpress reads version 2; upgrade"):
        Plan.from_json(json.dumps(content | {"version": 3}))
    with pytest.raises(PlanError, match=r"version 1 of an earlier actpress.*; compress again"):
        Plan.from_json(json.dumps(content | {"version": 1}))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '"x"', "[" * 5000])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="not a valid plan"):
        Plan.from_json(text)


def test_a_site_planned_twice_is_refused(make_plan: MakePlan) -> None:
    content = json.loads(make_plan().to_json())
    content["sites"].append(content["sites"][0])
    with pytest.raises(PlanError, match="sites planned twice: relu"):
        Plan.from_json(json.dumps(content))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"cannot read the plan .*none.json"):
        Plan.load(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match=r"cannot read the plan .*binary.json"):
        Plan.load(tmp_path / "binary.json")


def test_a_plan_is_frozen_data_in_order(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan()
    (tmp_path / "plan.json").write_text(plan.to_json())
    assert Plan.load(tmp_path / "plan.json") == plan
    assert [site.site for site in plan] == [site.site for site in plan.sites]
    assert len(plan) == 5
    with pytest.raises(ValidationError, match="frozen"):
        plan.sites[0].rank = 3  # type: ignore[misc]


def test_steps_of_components_are_shifts_from_the_site(make_plan: MakePlan) -> None:
    site = make_plan(rank=2).sites[0]
    shifted = SitePlan.model_validate(site.model_dump() | {"step": 4.0, "step_shifts": (8, -4)})
    assert shifted.steps() == pytest.approx((2.0, 4.0 * 2**0.5))
