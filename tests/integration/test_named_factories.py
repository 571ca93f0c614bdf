"""Runs that name their factories: from Python, with tasks, and with workers."""

import json
import sys
from pathlib import Path

import pytest

import actpress
from actpress.errors import ModelError, RunError
from actpress.factories import call_factory
from actpress.methods import Settings
from tests.integration.test_cli import MODEL, QUICK, artefacts, compress, invoke, message
from tests.integration.test_cli import folder as working_folder

folder = working_folder

SMALL = Settings(calibration_images=64, search_images=16, decoder_images=0)

SEGMENTS = """

class Pixels(torch.utils.data.Dataset):
    def __len__(self):
        return 60

    def __getitem__(self, index):
        image = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(index))
        return image, (image[0] > 0).long()


def pixels():
    return Pixels()


def dense():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1),
                         nn.ReLU(), nn.Conv2d(6, 2, 1))
"""


def result_of() -> actpress.Result:
    network = call_factory("toy:network", error=ModelError)
    data = actpress.load_dataset("toy:images")
    return actpress.compress(network, data, method="gdr", budget="2.5bits", settings=SMALL)


def test_a_result_that_names_its_factory_is_evaluated(folder: Path) -> None:
    result = result_of()
    result.save("run", model="toy:network", model_args={"channels": 6}, data="toy:images")
    evaluated = invoke("evaluate", "run", "--json", "again.json")
    assert evaluated.exit_code == 0, evaluated.output
    again = json.loads((folder / "again.json").read_text())
    assert again["accuracy"] == result.metrics.accuracy
    assert result.source.model == "Sequential"


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
