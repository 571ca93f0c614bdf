"""What a user's own data, metric, rules and network can have wrong: one clear line each."""

import re
import sys
from pathlib import Path

import pytest

from tests.integration.test_cli import folder as working_folder
from tests.integration.test_cli import invoke

folder = working_folder

OWN = """

from actpress.tasks import Custom, Metric
from torch.utils.data import DataLoader


def nan(outputs, targets):
    return float("nan")


def broken_metric():
    return Custom(lambda outputs, targets: targets["boxes"], Metric("mAP"))


def nan_metric():
    return Custom(nan, Metric("mAP"))


class Items(torch.utils.data.Dataset):
    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 60

    def __getitem__(self, index):
        image = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(index))
        return self.item(index, image)


def labelled():
    return Items(lambda index, image: (image, index % 3))


def changing():
    return DataLoader(Items(lambda index, image: (image, index % 3) if index < 50 else image))


def growing():
    return DataLoader(Items(lambda index, image: (image[:, : 8 if index < 50 else 7], index % 3)))


def odd_targets():
    return Items(lambda index, image: (image, torch.zeros(4, 4, dtype=torch.int64)))


def late_targets():
    return Items(lambda index, image: (image, torch.zeros((2,) if index < 50 else (3,))))


def maps():
    return Items(lambda index, image: (image, torch.zeros(1, 8, 8)))


def alone():
    return Items(lambda index, image: image)
"""

RULES = '[[rules]]\nsites = "layer9.*"\nwhat = "leave"\n'


@pytest.mark.filterwarnings("ignore:.*set apart")
@pytest.mark.parametrize(
    ("data", "options", "told"),
    [
        ("changing", (), r"item \d+ of train is a Tensor, item \d+ is a tuple of 2; expected one"),
        ("growing", (), "cannot be made one batch: RuntimeError: stack expects each tensor"),
        ("odd_targets", (), r"labels of items .* are torch.int64 of shape .*; expected class"),
        ("odd_targets", ("--task", "segmentation:3"), "network returns .*; expected logits"),
        ("late_targets", ("--task", "regression"), "cannot be made one batch: RuntimeError"),
        ("maps", ("--task", "regression"), r"labels of .* \(1, 1, 8, 8\); expected numbers"),
        ("labelled", ("--task", "toy:broken_metric"), "metric 'mAP' raises"),
        ("labelled", ("--task", "toy:nan_metric"), "metric 'mAP' returns nan; expected a finite"),
        ("labelled", ("--config", "rules.toml"), r"sites 'layer9\.\*', matches no site"),
        ("alone", ("--budget", "0.5pp"), "no labels, so a drop of accuracy .* ask for bits or a"),
        (
            "labelled",
            ("--capture", "export", "--model-args", '{"shape_dependent": true}'),
            r"torch\.export cannot capture .*toy\.py:\d+ \(if x\.sum\(\) > 0:  # the line",
        ),
    ],
)
def test_one_line_says_what_is_wrong(
    folder: Path, data: str, options: tuple[str, ...], told: str
) -> None:
    (folder / "toy.py").write_text((folder / "toy.py").read_text() + OWN)
    (folder / "rules.toml").write_text(RULES)
    sys.modules.pop("toy", None)
    asked = ("--model", "toy:network", "--data", f"toy:{data}", "--out", "run")
    usual = ("--method", "gdr", "--batch", "1000", "--calibration-images", "60")
    budget = () if "--budget" in options else ("--budget", "3bits")
    result = invoke("compress", *asked, *usual, *budget, *options)

    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    (said,) = (line for line in result.stderr.splitlines() if line.startswith("error:"))
    assert re.search(told, said), said
    assert not (folder / "run").exists()
