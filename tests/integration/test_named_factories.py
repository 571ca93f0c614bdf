"""Runs that name their factories: from Python, with tasks, and with workers."""

import json
import sys
from pathlib import Path

import pytest
import torch

import actpress
from actpress.budget import Budget
from actpress.errors import DataError, ModelError, RunError, TaskError
from actpress.factories import call_factory
from actpress.methods import Settings
from actpress.preparation import Preparation
from actpress.run import LOCK, locked
from actpress.tasks import Segmentation
from tests.integration.test_cli import MODEL, QUICK, artefacts, compress, invoke, message
from tests.integration.test_cli import folder as working_folder

folder = working_folder

SMALL = Settings(calibration_images=64, search_images=16, decoder_images=0)

SEGMENTS = """
from actpress.tasks import Segmentation

class Pixels(torch.utils.data.Dataset):
    def __len__(self):
        return 60

    def __getitem__(self, index):
        image = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(index))
        return image, (image[0] > 0).long()


def pixels():
    return Pixels()


def own_task():
    return Segmentation(classes=2, ignored=7)


class Asserting(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = dense()

    def forward(self, x):
        assert x.shape[1] == 1
        return self.net(x)


def asserting():
    return Asserting()


def dense():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1),
                         nn.ReLU(), nn.Conv2d(6, 2, 1))
"""


OTHERS = """
from actpress.tasks import Regression

def levels():
    x = torch.randn(24, 1, 8, 8)
    part = Split.in_memory(x, x.mean((1, 2, 3))[:, None])
    return Dataset("levels", part, part, part, 0, Regression())


def other_activation():
    return nn.Sequential(*(nn.SiLU() if isinstance(m, nn.ReLU) else m for m in network()))
"""


def result_of(folder: Path | None = None) -> actpress.Result:
    network = call_factory("toy:network", error=ModelError)
    data = actpress.load_dataset("toy:images")
    return actpress.compress(
        network, data, method="gdr", budget="2.5bits", settings=SMALL, folder=folder
    )


def test_a_result_that_names_its_factory_is_evaluated(folder: Path) -> None:
    result = result_of()
    result.save("run", model="toy:network", model_args={"channels": 6}, data="toy:images")
    evaluated = invoke("evaluate", "run", "--json", "again.json")
    assert evaluated.exit_code == 0, evaluated.output
    again = json.loads((folder / "again.json").read_text())
    assert again["accuracy"] == result.metrics.accuracy
    assert result.source.model == "Sequential"


def test_data_that_were_opened_by_name_need_no_name_again(folder: Path) -> None:
    result_of().save("run", model="toy:network")
    assert json.loads((folder / "run" / "run.json").read_text())["data"] == "toy:images"
    for command in (
        ("evaluate", "run"),
        ("report", "run"),
        ("export", "run", "--to", "c", "--out", "exported"),
        ("ram", "run"),
    ):
        done = invoke(*command)
        assert done.exit_code == 0, done.output
    assert (folder / "exported").is_dir()


def test_names_that_do_not_open_are_refused_before_anything_is_written(folder: Path) -> None:
    (folder / "toy.py").write_text((folder / "toy.py").read_text() + OTHERS)
    sys.modules.pop("toy", None)
    result = result_of()
    for data, kind, told in (
        ("pictures", DataError, "there is no data set 'pictures'; expected fashion-mnist"),
        ("toy:absent", DataError, "toy has no 'absent'"),
        ("toy:colours", DataError, "images of toy:colours are 3x8x8, but the network's input is 1"),
        ("toy:network", DataError, "toy:network returned a Sequential; expected an actpress"),
        ("toy:levels", RunError, "task of toy:levels is regression, but .* for classification"),
    ):
        with pytest.raises(kind, match=told):
            result.save("run", model="toy:network", data=data)
    with pytest.raises(DataError, match="preparation= says how data are opened; name them with"):
        result.save("run", model="toy:network", preparation=Preparation(task="segmentation:4"))
    with pytest.raises(TaskError, match="there is no task 'magic'"):
        result.save("run", data="toy:images", preparation=Preparation(task="magic"))
    with pytest.raises(RunError, match="has the weights of Sequential, but computes something"):
        result.save("run", model="toy:other_activation")
    assert not list(folder.glob("*run*"))


@pytest.mark.filterwarnings("ignore:.*set apart")
def test_a_task_given_in_python_is_remembered(folder: Path) -> None:
    (folder / "toy.py").write_text((folder / "toy.py").read_text() + SEGMENTS)
    sys.modules.pop("toy", None)
    network = call_factory("toy:dense", error=ModelError)
    pixels = call_factory("toy:pixels", error=ModelError)
    budget = Budget.parse("3bits", batch=1000)
    few = Settings(calibration_images=16, search_images=4, decoder_images=0)
    task = actpress.tasks.Segmentation(classes=2)
    result = actpress.compress(
        network, pixels, task=task, method="gdr", budget=budget, settings=few
    )
    result.save("unnamed", model="toy:dense")
    result.save("run", model="toy:dense", data="toy:pixels")

    for options in (("run",), ("unnamed", "--data", "toy:pixels")):
        evaluated = invoke("evaluate", *options, "--json", "again.json")
        assert evaluated.exit_code == 0, evaluated.output
        again = json.loads((folder / "again.json").read_text())
        assert again["quality"] == result.metrics.model_dump(mode="json")["quality"]
    told = message(invoke("evaluate", "unnamed"))
    assert "names the data 'Pixels', but not how to open them; give --data" in told

    own = Segmentation(classes=2, ignored=7)
    result = actpress.compress(network, pixels, task=own, method="gdr", budget=budget, settings=few)
    with pytest.raises(DataError, match=r"without its task, segmentation, .*; name the task with"):
        result.save("own", model="toy:dense", data="toy:pixels")
    named = Preparation(task="toy:own_task")
    result.save("own", model="toy:dense", data="toy:pixels", preparation=named)
    evaluated = invoke("evaluate", "own")
    assert evaluated.exit_code == 0, evaluated.output


@pytest.mark.filterwarnings("ignore:.*set apart")
def test_a_run_for_any_size_takes_other_sizes(folder: Path) -> None:
    (folder / "toy.py").write_text((folder / "toy.py").read_text() + SEGMENTS)
    (folder / "press.toml").write_text(
        'model = "toy:asserting"\ndata = "toy:pixels"\ntask = "segmentation:2"\nany-size = true\n'
        'method = "gdr"\nbudget = "3bits"\nbatch = 1000\n'
    )
    sys.modules.pop("toy", None)
    done = invoke("compress", "--config", "press.toml", *QUICK, "--out", "run")
    assert done.exit_code == 0, done.output
    assert json.loads((folder / "run" / "run.json").read_text())["any_size"] is True
    network = call_factory("toy:asserting", error=ModelError)
    pressed = actpress.load_run("run", network)
    for size in ((8, 8), (12, 20), (30, 10)):
        x = torch.randn(2, 1, *size)
        output = pressed(x)
        assert output.shape == (2, 2, *size)
        assert (output.argmax(1) == network(x).argmax(1)).float().mean() > 0.8
    assert invoke("evaluate", "run").exit_code == 0
    inspected = ("inspect", "--model", "toy:network", "--input", "1x8x8", "--any-size")
    assert invoke(*inspected).exit_code == 0
    fixed = ("inspect", "--model", "toy:no_sites", "--input", "1x8x8", "--any-size")
    assert "the network itself takes no other size" in message(invoke(*fixed))


def test_checkpoints_are_locked_from_python_too(folder: Path) -> None:
    with locked(folder / "work"), pytest.raises(RunError, match="another command is at work in"):
        result_of(folder / "work")
    assert result_of(folder / "work").source.data == "toy:images"
    assert not (folder / "work" / LOCK).exists()


def test_a_factory_of_another_network_is_refused(folder: Path) -> None:
    result = result_of()
    with pytest.raises(RunError, match="the weights of Sequential are not those"):
        result.save("run", model="toy:network", model_args={"channels": 8})
    with pytest.raises(ModelError, match="toy has no 'nothing'"):
        result.save("run", model="toy:nothing")
    assert not (folder / "run").exists()


@pytest.mark.filterwarnings("ignore:.*set apart")
def test_a_task_is_named_on_the_command_line_and_remembered(folder: Path) -> None:
    (folder / "toy.py").write_text((folder / "toy.py").read_text() + SEGMENTS)
    sys.modules.pop("toy", None)
    data = ("--model", "toy:dense", "--data", "toy:pixels", "--task", "segmentation:2")
    quick = (*QUICK, "--method", "gdr", "--budget", "3bits", "--batch", "1000")
    result = invoke("compress", *data, *quick, "--out", "run")
    assert result.exit_code == 0, result.output
    assert "mean IoU" in result.stdout
    first = json.loads((folder / "run" / "metrics.json").read_text())
    result = invoke("evaluate", "run", "--json", "again.json")
    assert result.exit_code == 0, result.output
    assert json.loads((folder / "again.json").read_text())["quality"] == first["quality"]
    wrong = invoke("compress", *data[:-1], "magic", *quick, "--out", "other")
    assert "there is no task 'magic'" in message(wrong)


def test_workers_change_nothing(folder: Path) -> None:
    options = ("--method", "cap")
    assert compress(*options, out="plain").exit_code == 0
    result = compress(*options, "--workers", "3", out="ahead")
    assert result.exit_code == 0, result.output
    assert artefacts(folder / "ahead") == artefacts(folder / "plain")


@pytest.mark.usefixtures("folder")
def test_a_network_without_a_configuration_needs_numbers() -> None:
    data = ("--data", "imagefolder:photos", "--input", "1x8x8", "--mean", "model")
    told = message(invoke("compress", *MODEL, *data, "--out", "run"))
    assert "toy:network says nothing of how its images are normalised" in told
    for command in ("compress", "sweep"):
        for mean, std in (("model", "0.5"), ("0.5", "model"), ("model", "model")):
            options = ("--mean", mean, "--std", std, "--out", "run")
            told = message(invoke(command, *MODEL, "--data", "imagefolder:photos", *options))
            assert f"--mean {mean} --std {std}: --mean model takes both mean and std" in told
