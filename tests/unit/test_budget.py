import pytest

from actpress.budget import Budget, BudgetKind, Count, View
from actpress.errors import BudgetError


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("1.34bits", BudgetKind.BITS_PER_VALUE, 1.34),
        (" 6 x ", BudgetKind.TRAFFIC_RATIO, 6.0),
        ("6x-energy", BudgetKind.ENERGY, 6.0),
        ("0.5pp", BudgetKind.ACCURACY_DROP, 0.5),
        ("0pp", BudgetKind.ACCURACY_DROP, 0.0),
    ],
)
def test_the_forms_are_read(text: str, kind: BudgetKind, amount: float) -> None:
    assert Budget.parse(text) == Budget(kind, amount, View.ENTROPY)
    assert Budget.parse(text, view=View.FIXED).view is View.FIXED


@pytest.mark.parametrize(
    "text",
    ["", "6", "x", "-1bits", "1e3bits", "1.bits", "nanbits", "1bit", "6x8", "1,5bits"],
)
def test_anything_else_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(
        BudgetError, match=r"cannot read the budget .*8x .*6x-energy .*1.34bits .*0.5pp"
    ):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["0bits", "0.0x"])
def test_nothing_is_no_budget(text: str) -> None:
    with pytest.raises(BudgetError, match="must be greater than zero"):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["8.01bits", "40bits", "0.5x"])
def test_more_than_without_compression_is_no_budget(text: str) -> None:
    with pytest.raises(BudgetError, match=r"more than the 8 bits|more traffic than at 8 bit"):
        Budget.parse(text)
    assert Budget.parse("8bits").amount == 8


@pytest.mark.parametrize("text", ["1.34bits", "6x", "0.5pp"])
def test_a_budget_prints_as_it_was_written(text: str) -> None:
    assert str(Budget.parse(text)) == f"{text} (entropy, batch 1)"
    for view in View:
        for how in ({"batch": 16}, {"count": Count.ACTIVATIONS}):
            budget = Budget.parse(text, view=view, **how)  # type: ignore[arg-type]
            assert Budget.parse(str(budget)) == budget
