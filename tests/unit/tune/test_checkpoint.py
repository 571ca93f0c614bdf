"""A checkpoint that is damaged, or of another network, gets one line and changes nothing."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from actpress.errors import TuningError
from actpress.tune.checkpoint import Checkpoint

STEPS = 7


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


@pytest.fixture
def optimizer(network: nn.Module) -> torch.optim.Optimizer:
    groups = [
        {"params": [network[0].weight], "peak_lr": 1e-3},
        {"params": [network[0].bias], "peak_lr": 2e-3},
    ]
    optimizer = torch.optim.Adam(groups, fused=True)
    network(torch.randn(4, 3)).square().sum().backward()
    optimizer.step()
    return optimizer


@pytest.fixture
def fields(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Those of a checkpoint that fits."""
    state = {key: value.clone() for key, value in network.state_dict().items()}
    return {
        "identity": "mine",
        "step": 4,
        "model": dict(state),
        "optimizer": optimizer.state_dict(),
        "best": dict(state),
        "best_loss": 0.25,
        "multiplier": 0.5,
        "recent_excess": -0.125,
        "seconds": 3.0,
    }


def test_one_that_fits_is_taken_also_before_any_state_was_good(
    fields: dict[str, Any], network: nn.Module, optimizer: torch.optim.Optimizer, tmp_path: Path
) -> None:
    path = tmp_path / "tune.pt"
    Checkpoint(**{**fields, "best_loss": float("inf"), "step": STEPS}).save(path)
    found = Checkpoint.load(path, identity="mine")
    found.check(network, optimizer, steps=STEPS)
    assert found.model["0.weight"].equal(network[0].weight)
    optimizer.load_state_dict(found.optimizer)


def put(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Set what dots lead to."""

    def change(fields: dict[str, Any]) -> None:
        *path, last = [int(part) if part.isdigit() else part for part in key.split("/")]
        content: Any = fields
        for part in path:
            content = content[part]
        content[last] = value

    return change


def edit(key: str, how: Callable[[Tensor], object]) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        content: Any = fields
        *path, last = [int(part) if part.isdigit() else part for part in key.split("/")]
        for part in path:
            content = content[part]
        content[last] = how(content[last])

    return change


def with_nan(tensor: Tensor) -> Tensor:
    tensor = tensor.clone()
    tensor.flatten()[-1] = float("nan")
    return tensor


NO_NETWORK = "has other tensors than the network"
NO_OPTIMIZER = "optimizer has other parameters than the network trains"
DAMAGE = [
    (put("step", -1), "its step -1"),
    (put("step", STEPS + 1), "its step 8"),
    (put("step", 2.0), "its step 2.0"),
    (put("step", True), "its step True"),
    (put("multiplier", float("nan")), "makes no sense"),
    (put("recent_excess", float("inf")), "makes no sense"),
    (put("seconds", "1"), "makes no sense"),
    (put("best_loss", float("nan")), "its loss nan"),
    (put("best_loss", None), "its loss None"),
    (put("model", []), f"its model {NO_NETWORK}"),
    (put("best", {}), f"its best {NO_NETWORK}"),
    (put("model/other", torch.zeros(1)), f"its model {NO_NETWORK}"),
    (put("model/0.bias", 1.0), "model.0.bias is no tensor"),
    (edit("model/0.bias", torch.Tensor.double), "model.0.bias is torch.float64, expected"),
    (edit("best/0.bias", torch.Tensor.half), "best.0.bias is torch.float16, expected"),
    (edit("best/0.bias", lambda t: t.to(torch.complex64)), "is torch.complex64, expected"),
    (edit("model/0.bias", lambda t: t.to(torch.float8_e5m2)), "is torch.float8_e5m2, expected"),
    (edit("model/1.num_batches_tracked", torch.Tensor.float), "is torch.float32, expected"),
    (edit("model/0.weight", with_nan), "model.0.weight is not finite"),
    (edit("best/1.running_var", lambda t: t / 0), "best.1.running_var is not finite"),
    (edit("model/0.weight", lambda t: t[:1]), r"0.weight of shape \(1, 3\), expected \(2, 3\)"),
    (put("optimizer", None), "its optimizer is none"),
    (put("optimizer/other", 1), "its optimizer is none"),
    (put("optimizer/param_groups", []), NO_OPTIMIZER),
    (put("optimizer/param_groups/0", 3), NO_OPTIMIZER),
    (put("optimizer/param_groups/0/params", [1]), NO_OPTIMIZER),
    (put("optimizer/param_groups/1/betas", (0.9, float("nan"))), NO_OPTIMIZER),
    (put("optimizer/param_groups/1/peak_lr", float("inf")), NO_OPTIMIZER),
    (put("optimizer/param_groups/1/lr", -1.0), NO_OPTIMIZER),
    (put("optimizer/state", [1]), NO_OPTIMIZER),
    (put("optimizer/state/5", {}), NO_OPTIMIZER),
    (put("optimizer/state/0", {"step": torch.zeros(())}), "state of parameter 0 is none of Adam"),
    (edit("optimizer/state/0/exp_avg", with_nan), "optimizer.0.exp_avg is not finite"),
    (edit("optimizer/state/1/exp_avg_sq", lambda t: -t - 1), "1.exp_avg_sq is not finite, or bel"),
    (edit("optimizer/state/1/exp_avg", torch.Tensor.double), "optimizer.1.exp_avg is torch.float6"),
    (edit("optimizer/state/1/exp_avg", lambda t: t[:1]), r"of shape \(1,\), expected \(2,\)"),
    (edit("optimizer/state/1/step", lambda t: t - 9), "optimizer.1.step is not finite, or below"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGE)
def test_damage_is_told_in_one_line(
    fields: dict[str, Any],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    tmp_path: Path,
    damage: Callable[[dict[str, Any]], None],
    told: str,
) -> None:
    damage(fields)
    path = tmp_path / "tune.pt"
    Checkpoint(**fields).save(path)
    found = Checkpoint.load(path, identity="mine")
    with pytest.raises(TuningError, match=f"^the checkpoint .*{told}.*start again$") as refusal:
        found.check(network, optimizer, steps=STEPS)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("identity", ["other", None, 3, torch.zeros(2), ["mine"]])
def test_one_of_something_else_is_refused(
    fields: dict[str, Any], tmp_path: Path, identity: object
) -> None:
    path = tmp_path / "tune.pt"
    Checkpoint(**{**fields, "identity": identity}).save(path)
    with pytest.raises(TuningError, match="belongs to another plan or other settings"):
        Checkpoint.load(path, identity="mine")


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, as where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 3000])
def test_a_disk_that_is_full_is_told_with_the_path_and_the_old_file_stays(
    fields: dict[str, Any], tmp_path: Path, size: int
) -> None:
    path = tmp_path / "tune.pt"
    Checkpoint(**fields).save(path)
    before = path.read_bytes()
    assert len(before) > size
    with files_up_to(size), pytest.raises(OSError, match="File too large") as failure:
        Checkpoint(**{**fields, "step": 5}).save(path)
    assert failure.value.filename == str(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["tune.pt"]
