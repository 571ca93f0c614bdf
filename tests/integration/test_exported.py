"""A network that torch.fx refuses, all the way: compressed, stored, loaded, split, folded."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typer.testing import CliRunner

import actpress
from actpress.cli.app import app
from actpress.data.dataset import Dataset
from actpress.errors import ActpressError
from actpress.settings import Capture
from tests.conftest import CLASSES
from tests.folding import assert_folds

SMALL = actpress.Settings(
    calibration_images=64, search_images=16, decoder_images=32, holdout_images=32
)


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, bias=False)
        self.norm, self.act = nn.BatchNorm2d(channels), nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        need = max((x.shape[-1] - 1) + 3 - x.shape[-1], 0)
        if need > 0:
            x = F.pad(x, (need // 2, need - need // 2) * 2)
        return self.act(self.norm(self.conv(x)))


class Refused(nn.Module):
    """Asserts on shapes, parts in a list that grows in a loop, padding computed from the size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(1, 8, 1), nn.ModuleList(Block(4) for _ in range(2))
        self.merge, self.drop = nn.Conv2d(16, 8, 1), nn.Dropout(0.2, inplace=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 1, "grey images"
        parts = list(self.stem(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        x = self.drop(self.merge(torch.cat(parts, 1)).relu())
        return self.head(x.mean((2, 3)))


def refused() -> nn.Module:
    torch.manual_seed(0)
    return Refused().eval()


def test_a_network_that_fx_refuses_goes_all_the_way(dataset: Dataset, tmp_path: Path) -> None:
    network, images = refused(), next(dataset.test.batches(8))[0]

    result = actpress.compress(network, dataset, method="gdr", budget="3bits", settings=SMALL)
    result.save(tmp_path / "run")

    pressed = result.model
    assert list(pressed.codecs) == ["stem", "blocks.0.act", "blocks.1.act", "relu", "mean"]
    with torch.no_grad():
        expected = pressed(images)
        assert actpress.load_run(tmp_path / "run", network)(images).equal(expected)
        assert actpress.freeze(pressed)(images).equal(expected)
        head, tail = actpress.split(pressed, "relu")
        assert tail(head(images)).equal(expected)
    report = assert_folds(pressed, images)
    assert any(site.is_any for site in report.sites)


def test_the_command_line_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    inspect = ["inspect", "--model", "test_exported:refused", "--input", "1x8x8"]

    for way in ("auto", "export"):
        done = CliRunner().invoke(app, [*inspect, "--capture", way])
        assert done.exit_code == 0, done.output
        assert "blocks.1.act" in done.stdout
    failed = CliRunner().invoke(app, [*inspect, "--capture", "fx"])
    assert failed.exit_code == 2
    assert "torch.fx cannot trace the network" in failed.output


def test_the_way_is_kept_with_the_run(dataset: Dataset, tmp_path: Path) -> None:
    network = refused()
    result = actpress.compress(
        network, dataset, method="int8", settings=SMALL, capture=Capture.EXPORT
    )
    result.save(tmp_path / "run")

    assert '"capture": "export"' in (tmp_path / "run" / "run.json").read_text()
    actpress.load_run(tmp_path / "run", network)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ActpressError, match="no capture 'jit'; expected auto, fx, export"):
        actpress.inspect(refused(), torch.zeros(1, 1, 8, 8), capture="jit")
