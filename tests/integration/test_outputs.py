"""Every path that a command writes to may be a link, and none may be a device or a loop."""

import json
import os
import stat
from pathlib import Path

import pytest

from tests.integration.test_cli import DATA, MODEL, compress, invoke, message
from tests.integration.test_cli import folder as working_folder
from tests.unit.test_files import reading

folder = working_folder


@pytest.fixture
def run(folder: Path) -> Path:
    assert compress("--method", "int8").exit_code == 0
    return folder / "run"


def test_metrics_go_into_a_pipe_and_through_a_link(run: Path) -> None:
    folder = run.parent
    os.mkfifo(folder / "pipe")
    with reading(folder / "pipe") as found:
        assert invoke("evaluate", "run", "--json", "pipe").exit_code == 0
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)
    (folder / "real.json").write_text("old")
    (folder / "link.json").symlink_to("real.json")
    assert invoke("evaluate", "run", "--json", "link.json").exit_code == 0
    assert (folder / "link.json").is_symlink()
    written = json.loads((run / "metrics.json").read_text())["accuracy"]
    assert json.loads(found[0])["accuracy"] == written
    assert json.loads((folder / "real.json").read_text())["accuracy"] == written


def test_a_report_and_the_files_of_a_sweep_follow_links(run: Path) -> None:
    folder = run.parent
    (run / "report.html").rename(folder / "page.html")
    (folder / "page.html").write_text("old")
    (run / "report.html").symlink_to("../page.html")
    assert invoke("report", "run").exit_code == 0
    assert (run / "report.html").is_symlink()
    assert "</html>" in (folder / "page.html").read_text()

    (folder / "sweep").symlink_to("runs")
    sweep = ("sweep", *MODEL, *DATA, "--methods", "int8", "--out", "sweep")
    assert invoke(*sweep).exit_code == 0
    assert (folder / "sweep").is_symlink()
    (folder / "runs" / "sweep.csv").unlink()
    (folder / "runs" / "sweep.csv").symlink_to("../table.csv")
    assert invoke(*sweep).exit_code == 0
    assert (folder / "table.csv").read_text().startswith("method,")


def test_no_command_writes_to_a_loop_or_a_pipe(run: Path) -> None:
    folder = run.parent
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    (folder / "photo.npy").write_bytes(b"")
    before = sorted(path.name for path in folder.iterdir())
    sweep = ("sweep", *MODEL, *DATA, "--methods", "int8", "--out")
    for command in (
        lambda out: compress("--method", "int8", out=out),
        lambda out: compress("--method", "int8", "--force", out=out),
        lambda out: compress("--method", "int8", "--resume", out=out),
        lambda out: invoke(*sweep, out),
        lambda out: invoke("split", "run", "--at", "4", "--out", out),
        lambda out: invoke("decode", "run", "photo.npy", out),
        lambda out: invoke("export", "run", "--to", "onnx", "--out", out),
    ):
        assert "error: " in message(command("pipe"))
        assert "loop is a link that leads to itself; choose another name" in message(
            command("loop")
        )
    assert "leads to itself" in message(invoke("evaluate", "run", "--json", "loop"))
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)
    assert sorted(path.name for path in folder.iterdir()) == before
