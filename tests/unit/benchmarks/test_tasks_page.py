"""How rows of `make bench-tasks` are judged."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import tasks_page
from benchmarks.tasks_page import judged, write_page

Row = dict[str, Any]


def row(**changes: object) -> Row:
    made: Row = {
        "network": "unet",
        "method": "gdr",
        "labels": True,
        "metric": "mean IoU",
        "unit": "%",
        "before": 0.71,
        "after": 0.705,
        "lost": 0.5,
        "lost_error": 0.2,
        "net_ratio_batch1": 4.02,
        "seconds": 12.0,
        "environment": {"commit": "abc"},
    }
    return made | changes


def test_the_best_method_is_judged_in_the_unit_of_the_metric() -> None:
    decibels = row(network="super_resolution", metric="PSNR", unit="dB", before=26.0, after=25.6)
    found = list(judged([row(lost=1.2), row(method="cap"), decibels | {"lost": 0.4}]))
    assert [target["met"] for target in found] == [True, False]
    assert found[0]["measured"] == "0.50 points of IoU lost with cap, net 4.02x"
    assert found[1]["measured"] == "0.40 dB lost with gdr, net 4.02x"
    (short,) = judged([row(net_ratio_batch1=3.0)])
    assert not short["met"]


def test_labels_are_compared_where_both_rows_are_there() -> None:
    rows = [row(network="resnet18", after=0.92, labels=True)]
    assert list(judged(rows)) == []
    (target,) = judged([*rows, row(network="resnet18", after=0.918, labels=False)])
    assert target["measured"] == "-0.20 points"
    assert not target["met"]


def test_every_kind_has_to_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_page, "PAGE", tmp_path / "page.md")
    kind: Row = {"rank": "(n, c)", "task": "regression", "seconds": 2.0} | {
        "environment": {"commit": "abc"}
    }
    whole = kind | {"finished": True, "refused": None, "bits_per_value": 2.9}
    refused = kind | {"finished": False, "refused": "no"}
    write_page([], tmp_path / "tasks.json", [whole, refused])
    found = json.loads((tmp_path / "tasks.json").read_text())
    assert found["finishes"] == [whole, refused]
    (target,) = found["targets"]
    assert (target["measured"], target["met"]) == ("1 of 2", False)
    assert "| (n, c) | regression | yes | 2.90 | 2 |" in (tmp_path / "page.md").read_text()


def test_the_page_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_page, "PAGE", tmp_path / "page.md")
    write_page([row()], tmp_path / "tasks.json")
    written = (tmp_path / "page.md").read_text()
    assert "| U-Net | gdr | with | mean IoU | 71.00 % | 70.50 % | 0.50 ± 0.20 points |" in written
    assert "Not measured yet: super-resolution, ResNet18" in written
    assert json.loads((tmp_path / "tasks.json").read_text())["targets"][0]["met"]
