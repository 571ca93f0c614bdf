"""What `--resume` goes on with, and what it refuses."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from actpress.methods import METHODS, Job, Outcome
from tests.integration.test_cli import DATA, MODEL, QUICK, compress, invoke, message
from tests.integration.test_cli import folder as working_folder

folder = working_folder

Stop = Callable[[BaseException], None]


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """Lets GDR end in an error once it has found its plan, the next time that it runs."""
    gdr = METHODS["gdr"]

    def stop_by(error: BaseException) -> None:
        def stopped(job: Job) -> Outcome:
            gdr(job)
            monkeypatch.setitem(METHODS, "gdr", gdr)
            raise error

        monkeypatch.setitem(METHODS, "gdr", stopped)

    return stop_by


def edit(folder: Path, before: str, after: str) -> None:
    """Change the user's module."""
    text = (folder / "toy.py").read_text()
    assert before in text
    (folder / "toy.py").write_text(text.replace(before, after))
    sys.modules.pop("toy")


GDR = ("--method", "gdr")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("split(384, 1)", "split(384, 4)", "the images of the train split are others"),
        ("split(32, 2)", "split(32, 4)", "the images of the holdout split are others"),
        ("split(40, 3)", "split(40, 4)", "the images of the test split are others"),
        ("seed(0)", "seed(1)", "the network's weights are others"),
    ],
)
def test_other_inputs_are_refused_in_one_line(
    folder: Path, stop: Stop, before: str, after: str, told: str
) -> None:
    stop(KeyboardInterrupt())
    assert compress(*GDR).exit_code == 130
    edit(folder, before, after)
    refused = compress(*GDR, "--resume")
    assert f"run.partial was begun with another request: {told} than before; resume" in (
        message(refused)
    )
    assert refused.stderr.splitlines()[-1].startswith("error: ")
    edit(folder, after, before)
    assert compress(*GDR, "--resume").exit_code == 0
    edit(folder, before, after)
    assert f"but another request made it: {told} than before" in message(compress(*GDR, "--resume"))


def test_a_sweep_does_not_go_on_with_other_images(folder: Path) -> None:
    common = (*MODEL, *DATA, *QUICK, "--methods", "int8", "--budgets", "2bits", "--out", "sweep")
    assert invoke("sweep", *common).exit_code == 0
    edit(folder, "split(384, 1)", "split(384, 4)")
    told = "holds a sweep of another request: the images of the train split are others"
    assert told in message(invoke("sweep", *common))


def test_weights_of_a_file_that_was_written_again_are_refused(folder: Path, stop: Stop) -> None:
    from actpress.cli.sources import load_model  # noqa: PLC0415 - the working folder is set now

    state = load_model("toy:network").state_dict()
    torch.save(state, folder / "net.pt")
    weights = ("--weights", "net.pt")
    stop(KeyboardInterrupt())
    assert compress(*GDR, *weights).exit_code == 130
    torch.save(state | {"7.bias": state["7.bias"] + 1}, folder / "net.pt")
    assert "the network's weights are others" in message(compress(*GDR, *weights, "--resume"))


def test_other_settings_are_told_without_the_images_that_follow_from_them(
    folder: Path, stop: Stop
) -> None:
    stop(KeyboardInterrupt())
    assert compress(*GDR, "--steps", "4").exit_code == 130
    said = message(compress(*GDR, "--steps", "5", "--memory", "ddr3", "--resume"))
    assert "another request: settings.tune.steps was 4, is 5; memory was lpddr4, is ddr3;" in said
    assert (folder / "run.partial" / "search.json").exists()
