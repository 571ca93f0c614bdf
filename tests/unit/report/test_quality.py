"""Runs of other tasks are told in the task's words, wherever a run is told."""

import csv
import io
from collections.abc import Callable

import pytest
from rich.console import Console

from actpress.evaluation import Comparison, Metrics
from actpress.report import print_metrics, print_sweep, render_html, render_sweep
from actpress.report.sweep import sweep_csv
from actpress.report.wording import caveats, headline

OTHER = {"float_accuracy": None, "accuracy": None, "accuracy_drop_pp": None}

IOU = Comparison(name="mean IoU", images=500, before=0.716, after=0.712, drop_error_pp=0.25)
PSNR = Comparison(name="PSNR", unit="dB", images=500, before=31.32, after=31.2, drop_error_pp=0.04)
ERROR = Comparison(
    name="keypoint error",
    unit="px",
    higher_is_better=False,
    images=500,
    before=2.0,
    after=1.75,
    drop_error_pp=None,
)


@pytest.fixture
def told(vary: Callable[..., Metrics]) -> Callable[[Comparison], Metrics]:
    return lambda quality: vary(metric=quality.name, quality=quality, **OTHER)


def printed(show: Callable[[Console], None]) -> str:
    text = io.StringIO()
    show(Console(file=text, width=140))
    return text.getvalue()


@pytest.mark.parametrize(
    ("quality", "words", "row"),
    [
        (IOU, "mean IoU 71.20 %, 0.40 points lost", "71.60 % -> 71.20 % (0.40 ± 0.25 points lost)"),
        (PSNR, "PSNR 31.20 dB, 0.12 dB lost", "31.32 dB -> 31.20 dB (0.12 ± 0.04 dB lost)"),
        (ERROR, "keypoint error 1.75 px, 0.25 px gained", "2.00 px -> 1.75 px (0.25 px gained)"),
    ],
)
def test_every_report_says_it(
    told: Callable[[Comparison], Metrics], quality: Comparison, words: str, row: str
) -> None:
    metrics = told(quality)
    assert headline(metrics).endswith(f", {words}.")
    text = printed(lambda console: print_metrics(metrics, console))
    assert row in text
    page = render_html(metrics)
    assert words.replace(" %", "\N{NO-BREAK SPACE}%") in page or words in page.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert f">{quality.name[0].upper()}{quality.name[1:]} lost<" in page
    for everything in (text, page, printed(lambda c: print_sweep([metrics], c))):
        assert "ccuracy" not in everything
    assert "ccuracy" not in render_sweep([metrics])


def test_nothing_lost_is_unchanged(told: Callable[[Comparison], Metrics]) -> None:
    same = PSNR.model_copy(update={"after": PSNR.before})
    assert headline(told(same)).endswith("PSNR 31.32 dB, unchanged.")


def test_the_csv_of_a_sweep_names_the_metric(told: Callable[[Comparison], Metrics]) -> None:
    (cells,) = csv.DictReader(io.StringIO(sweep_csv([told(PSNR)])))
    assert float(cells["psnr"]) == 31.2
    assert float(cells["psnr_lost_dB"]) == pytest.approx(0.12)


def test_too_few_images_are_told_in_the_unit(told: Callable[[Comparison], Metrics]) -> None:
    metrics = told(PSNR).model_copy(
        update={"budget": "0.02dB (entropy, batch 1)", "held_out": PSNR}
    )
    assert any("too few to tell a drop of 0.02 dB" in each for each in caveats(metrics))


def test_json_holds_what_the_task_measures_and_no_accuracy(
    told: Callable[[Comparison], Metrics],
) -> None:
    metrics = told(PSNR)
    written = metrics.model_dump(mode="json")
    assert written["metric"] == "PSNR"
    assert written["quality"]["unit"] == "dB"
    assert not any("accuracy" in name for name in written)
    assert Metrics.model_validate_json(metrics.model_dump_json()) == metrics


def test_a_run_without_any_metric_is_refused(metrics: Metrics) -> None:
    written = metrics.model_dump(mode="json")
    assert "quality" not in written
    for broken in (written | {"metric": "PSNR"}, {**written, "accuracy": None}):
        with pytest.raises(ValueError, match="neither accuracy nor quality is there"):
            Metrics.model_validate(broken)
