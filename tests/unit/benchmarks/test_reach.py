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
from benchmarks.reach import in_a_process, is_identical
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
    assert in_a_process(SMALL, 60)["identical"] is True
    refused = in_a_process(replace(SMALL, build=lambda: Branch(nn.Linear(4, 4))), 60)
    assert refused["captured"] is None
    assert "nor can torch.export" in refused["refused"]
    slow = in_a_process(replace(SMALL, build=lambda: time.sleep(60)), 0.1)
    assert slow["refused"] == "not done after 0.1 s"
    dead = in_a_process(replace(SMALL, build=lambda: int("x")), 60)
    assert dead["refused"] == "the process ended with 1"


def test_what_differs_is_not_identical() -> None:
    model, x = SMALL.build(), torch.randn(2, 4)
    graph = capture(model, x)

    assert is_identical(model, graph, x)
    model[0].bias.data[0] += 1
    assert not is_identical(model, graph, x.abs())


def test_rows_are_kept_and_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, measured = tmp_path / "reach.json", []
    monkeypatch.setattr(reach, "RESULTS", results)
    monkeypatch.setattr(reach_page, "PAGE", tmp_path / "reach.md")
    monkeypatch.setattr(reach, "all_networks", lambda: [SMALL, replace(SMALL, name="other")])
    monkeypatch.setattr("sys.argv", ["reach"])

    def row(network: Network, _: float) -> dict[str, object]:
        measured.append(network.name)
        return reach._row(network, captured="fx", identical=True, sites=1, seconds=1.0)

    monkeypatch.setattr(reach, "in_a_process", row)
    reach.main()
    reach.main()

    assert measured == ["small", "other"]
    assert [each["network"] for each in read_rows(results)] == measured
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
