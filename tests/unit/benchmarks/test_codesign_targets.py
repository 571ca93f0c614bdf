"""The target table says what the rows say."""

from benchmarks.codesign_targets import CURVE, HEADLINE, METHODS, close_calls, target_table
from benchmarks.core import SEEDS
from benchmarks.store import Row


def row(method: str, budget: str, accuracy: float, bits: float, **other: object) -> Row:
    return {
        "model": "resnet18",
        "method": method,
        "variant": f"{budget},entropy",
        "seed": 0,
        "accuracy": accuracy,
        "accuracy_drop_pp": 100 * (0.93 - accuracy),
        "agreement": accuracy + 0.05,
        "bits_per_value": {"entropy": bits, "fixed": 2 * bits},
        **other,
    }


def line(table: str, what: str) -> str:
    (found,) = [line for line in table.splitlines() if what in line and "ResNet18" in line]
    return found


def test_a_headline_needs_three_seeds() -> None:
    runs = [row("codesign", "0.8bits", 0.927, 0.79, seed=seed) for seed in range(3)]
    what = "drop at most 0.5 points | 0.8 bits/value"
    assert line(target_table(runs), what).endswith(
        "| 0.790 bits/value, drop 0.30 (3 seeds) | yes |"
    )
    assert line(target_table(runs[:2]), what).endswith("(2 seeds) | - |")
    worse = [{**run, "accuracy_drop_pp": 0.6} for run in runs]
    assert line(target_table(worse), what).endswith("| **no** |")


def test_the_lead_is_over_the_best_layerwise_baseline() -> None:
    rows = [
        row("codesign", "0.6bits", 0.90, 0.60),
        row("layerwise_ilp", "0.8bits", 0.80, 0.80),
        row("layerwise_search", "0.8bits", 0.86, 0.79),
    ]
    what = "ahead of the best layer-wise baseline"
    assert line(target_table(rows), what).endswith("| +4.00 points, 0.19 bits/value less | yes |")
    better_only = [rows[0], rows[2]]
    assert line(target_table(better_only), what).endswith("0.19 bits/value less | - |")
    other_failed = {"model": "resnet18", "method": "layerwise_ilp", "seed": 0, "failed": "no"}
    better_only.append(other_failed | {"variant": "0.8bits,entropy"})
    assert line(target_table(better_only), what).endswith("0.19 bits/value less | yes |")
    rows.append(row("layerwise_ilp", "0.8bits", 0.87, 0.80))
    assert line(target_table(rows), what).endswith("| **no** |")


def test_one_lost_pair_is_below() -> None:
    methods = METHODS["resnet18"]
    rows = [row(m, b, 0.92 if m == "codesign" else 0.91, 0.9) for m in methods for b in CURVE]
    rows.append(row("codesign", "1bits", 0.92, 0.99, seed=1))
    rows[-1]["accuracy"] = 0.5  # no other method has this seed
    (lost,) = [r for r in rows if (r["method"], r["variant"]) == ("cap", "1bits,entropy")]
    lost["accuracy"] = 0.923
    found = line(target_table(rows[:-2]), "at equal budgets")
    assert "| smallest lead -0.30 points, over cap at 1bits,entropy (1 seed; 29 compared)" in found
    assert found.endswith("| **no** |"), "whatever else will be measured"
    others = [r for r in rows if r["method"] != "codesign"]
    assert "not measured" in line(target_table(others), "at equal budgets")


def test_close_calls_are_decided_by_three_seeds() -> None:
    methods = METHODS["resnet18"]
    rows = [row(m, b, 0.92 if m == "codesign" else 0.91, 0.9) for m in methods for b in CURVE]
    rival = [r for r in rows if (r["method"], r["variant"]) == ("cap", "2bits,entropy")]
    rival[0]["accuracy"] = 0.9215
    assert close_calls(rows, "resnet18") == [("cap", "2bits,entropy")]
    assert close_calls(rows, "vgg16_bn") == []
    found = line(target_table(rows), "at equal budgets")
    assert "-0.15 points, over cap at 2bits,entropy (1 seed;" in found
    assert found.endswith("| **no** |")
    rival[0]["accuracy"] = 0.9185
    found = line(target_table(rows), "at equal budgets")
    assert found.endswith("| - |"), "one seed is no lead"
    rival[0]["accuracy"] = 0.9215
    for seed, accuracy in ((1, 0.918), (2, 0.917)):
        rows.append(row("codesign", "2bits", 0.92, 0.9, seed=seed))
        rows.append(row("cap", "2bits", accuracy, 0.9, seed=seed))
    found = line(target_table(rows), "at equal budgets")
    assert "smallest lead +0.12 points, over cap at 2bits,entropy (3 seeds;" in found
    assert found.endswith("| yes |")


def test_never_below_needs_every_rival_at_every_budget() -> None:
    methods = METHODS["resnet18"]
    rows = [row(m, b, 0.92 if m == "codesign" else 0.91, 0.9) for m in methods for b in CURVE]
    what = "at equal budgets"
    agreement = "; {} compared); in *agree* +1.00 at least | {} |"
    assert line(target_table(rows), what).endswith(agreement.format(30, "yes"))
    assert line(target_table(rows[:-1]), what).endswith(agreement.format(29, "-"))
    failed = {key: rows[-1][key] for key in ("model", "method", "variant", "seed")}
    table = target_table([*rows[:-1], {**failed, "failed": "no"}])
    assert line(table, what).endswith(agreement.format(29, "yes"))
    ours = next({**r, "failed": "no"} for r in rows if r["method"] == "codesign")
    del ours["accuracy"]
    others = [r for r in rows if (r["method"], r["variant"]) != ("codesign", ours["variant"])]
    assert line(target_table([*others, ours]), what).endswith(agreement.format(24, "-"))


def test_the_worst_budget_is_told() -> None:
    rows = [row("codesign", "1bits", 0.92, 0.99), row("codesign", "2bits", 0.92, 2.06)]
    (found,) = [x for x in target_table(rows).splitlines() if "bits against the budget" in x]
    assert found.endswith("| -1.0 to +3.0 % on test images (2 runs) | **no** |")


def test_every_budget_is_hit_when_every_run_is_there() -> None:
    runs = [
        row("codesign", budget, 0.92, float(budget.removesuffix("bits")), model=model)
        for model in METHODS
        for budget in CURVE
    ]
    for model in METHODS:
        for variant, (_, bits) in HEADLINE.items():
            both = {"entropy": bits, "fixed": bits}
            runs += [
                row("codesign", "", 0.92, bits, model=model, seed=seed, variant=variant)
                | {"bits_per_value": both}
                for seed in SEEDS
            ]

    def verdict(rows: list[Row]) -> str:
        (found,) = [x for x in target_table(rows).splitlines() if "bits against the budget" in x]
        return found.rsplit("|", 2)[1].strip()

    assert verdict(runs) == "yes"
    assert verdict(runs[:-1]) == "-"
