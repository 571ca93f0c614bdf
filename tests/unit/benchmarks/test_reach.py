"""The table of networks that are captured: its rows, its limit of time, its verdicts."""

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from actpress.graph import capture
from benchmarks import reach, reach_page
from benchmarks.reach import compressed, in_a_process, is_identical, measured
from benchmarks.reach_networks import Network, all_networks
from benchmarks.reach_page import judged, page, read_rows


class Branch(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x if x.sum() > 0 else -x


SMALL = Network("small", "own", lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU()), (4,))


def test_networks_are_many_and_have_names_of_their_own() -> None:
    names = Counter(network.name for network in all_networks())

    assert len(names) >= reach_page.NETWORKS
    assert max(names.values()) == 1


@pytest.mark.parametrize("network", [each for each in all_networks() if "Tiny" in each.source])
def test_the_shapes_of_mlperf_tiny_run(network: Network) -> None:
    model, x = network.build().eval(), torch.randn(2, *network.shape)

    assert is_identical(model, capture(model, x), x)


def test_a_network_has_a_row_even_where_it_fails() -> None:
    assert in_a_process(SMALL, measured, 60)["identical"] is True
    refused = in_a_process(replace(SMALL, build=lambda: Branch(nn.Linear(4, 4))), measured, 60)
    assert refused["captured"] is None
    assert "nor can torch.export" in refused["refused"]
    slow = in_a_process(replace(SMALL, build=lambda: time.sleep(60)), measured, 0.1)
    assert slow["refused"] == "not done after 0.1 s"
    dead = in_a_process(replace(SMALL, build=lambda: int("x")), measured, 60)
    assert dead["refused"] == "the process ended with 1"


def test_a_network_of_any_output_is_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv1d(2, 8, 3), nn.Conv1d(8, 2, 3)

        def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
            x = self.a(x).relu()
            return {"out": [self.b(x), x]}

    network = Network("two", "own", Two, (2, 16))
    assert compressed(network)["compressed"] is True
    few = compressed(replace(SMALL, build=lambda: nn.Sequential(nn.Linear(4, 4))))
    assert (few["compressed"], "nothing to compress" in few["refused"]) == (False, True)

    monkeypatch.setattr(reach, "RESULTS", tmp_path / "reach.json")
    monkeypatch.setattr(reach_page, "PAGE", tmp_path / "reach.md")
    monkeypatch.setattr(reach, "all_networks", lambda: [network, SMALL])
    monkeypatch.setattr(reach, "in_a_process", lambda each, measure, limit_s: measure(each))
    rows = [
        reach._row(network, captured="fx", identical=True),
        reach._row(SMALL, captured="fx", identical=True, refused="at /x/site-packages/y.py:1 (z)"),
    ]
    reach_page.write_page(rows, reach.RESULTS)
    reach.compress_named(["t*"], 120)
    first, second = read_rows(reach.RESULTS)
    assert (first["compressed"], second["compressed"]) == (True, None)
    assert first["compress_s"] > 0
    assert read_rows(reach.RESULTS)[1]["refused"] == "at y.py:1 (z)"


def test_a_network_that_takes_too_long_is_tried_again_with_more_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = []

    def slow(network: Network, _: object, limit_s: float) -> dict[str, object]:
        limits.append(limit_s)
        return reach._row(network, refused=reach.unfinished(limit_s))

    monkeypatch.setattr(reach, "RESULTS", tmp_path / "reach.json")
    monkeypatch.setattr(reach_page, "PAGE", tmp_path / "reach.md")
    monkeypatch.setattr(reach, "all_networks", lambda: [SMALL])
    monkeypatch.setattr(reach, "in_a_process", slow)
    reach_page.write_page([reach._row(SMALL, captured="fx", identical=True)], reach.RESULTS)
    for limit_s in (60, 60, 90):
        reach.compress_named(["small"], limit_s)
    (row,) = read_rows(reach.RESULTS)

    assert limits == [60, 90]
    assert (row["compressed"], row["refused"]) == (None, None)
    assert "| not in 90 s |" in (tmp_path / "reach.md").read_text()


def test_what_differs_is_not_identical() -> None:
    model, x = SMALL.build(), torch.randn(2, 4)
    graph = capture(model, x)

    assert is_identical(model, graph, x)
    model[0].bias.data[0] += 1
    assert not is_identical(model, graph, x.abs())


def test_rows_are_kept_and_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, seen = tmp_path / "reach.json", []
    monkeypatch.setattr(reach, "RESULTS", results)
    monkeypatch.setattr(reach_page, "PAGE", tmp_path / "reach.md")
    monkeypatch.setattr(reach, "all_networks", lambda: [SMALL, replace(SMALL, name="other")])
    monkeypatch.setattr("sys.argv", ["reach"])

    def row(network: Network, *_: object) -> dict[str, object]:
        seen.append(network.name)
        return reach._row(network, captured="fx", identical=True, sites=1, seconds=1.0)

    monkeypatch.setattr(reach, "in_a_process", row)
    reach.main()
    reach.main()

    assert seen == ["small", "other"]
    assert [each["network"] for each in read_rows(results)] == seen
    assert "| small | 4 | fx | yes | - | 1 | 1.0 |" in (tmp_path / "reach.md").read_text()


def test_targets_are_judged() -> None:
    good = reach._row(SMALL, captured="export", identical=True, compressed=True, seconds=1.0)
    bad = reach._row(SMALL, refused="at line 3")

    assert [t["met"] for t in judged([good] * 120)] == [True, True, True]
    assert [t["met"] for t in judged([good] * 96 + [bad] * 4)] == [False, False, True]
    slow = {**good, "network": f"{reach_page.TIMED} exported", "seconds": 15.1}
    (timed,) = (t for t in judged([slow]) if "at 224" in t["what"])
    assert (timed["measured"], timed["met"]) == ("15.1 s", False)
    text = page([good, bad], list(judged([good, bad])))
    assert "- `small` (own): at line 3" in text
    assert "1 of 2 (50.0%) | **no** |" in text


def test_the_page_is_that_of_the_rows() -> None:
    rows = read_rows(reach.RESULTS)
    if not rows:
        pytest.skip("no rows yet")
    stored = json.loads(reach.RESULTS.read_text())

    assert stored["targets"] == list(judged(rows))
    assert reach_page.PAGE.read_text() == page(rows, stored["targets"])


def test_what_was_not_done_in_time_was_tried() -> None:
    own = {"network": "a", "captured": "fx", "identical": True, "seconds": 1.0, "source": "timm"}
    rows = [own | {"compressed": True}, own | {"compressed": None, "unfinished_s": 400.0}]
    target = next(t for t in judged(rows) if t["what"].startswith("compressed"))
    assert target["measured"] == "1 of 2; 1 were not done in the time that they were given"
    assert not target["met"]
    assert all(not t["what"].startswith("compressed") for t in judged([own | {"compressed": None}]))
