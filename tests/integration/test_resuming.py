"""What `--resume` goes on with, and what it refuses."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from actpress.errors import BudgetError, CalibrationError, ModelError, PlanError
from actpress.methods import METHODS, Job, Outcome
from tests.integration.test_cli import (
    DATA,
    MODEL,
    QUICK,
    artefacts,
    compress,
    draw_images,
    invoke,
    message,
)
from tests.integration.test_cli import folder as working_folder

folder = working_folder

Stop = Callable[[BaseException | Callable[[], object]], None]


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """Lets GDR end in an error once it has found its plan, the next time that it runs.

    Or something else happens then, and it goes on.
    """
    gdr = METHODS["gdr"]

    def stop_by(error: BaseException | Callable[[], object]) -> None:
        def stopped(job: Job) -> Outcome:
            outcome = gdr(job)
            monkeypatch.setitem(METHODS, "gdr", gdr)
            if isinstance(error, BaseException):
                raise error
            error()
            return outcome

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


def test_an_image_that_breaks_at_the_end_loses_no_work(folder: Path, stop: Stop) -> None:
    image = draw_images(folder)
    content = image.read_bytes()
    data = ("--data", "imagefolder:photos", "--input", "1x8x8")
    common = ("compress", *MODEL, *data, *QUICK, *GDR, "--budget", "4bits", "--out")
    assert invoke(*common, "whole").exit_code == 0
    stop(lambda: image.write_bytes(content[:60]))
    failed = invoke(*common, "run")
    said = message(failed)
    assert "run.partial; mend what follows, then --resume goes on error: cannot read" in said
    assert "photos/test/class1/0.png" in said
    search = (folder / "run.partial" / "search.json").read_bytes()
    assert "cannot read the image" in message(invoke(*common, "run", "--resume"))
    assert (folder / "run.partial" / "search.json").read_bytes() == search
    image.write_bytes(content)
    assert invoke(*common, "run", "--resume").exit_code == 0
    assert artefacts(folder / "run") == artefacts(folder / "whole")


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (ModelError("the output for image 3 is NaN"), True),
        (CalibrationError("not finite"), True),
        (OSError(28, "No space left on device", "tune.pt"), True),
        (BudgetError("too little"), False),
        (PlanError("other"), False),
    ],
)
def test_what_another_request_mends_leaves_nothing(
    folder: Path, stop: Stop, error: Exception, *, kept: bool
) -> None:
    stop(error)
    assert message(compress(*GDR))
    assert (folder / "run.partial" / "search.json").exists() is kept
    assert compress(*GDR, *(["--resume"] if kept else [])).exit_code == 0


def test_a_broken_image_is_met_before_anything_is_written(folder: Path) -> None:
    image = draw_images(folder)
    image.write_bytes(image.read_bytes()[:60])
    data = ("--data", "imagefolder:photos", "--input", "1x8x8")
    result = invoke("compress", *MODEL, *data, *QUICK, *GDR, "--out", "run")
    assert "cannot read the image photos/test/class1/0.png" in message(result)
    assert not list(folder.glob("run*"))
