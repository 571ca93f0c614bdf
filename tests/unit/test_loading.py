"""Which weights a run, a head and a tail need, with a factory that builds an untrained network."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from actpress import load_head, load_run, load_tail
from actpress.errors import ModelError, RunError
from actpress.graph import hash_weights
from actpress.plan import Transform
from actpress.pressing import CompressedModel
from actpress.run import SOURCE, Source, save_halves, save_model, write_text
from tests.conftest import Tiny

Save = Callable[..., tuple[Path, CompressedModel]]


def build() -> nn.Module:
    """Untrained, and otherwise each time."""
    torch.seed()
    return Tiny().eval()


@pytest.fixture
def save(make_pressed: Callable[..., CompressedModel], model: nn.Module, tmp_path: Path) -> Save:
    """A run whose `run.json` names a file of weights."""

    def run(weights: Path | None, *, learned: bool = False) -> tuple[Path, CompressedModel]:
        folder = tmp_path / "run"
        folder.mkdir()
        pressed = make_pressed(Transform.PCA, rank=5)
        pressed.network_learned = learned
        save_model(pressed, folder)
        source = Source(
            model="tiny:build",
            weights=None if weights is None else str(weights),
            data="tiny",
            input=(1, 8, 8),
            weights_sha256=hash_weights(model),
        )
        write_text(folder / SOURCE, source.model_dump_json())
        save_halves(pressed, "relu", source, tmp_path)
        return folder, pressed

    return run


@pytest.fixture
def trained(model: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "trained.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return path


def test_a_run_takes_the_weights_that_it_is_given(
    save: Save, trained: Path, images: Tensor
) -> None:
    folder, pressed = save(None)
    network = build()
    before = hash_weights(network)
    assert load_run(folder, network, weights=trained)(images[:4]).equal(pressed(images[:4]))
    assert load_run(folder, network, weights=str(trained))(images[:4]).equal(pressed(images[:4]))
    assert hash_weights(network) == before, "it is not changed"


def test_a_run_finds_the_weights_where_they_were(
    save: Save, trained: Path, images: Tensor, model: nn.Module
) -> None:
    folder, pressed = save(trained)
    assert load_run(folder, build())(images[:4]).equal(pressed(images[:4]))
    trained.unlink()
    assert load_run(folder, model)(images[:4]).equal(pressed(images[:4])), "it has them itself"
    told = rf"not hold them; .* file \(it was {trained}\) as `weights`; the head and tail .* none$"
    with pytest.raises(RunError, match=told):
        load_run(folder, build())


def test_a_run_says_what_weights_it_needs(save: Save, trained: Path, tmp_path: Path) -> None:
    folder, _ = save(None)
    with pytest.raises(
        RunError, match="weights of tiny:build are not those that the run was made with, and the"
    ):
        load_run(folder, build())
    other = tmp_path / "other.safetensors"
    save_file({key: value.contiguous() for key, value in build().state_dict().items()}, other)
    with pytest.raises(RunError, match="give their file as `weights`"):
        load_run(folder, build(), weights=other)
    with pytest.raises(ModelError, match="do not match the network"):
        load_run(folder, nn.Sequential(Tiny()), weights=trained)
    with pytest.raises(ModelError, match="there is no weights file"):
        load_run(folder, build(), weights=tmp_path / "none.pt")


def test_a_run_whose_network_learned_holds_its_weights(save: Save, images: Tensor) -> None:
    folder, pressed = save(None, learned=True)
    assert load_run(folder, build())(images[:4]).equal(pressed(images[:4]))


def test_halves_bring_their_weights(save: Save, images: Tensor, tmp_path: Path) -> None:
    _, pressed = save(None)
    head, tail = load_head(tmp_path / "head", build()), load_tail(tmp_path / "tail", build())
    assert tail(head(images[:4])).equal(pressed(images[:4]))
