from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from actpress import zoo
from actpress.errors import ModelError
from actpress.zoo import reference

NAMES = tuple(reference.BUILDERS)


@pytest.mark.parametrize("name", NAMES)
def test_networks_take_fashion_mnist(name: str) -> None:
    assert reference.build(name).eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_every_network_has_a_trained_factory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "WEIGHTS_FOLDER", tmp_path)
    expected = reference.build(name).state_dict()
    save_file(expected, tmp_path / f"{name}.safetensors")

    model = getattr(zoo, f"{name}_fashion_mnist")()

    assert not model.training
    assert all(value.equal(expected[key]) for key, value in model.state_dict().items())


def test_missing_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "WEIGHTS_FOLDER", tmp_path)

    with pytest.raises(ModelError, match=r"missing at .*resnet18\.safetensors; install actpress"):
        zoo.resnet18_fashion_mnist()


def test_damaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "WEIGHTS_FOLDER", tmp_path)
    (tmp_path / "resnet18.safetensors").write_bytes(b"{}")

    with pytest.raises(ModelError, match=r"resnet18\.safetensors are damaged"):
        zoo.resnet18_fashion_mnist()


def test_weights_of_another_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "WEIGHTS_FOLDER", tmp_path)
    save_file({"weight": torch.zeros(1)}, tmp_path / "resnet18.safetensors")

    with pytest.raises(ModelError, match="are damaged"):
        zoo.resnet18_fashion_mnist()
