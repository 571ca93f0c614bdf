from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from actpress import zoo
from actpress.errors import ModelError
from actpress.zoo import reference

NAMES = tuple(reference.BUILDERS)
FACTORIES = {
    "resnet18": zoo.resnet18_fashion_mnist,
    "mobilenet_v2": zoo.mobilenet_v2_fashion_mnist,
    "vgg16_bn": zoo.vgg16_bn_fashion_mnist,
    "resnet8": zoo.resnet8_cifar10,
}


@pytest.mark.parametrize("name", NAMES)
def test_networks_take_small_images(name: str) -> None:
    channels = 3 if name == "resnet8" else 1
    assert reference.build(name).eval()(torch.zeros(2, channels, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_every_network_has_a_trained_factory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "WEIGHTS_FOLDER", tmp_path)
    expected = reference.build(name).state_dict()
    save_file(expected, tmp_path / f"{name}.safetensors")

    model = FACTORIES[name]()

    assert not model.training
    assert all(value.equal(expected[key]) for key, value in model.state_dict().items())


def test_missing_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "WEIGHTS_FOLDER", tmp_path)

    with pytest.raises(ModelError, match=r"missing at .*resnet18\.safetensors; install actpress"):
        zoo.resnet18_fashion_mnist()
    with pytest.raises(ModelError, match=r"python -m benchmarks\.train_resnet8`"):
        zoo.resnet8_cifar10()


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


def test_the_bundled_resnet8_is_small_and_says_how_good_it_is() -> None:
    path = reference.WEIGHTS_FOLDER / "resnet8.safetensors"

    assert path.stat().st_size < 170_000  # half precision
    assert reference.published_accuracy("resnet8") > 0.82
    assert zoo.resnet8_cifar10()(torch.zeros(1, 3, 32, 32)).isfinite().all()
