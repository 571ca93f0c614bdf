"""What goes wrong outside of actpress gets one clear line and exit code 2."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from actpress.cli import loaded
from actpress.cli.beginning import device_of
from actpress.errors import RunError, is_out_of_memory
from tests.integration.test_cli import DATA, MODEL, compress, invoke, message
from tests.integration.test_cli import folder as working_folder
from tests.unit.tune.test_checkpoint import files_up_to

folder = working_folder

HUGE = str(1 << 63)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--device", "meta"), "--device meta cannot be used here: Cannot copy out of meta tensor"),
        (("--device", "cuda:77"), "--device cuda:77 cannot be used here"),
        (("--device", ""), "--device cannot be used here"),
        (("--batch", HUGE), f"a batch of {HUGE} images makes no sense; give 1 to 1,048,576"),
        (("--seed", HUGE), "--seed"),
        (("--out", "loop"), "loop is a link that leads to itself"),
        (("--model", "sys:exit"), "sys:exit raised SystemExit"),
        (("--model", "builtins:exit"), "builtins:exit raised SystemExit"),
        (("--model", "os:nothing"), "os has no 'nothing'"),
    ],
)
def test_slips_of_compress(folder: Path, arguments: Sequence[str], told: str) -> None:
    (folder / "loop").symlink_to("loop")
    said = message(compress("--method", "int8", *arguments))
    assert told in said
    assert "Traceback" not in said
    assert not (folder / "run").exists()


@pytest.mark.usefixtures("folder")
def test_slips_of_other_commands() -> None:
    assert compress("--method", "int8").exit_code == 0
    assert "--batch" in message(invoke("evaluate", "run", "--batch", HUGE))
    assert "--device meta cannot be used here" in message(
        invoke("evaluate", "run", "--device", "meta")
    )
    assert invoke("evaluate", "run", "--batch", str(1 << 20)).exit_code == 0
    inspect = ("inspect", "--input", "1x8x8", "--model")
    assert "sys:exit raised SystemExit" in message(invoke(*inspect, "sys:exit"))
    huge = invoke("inspect", *MODEL, "--input", "3x99999x99999")
    assert "an input of 3x99999x99999 has 29,999,400,003 values, expected at most" in message(huge)
    result = invoke("sweep", *MODEL, *DATA, "--out", "s", "--budgets", "2x", "--batch", HUGE)
    assert "makes no sense" in message(result)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("option", ["--batch-size", "--calibration-images", "--search-images"])
def test_more_images_than_there_are_mean_all(option: str) -> None:
    assert compress("--method", "int8", option, HUGE).exit_code == 0


def test_a_full_disk_is_told_with_the_path(folder: Path) -> None:
    with files_up_to(300):
        assert "error: File too large: " in (said := message(compress("--method", "int8")))
    assert "None" not in said
    assert f"{folder}/run.partial" in said
    assert compress("--method", "int8", "--force").exit_code == 0
    with files_up_to(10):
        said = message(invoke("evaluate", "run", "--json", "out.json"))
    assert f"error: File too large: {folder}/out.json; check the path" in said
    assert not (folder / "out.json").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "not enough memory: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tri",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "not enough memory: CUDA out of"),
        (MemoryError(), "not enough memory: MemoryError"),
        (BrokenPipeError(32, "Broken pipe"), "error: Broken pipe"),
        (OSError("odd"), "error: odd"),
    ],
)
def test_short_memory_and_errors_without_a_file_are_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(loaded, "inspect", fail)
    said = message(invoke("inspect", *MODEL, "--input", "1x8x8"))
    assert told in said
    assert "None" not in said


@pytest.mark.usefixtures("folder")
def test_a_fault_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(loaded, "inspect", fail)
    result = invoke("inspect", *MODEL, "--input", "1x8x8")
    assert result.exit_code == 1
    assert isinstance(result.exception, RuntimeError)
    assert not is_out_of_memory(result.exception)


def test_a_device_is_one_that_holds_numbers() -> None:
    assert device_of("cpu") == torch.device("cpu")
    with pytest.raises(RunError, match=r"--device abacus cannot be used here: .*; try cpu"):
        device_of("abacus")
