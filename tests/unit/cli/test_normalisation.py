"""Mean and std as a network's own configuration says."""

import sys
from types import SimpleNamespace

import pytest
from torch import nn

from actpress.cli.normalisation import with_normalisation
from actpress.errors import DataError
from actpress.preparation import Preparation

ONE, TWO = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)), ((0.7,), (0.8,))


def weights_of(name: str) -> dict[str, SimpleNamespace]:
    if name != "net":
        raise ValueError(name)
    presets = {"DEFAULT": ONE, "V1": TWO}
    return {
        key: SimpleNamespace(transforms=lambda own=own: SimpleNamespace(mean=own[0], std=own[1]))
        for key, own in presets.items()
    }


def test_a_network_may_carry_its_configuration() -> None:
    network = nn.Linear(1, 1)
    network.pretrained_cfg = {"mean": ONE[0], "std": ONE[1]}  # type: ignore[assignment]
    found = with_normalisation(Preparation(classes=("a", "b")), network, "x:y", None)
    assert (found.mean, found.std) == ONE
    assert found.classes == ("a", "b")


def test_weights_may_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "torchvision.models"
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(get_model_weights=weights_of))
    network = nn.Linear(1, 1)
    found = with_normalisation(None, network, f"{name}:net", None)
    assert (found.mean, found.std) == ONE
    named = with_normalisation(None, network, f"{name}:net", '{"weights": "Net_Weights.V1"}')
    assert (named.mean, named.std) == TWO
    for model in (f"{name}:other", "mine:net"):
        with pytest.raises(DataError, match=f"{model} says nothing of how its images are normal"):
            with_normalisation(None, network, model, None)
