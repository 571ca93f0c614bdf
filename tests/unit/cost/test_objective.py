"""What a device pays, by hand."""

import pytest

from actpress.budget import Budget, View
from actpress.cost import EnergyModel, Kind, Objective, SiteUse
from actpress.errors import BudgetError

USE = SiteUse(
    values=1000,
    reads=2,
    stored_bits=500.0,
    parameter_bits=900.0,
    index_bits=60.0,
    credit_bits=400.0,
    macs=7000.0,
)


@pytest.mark.parametrize(
    ("kind", "batch", "price"),
    [
        (Kind.STORED, 1, 500.0),
        (Kind.TRAFFIC, 1, 1500.0),
        (Kind.NET, 1, 1500.0 + 560.0),
        (Kind.NET, 16, 1500.0 + 560.0 / 16),
        (Kind.ENERGY, 1, 8.0 * (1500.0 + 560.0) + 0.3 * 7000.0),
    ],
)
def test_prices_by_hand(kind: Kind, batch: int, price: float) -> None:
    assert Objective(kind, batch=batch).price(USE) == pytest.approx(price)


@pytest.mark.parametrize("kind", Kind)
def test_searches_for_net_traffic_weigh_arithmetic_by_its_energy(kind: Kind) -> None:
    objective = Objective(kind, energy=EnergyModel("mine", pj_per_bit=3.0, mac_pj=0.6))
    extra = 7000.0 * 0.6 / 3.0 if kind is Kind.NET else 0.0
    assert objective.weight(USE) == pytest.approx(objective.price(USE) + extra)


def test_a_neighbour_that_shrinks_pays_for_parameters_and_nothing_more() -> None:
    free = SiteUse(10, 1, 8.0, parameter_bits=100.0, index_bits=5.0, credit_bits=1e6)
    grown = SiteUse(10, 1, 8.0, parameter_bits=100.0, index_bits=5.0, credit_bits=-50.0)
    assert free.fetched_bits == 5.0
    assert grown.fetched_bits == 155.0


def test_tables_cost_where_they_are_fetched() -> None:
    assert Objective(Kind.NET, batch=4).table_price(800.0) == 200.0
    assert Objective(Kind.NET, View.FIXED).table_price(800.0) == 0.0, "packing needs none"
    assert Objective(Kind.TRAFFIC).table_price(800.0) == 0.0
    memory = EnergyModel("mine", pj_per_bit=2.0)
    assert Objective(Kind.ENERGY, energy=memory).table_price(800.0) == 1600.0


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("8x", Kind.NET, 3 * 8000 / 8),
        ("1bits", Kind.NET, 3 * 8000 / 8),
        ("4x-energy", Kind.ENERGY, 8 * 3 * 8000 / 4),
        ("2bits (entropy, activations)", Kind.STORED, 2000.0),
        ("4x (fixed, activations)", Kind.TRAFFIC, 6000.0),
        ("0.5pp", Kind.NET, 0.0),
    ],
)
def test_a_budget_says_what_is_priced_and_what_is_allowed(
    text: str, kind: Kind, target: float
) -> None:
    budget = Budget.parse(text)
    objective = Objective.of(budget)
    assert objective.kind is kind
    assert objective.target([USE], budget) == pytest.approx(target)
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("6x-energy (entropy, activations)", "which activations alone do not tell"),
        ("6x (entropy, batch 0)", "a batch of 0 images makes no sense"),
        ("6x (entropy, batch 99999999999999999999)", "makes no sense"),
        ("6x-power", "cannot read the budget"),
        ("0.5x-energy", "asks for more traffic than at 8 bit"),
    ],
)
def test_contradictions_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(BudgetError, match=complaint):
        Budget.parse(text)


def test_a_batch_without_counted_codecs_is_refused() -> None:
    from actpress.budget import Count  # noqa: PLC0415 - beside what it is about

    with pytest.raises(BudgetError, match="leave one of the two out"):
        Budget.parse("6x", count=Count.ACTIVATIONS, batch=4)


def test_a_memory_has_its_energy_per_bit_and_an_unknown_one_is_told() -> None:
    assert EnergyModel.of_memory("ddr3", mac_pj=2.0) == EnergyModel("ddr3", 70.0, 2.0)
    with pytest.raises(
        BudgetError, match=r"no memory 'tape'; expected lpddr4, ddr3, .*pj_per_bit$"
    ):
        EnergyModel.of_memory("tape")
