"""A sweep keeps every run, goes on where it stopped, and compares honestly."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from torch import nn

from actpress.budget import Budget, View
from actpress.data.dataset import Dataset
from actpress.errors import ActpressError, BudgetError, RunError, TuningError
from actpress.methods import METHODS, Job, Outcome, Settings
from actpress.report.sweep import Point, compare, pareto, print_sweep, render_sweep, text_chart
from actpress.run import PLAN
from actpress.sweeping import CSV, HTML, JSON, NextRun, Sweep, sweep
from actpress.tune import TuneSettings

SMALL = Settings(
    calibration_images=128,
    search_images=48,
    tune=TuneSettings(steps=4, batch_size=32, validate_every=2, validation_images=32),
)
Run = Callable[..., Sweep]


@pytest.fixture
def run(model: nn.Module, dataset: Dataset, tmp_path: Path) -> Run:
    def make(
        methods: str = "int8 gdr",
        budgets: str | list[Budget] = "3bits 1.5bits",
        **options: object,
    ) -> Sweep:
        chosen = {"settings": SMALL} | options
        return sweep(
            model,
            dataset,
            tmp_path / "sweep",
            methods=methods.split(),
            budgets=budgets.split() if isinstance(budgets, str) else budgets,
            **chosen,  # type: ignore[arg-type]
        )

    return make


def test_fixed_budgets_are_compared_in_fixed_bits(run: Run, tmp_path: Path) -> None:
    budgets = [Budget.parse("3bits", view=View.FIXED)]
    found = run("int8 gdr", settings=SMALL, budgets=budgets)
    entries, title = compare(found.runs)
    assert title == "bits/value, fixed view"
    assert title in (tmp_path / "sweep" / HTML).read_text()
    for entry, metrics in zip(entries, found.runs, strict=True):
        assert entry.point.bits == metrics.bits_per_value.fixed
        assert entry.traffic_ratio == metrics.traffic.ratio_8bit.fixed
        assert entry.net_ratio == metrics.traffic.net_ratio_8bit.fixed


def test_budgets_of_both_views_make_curves_of_their_own(run: Run) -> None:
    run("gdr", "3bits")
    found = run("gdr", [Budget.parse("3bits", view=View.FIXED)])
    entries, title = compare(found.runs)
    assert title == "bits/value, each budget's view"
    assert {entry.point.method for entry in entries} == {"gdr, entropy", "gdr, fixed"}
    assert all(entry.is_best for entry in entries), "there is one of each view"
    for entry in entries:
        assert entry.point.bits == entry.run.bits_per_value[entry.view]
        assert entry.traffic_ratio == entry.run.traffic.ratio_8bit[entry.view]


def test_every_run_is_a_run_directory_and_the_files_agree(run: Run, tmp_path: Path) -> None:
    found, folder = run(), tmp_path / "sweep"
    assert [(metrics.method, metrics.budget) for metrics in found.runs] == [
        ("int8", ""),
        ("gdr", "1.5bits (entropy, batch 1)"),
        ("gdr", "3bits (entropy, batch 1)"),
    ]
    assert {path.parent.name for path in folder.glob(f"*/{PLAN}")} == {
        "int8",
        "gdr-3bits-entropy-batch1",
        "gdr-1.5bits-entropy-batch1",
    }
    rows = json.loads((folder / JSON).read_text())["runs"]
    lines = list(csv.DictReader((folder / CSV).read_text().splitlines()))
    for metrics, row, line in zip(found.runs, rows, lines, strict=True):
        assert row["accuracy"] == metrics.accuracy == float(line["accuracy"])
        assert float(line["bits_per_value_entropy"]) == metrics.bits_per_value.entropy
        assert line["method"] == metrics.method
    page = (folder / HTML).read_text()
    assert page.count("<tr") == 1 + len(found.runs)
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_finished_runs_are_not_made_again(run: Run) -> None:
    begun: list[NextRun] = []
    first = run("int8 gdr", "3bits", on_run=begun.append)
    assert [(each.method, each.number, each.runs) for each in begun] == [
        ("int8", 1, 2),
        ("gdr", 2, 2),
    ]
    second = run("int8 gdr", "3bits 2bits", on_run=begun.append)
    assert begun[2:] == [NextRun("gdr", "2bits (entropy, batch 1)", 3, 3)]
    assert second.runs[0] == first.runs[0]
    assert len(second.runs) == 3


def test_what_was_asked_for_twice_is_listed_once(run: Run, tmp_path: Path) -> None:
    found = run("int8 gdr int8", "3bits 3.0bits")
    assert [metrics.budget for metrics in found.runs] == ["", "3bits (entropy, batch 1)"]
    left = [path.name for path in (tmp_path / "sweep").glob("*/*") if "partial" in path.name]
    assert not left, "checkpoints of finished runs are gone"


def test_training_that_fails_is_a_reason_like_any_other(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(_: Job) -> Outcome:
        raise TuningError("training diverged at step 3")

    monkeypatch.setitem(METHODS, "cap", diverge)
    found = run("cap int8", "2bits")
    assert [metrics.method for metrics in found.runs] == ["int8"]
    assert found.failed == (("cap", "2bits (entropy, batch 1)", "training diverged at step 3"),)


def test_a_budget_that_cannot_be_met_is_left_out_with_its_reason(run: Run, tmp_path: Path) -> None:
    found = run("int8 gdr", "0.0001bits")
    assert [metrics.method for metrics in found.runs] == ["int8"]
    ((method, budget, reason),) = found.failed
    assert (method, budget) == ("gdr", "0.0001bits (entropy, batch 1)")
    assert "cannot be reached; the best" in reason

    def missed() -> list[dict[str, str]]:
        listed: list[dict[str, str]] = json.loads((tmp_path / "sweep" / JSON).read_text())["failed"]
        return listed

    assert missed() == [{"method": method, "budget": budget, "reason": reason}]
    run("int8", "3bits", on_run=lambda _: None)
    assert missed() == [{"method": method, "budget": budget, "reason": reason}], "it is remembered"
    with pytest.raises(BudgetError, match=r"no method met any budget: .*cannot be reached"):
        run("gdr", "0.0001bits")


def test_nonsense_is_refused_before_anything_runs(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ActpressError, match=r"no method magic; expected some of best, int8"):
        run("magic gdr")
    with pytest.raises(ActpressError, match="at least one method and one budget"):
        run("gdr", "")
    assert not (tmp_path / "sweep").exists()


def test_what_a_killed_command_left_is_no_run(run: Run, tmp_path: Path) -> None:
    run("int8")
    shutil.copytree(tmp_path / "sweep" / "int8", tmp_path / "sweep" / ".int8-left")
    assert len(run("int8").runs) == 1


def test_other_settings_do_not_mix_with_finished_runs(run: Run) -> None:
    run("int8")
    with pytest.raises(RunError, match=r"settings\.calibration_images was 128, is 64; continue"):
        run("int8", settings=replace(SMALL, calibration_images=64))


def test_a_folder_with_other_things_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="exists and holds no sweep"):
        run("int8")


def test_the_front_is_what_no_other_run_beats() -> None:
    places = [(2, 0.9), (1, 0.8), (1.5, 0.7), (3, 0.9), (4, 0.95)]
    points = [Point("cap", bits, accuracy) for bits, accuracy in places]
    assert pareto(points) == (points[1], points[0], points[4])
    ruined = Point("gdr", 0.99, 0.6)
    assert ruined not in pareto([*points, ruined]), "its bits are the same within 2 %"
    assert Point("gdr", 0.97, 0.6) in pareto([*points, Point("gdr", 0.97, 0.6)])


def test_the_terminal_shows_every_run_in_the_chart(run: Run, tmp_path: Path) -> None:
    found = run()
    with (tmp_path / "out.txt").open("w") as file:
        print_sweep(found.runs, Console(file=file, width=100))
    text = (tmp_path / "out.txt").read_text()
    assert text.count("gdr") == 3  # two rows and the key
    rows = text.splitlines()[3 : 3 + len(found.runs)]
    for line, one in zip(rows, found.runs, strict=True):
        assert line.split()[-3] == f"{one.traffic.net_ratio_8bit.entropy:.2f}x"
    entries, title = compare(found.runs)
    chart = "".join(text_chart([entry.point for entry in entries], title)[:16])
    assert chart.count("o") == 1
    assert chart.count("x") == 2 or chart.count("x") == 1  # two runs may share a cell
    assert render_sweep(found.runs) == render_sweep(found.runs)


def test_a_damaged_comparison_is_told_in_one_line(run: Run, tmp_path: Path) -> None:
    run("int8", "3bits")
    path = tmp_path / "sweep" / "sweep.json"
    whole = path.read_text()
    for text in (
        "",
        "[]",
        "{",
        "[" * 10**5,
        "\x00",
        '{"failed": 3}',
        '{"failed": [[1, 2, 3]]}',
        '{"failed": [{"method": "gdr", "budget": NaN, "reason": "none"}]}',
        '{"failed": [{"method": "gdr", "budget": "1bits", "reason": "\\ud800"}]}',
        whole[:-9],
    ):
        path.write_text(text)
        with pytest.raises(RunError, match=r"sweep\.json is damaged: .*; remove it") as refusal:
            run("int8", "3bits")
        assert "\n" not in str(refusal.value)
    path.unlink()
    run("int8", "3bits")
    assert path.read_text() == whole


def test_a_damaged_request_and_a_run_of_an_unknown_method_are_told(
    run: Run, tmp_path: Path
) -> None:
    run("int8", "3bits")
    request, metrics = (
        tmp_path / "sweep" / "request.json",
        tmp_path / "sweep" / "int8" / "metrics.json",
    )
    before = request.read_text(), metrics.read_text()
    for text in ("", "[]", "null", "[" * 10**5, "3", "{"):
        request.write_text(text)
        with pytest.raises(RunError, match=r"request\.json is damaged: .*begin anew") as refusal:
            run("int8", "3bits")
        assert "\n" not in str(refusal.value)
    request.write_text('{"source": 3, "settings": [1]}')
    with pytest.raises(RunError, match="sweep of another request: source was 3, is"):
        run("int8", "3bits")
    request.write_text(before[0])
    metrics.write_text(before[1].replace('"method": "int8"', '"method": "magic"'))
    with pytest.raises(RunError, match="holds a run of the method 'magic'"):
        run("int8", "3bits")
