"""A run without labels: agreement stands where accuracy would."""

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from actpress.evaluation import Metrics
from actpress.report import (
    print_evaluation,
    print_metrics,
    print_sweep,
    render_html,
    render_sweep,
)
from actpress.report.wording import headline


@pytest.fixture
def unlabelled(vary: Callable[..., Metrics]) -> Metrics:
    return vary(
        metric="agreement",
        float_accuracy=1.0,
        accuracy=0.9731,
        agreement=0.9731,
        accuracy_drop_pp=2.69,
        accuracy_drop_error_pp=0.4,
    )


def printed(show: Callable[[Console], None]) -> str:
    text = io.StringIO()
    show(Console(file=text, width=140))
    return text.getvalue()


def test_headline(unlabelled: Metrics) -> None:
    told = headline(unlabelled)
    assert "at 97.31 % agreement with the float network (the images have no labels)" in told
    assert "accuracy" not in told


def test_terminal(unlabelled: Metrics) -> None:
    text = printed(lambda console: print_metrics(unlabelled, console))
    assert re.search(r"^agreement +97.31 % with the float network \(", text, re.MULTILINE)
    assert re.search(r"^tested on +10,000 images *$", text, re.MULTILINE)
    assert "accuracy" not in text


def test_evaluation_again(unlabelled: Metrics, metrics: Metrics) -> None:
    same = printed(lambda console: print_evaluation(unlabelled, unlabelled, console))
    assert "97.31 % with the float network" in same
    assert ", as in the run" in same
    assert "accuracy" not in same
    other = printed(lambda console: print_evaluation(metrics, unlabelled, console))
    line = next(line for line in other.splitlines() if line.startswith("accuracy"))
    assert "in the run" not in line  # which measured something else


def test_html(unlabelled: Metrics, metrics: Metrics) -> None:
    page = render_html(unlabelled)
    assert ">Agreement<" in page
    assert ">Accuracy<" not in page
    assert ">Agreement lost<" in page
    usual = render_html(metrics)
    assert ">Accuracy<" in usual
    assert ">Accuracy lost<" in usual
    assert ">Agreement<" not in usual


def test_sweep(unlabelled: Metrics) -> None:
    text = printed(lambda console: print_sweep([unlabelled], console))
    assert "agreement" in text
    assert "accuracy" not in text
    page = render_sweep([unlabelled])
    assert "Agreement against bits" in page
    assert "ccuracy" not in page


def test_json_names_the_metric_where_it_is_not_the_usual(
    unlabelled: Metrics, metrics: Metrics
) -> None:
    assert unlabelled.model_dump(mode="json")["metric"] == "agreement"
    assert "metric" not in metrics.model_dump(mode="json")
    assert Metrics.model_validate_json(unlabelled.model_dump_json()) == unlabelled
