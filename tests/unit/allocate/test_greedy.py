"""Ladders of states and the greedy path over them, on prices and losses made up."""

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actpress.allocate import Criterion, Offer, SiteStates, State, greedy_path, lower_hull
from actpress.allocate.greedy import taken_back
from actpress.allocate.searching import (
    HOPE,
    LEAST_FACTOR,
    MOST_FACTOR,
    SearchSettings,
    SearchTask,
    bounded,
    corrections,
    path_to,
)
from actpress.cost import Kind, Objective, SiteUse
from actpress.plan import Placement, SitePlan

STORED = Objective(Kind.STORED)
OFFER = Offer(Placement.POST_ACT, "identity")


def state(bits: float, loss: float, *, site: str = "a", parameters: float = 0.0) -> State:
    plan = SitePlan(
        site=site,
        placement=Placement.POST_ACT,
        transform="identity",
        channels=4,
        rank=4,
        step=1.0,
    )
    return State(OFFER, plan, SiteUse(100, 1, bits, parameters), loss, loss)


def test_the_hull_keeps_what_is_best_at_some_exchange() -> None:
    useless, dominated = state(60, 0.9), state(50, 0.4)
    best = [state(80, 0.0), state(40, 0.3), state(10, 2.0)]
    hull = lower_hull([useless, best[1], dominated, best[2], best[0]], STORED)
    assert list(hull) == best


def test_a_bit_that_costs_more_energy_than_its_move_is_not_saved() -> None:
    plain = state(60, 0.3)
    projected = replace(plain, use=replace(plain.use, stored_bits=50, macs=10_000.0))
    start = state(100, 0.0)
    assert lower_hull([start, plain, projected], Objective(Kind.NET)) == (start, plain)
    assert lower_hull([start, plain, projected], Objective(Kind.TRAFFIC)) == (start, projected)


@pytest.mark.parametrize(("target", "price"), [(150.0, 120.0), (110.0, 100.0), (0.0, 120.0)])
def test_what_costs_much_arithmetic_is_taken_where_nothing_else_meets_the_budget(
    target: float, price: float
) -> None:
    plain = state(60, 0.3)
    projected = replace(plain, loss=0.4, use=replace(plain.use, stored_bits=50, macs=10_000.0))
    sites = [SiteStates("a", (state(100, 0.0), plain, projected))]
    work = SimpleNamespace(
        graph=SimpleNamespace(fingerprint="f"),
        objective=Objective(Kind.NET),
        settings=SearchSettings(),
        node_evals=0,
    )
    found = path_to(cast(SearchTask, work), sites, target)
    assert found.path[-1].price == price


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=12),
    st.floats(0.01, 20),
)
def test_no_state_beats_the_hull(points: list[tuple[int, int]], exchange: float) -> None:
    states = [state(bits, loss) for bits, loss in points]

    def cost(one: State) -> float:
        return one.loss + exchange * STORED.price(one.use)

    hull = lower_hull(states, STORED)
    assert min(map(cost, hull)) == pytest.approx(min(map(cost, states)))
    prices = [STORED.price(one.use) for one in hull]
    losses = [one.loss for one in hull]
    assert prices == sorted(prices, reverse=True)
    assert losses == sorted(losses)


def test_the_path_takes_the_most_saved_per_loss_and_ends_at_the_floor() -> None:
    first = [state(100, 0.0), state(60, 0.1), state(20, 1.0)]
    second = [state(100, 0.0, site="b"), state(90, 0.4, site="b")]
    path = greedy_path([first, second], STORED)
    assert [move.site for move in path] == [-1, 0, 0, 1]
    assert [move.price for move in path] == [200, 160, 120, 110]
    assert path[-1].loss == pytest.approx(1.4)
    assert len(greedy_path([first, second], STORED, floor=160)) == 2


def test_every_prefix_is_the_least_loss_for_its_price() -> None:
    ladders = [
        lower_hull([state(100 - 9 * i, (i + 1 + site) ** 2 / 10) for i in range(5)], STORED)
        for site in range(3)
    ]
    path = greedy_path(ladders, STORED)
    for move in path:
        others = itertools.product(*ladders)
        cheaper = (
            sum(one.loss for one in states)
            for states in others
            if sum(STORED.price(one.use) for one in states) <= move.price
        )
        assert move.loss <= min(cheaper) + 1e-9


def test_what_a_large_move_leaves_is_spent_on_the_moves_that_lost_most() -> None:
    small = [state(100, 0.0), state(90, 0.1), state(80, 0.3)]
    other = [state(50, 0.0, site="b"), state(35, 0.5, site="b")]
    large = [state(400, 0.0, site="c"), state(200, 9.0, site="c")]
    path = greedy_path([small, other, large], STORED)
    after = path[-1]
    assert (after.levels, after.price) == ((2, 1, 1), 315)
    assert taken_back([small, other, large], after, STORED, 324) == (2, 1, 1)
    assert taken_back([small, other, large], after, STORED, 325) == (1, 1, 1)
    assert taken_back([small, other, large], after, STORED, 330) == (2, 0, 1)
    assert taken_back([small, other, large], after, STORED, 340) == (1, 0, 1)
    assert taken_back([small, other, large], after, STORED, 10_000) == (0, 0, 0)


@given(st.data(), st.integers(0, 400))
def test_taking_moves_back_keeps_the_price_and_never_loses_more(
    data: st.DataObject, room: int
) -> None:
    points = st.lists(st.tuples(st.integers(1, 90), st.integers(0, 50)), min_size=1, max_size=6)
    ladders = [
        lower_hull([state(bits, loss) for bits, loss in data.draw(points)], STORED)
        for _ in range(3)
    ]
    move = greedy_path(ladders, STORED)[-1]
    levels = taken_back(ladders, move, STORED, move.price + room)
    chosen = [ladder[level] for ladder, level in zip(ladders, levels, strict=True)]
    price = sum(STORED.price(one.use) for one in chosen)
    assert price <= move.price + room
    assert sum(one.loss for one in chosen) <= move.loss
    above = [ladder[level - 1] for ladder, level in zip(ladders, levels, strict=True) if level]
    below = [one for one, level in zip(chosen, levels, strict=True) if level]
    raised = [STORED.price(a.use) - STORED.price(b.use) for a, b in zip(above, below, strict=True)]
    assert all(price + extra > move.price + room for extra in raised)


@pytest.mark.parametrize(
    ("criterion", "moves"),
    [
        (Criterion.LOSS, [0, 1]),
        (Criterion.BITS, [1, 0]),
        (Criterion.UNIFORM, [1, 0]),
    ],
)
def test_controls_look_at_one_thing_alone(criterion: Criterion, moves: list[int]) -> None:
    small = [state(100, 0.0), state(99, 0.01)]
    large = [state(200, 0.0, site="b"), state(100, 5.0, site="b")]
    path = greedy_path([small, large], STORED, criterion=criterion)
    assert [move.site for move in path[1:]] == moves


def test_parameters_weigh_in_net_prices_alone() -> None:
    heavy, light = state(10, 0.1, parameters=500.0), state(60, 0.2)
    start = state(100, 0.0)
    assert heavy in lower_hull([start, heavy, light], STORED)
    assert lower_hull([start, heavy, light], Objective(Kind.NET)) == (start, light)


def test_corrections_change_the_losses_of_their_kind() -> None:
    sites = SiteStates("a", (state(10, 0.5),))
    other = Offer(Placement.PRE_ACT, "pca")
    assert sites.corrected({("a", OFFER): 3.0}).states[0].loss == 1.5
    assert sites.corrected({("a", other): 3.0, ("b", OFFER): 2.0}) == sites


def test_what_was_not_measured_is_corrected_like_its_kind() -> None:
    other = Offer(Placement.PRE_ACT, "pca")
    sites = [
        SiteStates(name, tuple(replace(state(10, 0.5), offer=offer) for offer in (OFFER, other)))
        for name in "abc"
    ]
    assert set(corrections(sites, {}).values()) == {1.0}
    found = corrections(sites, {("a", OFFER): 2.0, ("b", OFFER): 8.0})
    assert found == pytest.approx(
        {("a", OFFER): 2.0, ("b", OFFER): 8.0, ("c", OFFER): HOPE * 4.0}
        | dict.fromkeys([(name, other) for name in "abc"], 1.0)
    )


def test_what_was_not_measured_is_corrected_like_other_kinds_of_its_site() -> None:
    other = Offer(Placement.PRE_ACT, "pca")
    sites = [
        SiteStates(name, tuple(replace(state(10, 0.5), offer=offer) for offer in (OFFER, other)))
        for name in "abc"
    ]
    measured = {("a", OFFER): 2.0, ("b", OFFER): 8.0, ("c", other): 5.0}
    found = corrections(sites, measured)
    assert found == pytest.approx(
        measured
        | {
            ("a", other): HOPE * 5.0 * 0.5**0.5,  # half of the octave below the usual 4
            ("b", other): HOPE * 5.0 * 2.0**0.5,
            ("c", OFFER): HOPE * 4.0,
        }
    )


def test_a_loss_that_is_no_number_is_as_bad_as_can_be() -> None:
    factors = [bounded(factor) for factor in (float("nan"), float("inf"), 3.0, 0.0)]
    assert factors == [MOST_FACTOR, MOST_FACTOR, 3.0, LEAST_FACTOR]
