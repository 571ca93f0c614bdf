"""Halves on disk: together the whole, each with its own weights, and nothing else is taken."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from actpress.errors import PlanError, RunError, StreamError
from actpress.plan import Transform
from actpress.pressing import CompressedModel
from actpress.run import Source, load_head, load_tail, save_halves, save_model
from actpress.splitting import split
from tests.conftest import Tiny

MakePressed = Callable[..., CompressedModel]
SOURCE = Source(model="tiny", data="tiny", input=(1, 8, 8), weights_sha256="0" * 64)


def test_loaded_halves_are_the_whole_at_every_site(
    make_pressed: MakePressed, images: Tensor, tmp_path: Path
) -> None:
    pressed = make_pressed(Transform.PCA, coarseness=0.5)
    with torch.no_grad():
        expected = pressed(images[:6])
    for site in pressed.codecs:
        folder = tmp_path / site
        folder.mkdir()
        save_halves(pressed, site, SOURCE, folder)
        head, tail = load_head(folder / "head", Tiny()), load_tail(folder / "tail", Tiny())
        assert tail(head(images[:6])).equal(expected)


def test_a_tail_takes_other_sizes_and_so_many_images_as_it_is_told(
    make_pressed: MakePressed, images: Tensor, tmp_path: Path
) -> None:
    pressed = make_pressed(Transform.PCA)
    save_halves(pressed, "relu", SOURCE, tmp_path)
    larger = torch.cat([images[:3], images[3:6]], dim=2)
    sent = load_head(tmp_path / "head", Tiny())(larger)
    with pytest.raises(StreamError, match="which any_size accepts"):
        load_tail(tmp_path / "tail", Tiny())(sent)
    assert load_tail(tmp_path / "tail", Tiny(), any_size=True)(sent).equal(pressed(larger))
    with pytest.raises(StreamError, match="at most 2 are accepted here"):
        load_tail(tmp_path / "tail", Tiny(), max_images=2)(sent)


def test_weights_in_any_memory_layout_are_saved(make_pressed: MakePressed, tmp_path: Path) -> None:
    """The reference networks compute in channels_last."""
    pressed = make_pressed().to(memory_format=torch.channels_last)
    weights = pressed.network_state()
    assert not weights["stem.weight"].is_contiguous() or not weights["a.weight"].is_contiguous()
    save_halves(pressed, "relu", SOURCE, tmp_path)
    pressed.network_learned = True
    save_model(pressed, tmp_path)
    for part in ("head", "tail", "."):
        for key, saved in load_file(tmp_path / part / "network.safetensors").items():
            assert saved.equal(weights[key])


def test_a_half_has_the_weights_that_it_needs(make_pressed: MakePressed, tmp_path: Path) -> None:
    save_halves(make_pressed(), "mean", SOURCE, tmp_path)
    tail = load_file(tmp_path / "tail" / "network.safetensors")
    assert tail.keys() == {"head.weight", "head.bias"}
    head = load_file(tmp_path / "head" / "network.safetensors")
    assert not tail.keys() & head.keys()
    assert {"stem.weight", "norm.running_var", "c.bias"} <= head.keys()


def test_a_half_has_the_codecs_that_it_needs_and_tables_for_what_is_sent(
    make_pressed: MakePressed, tmp_path: Path
) -> None:
    pressed = make_pressed(Transform.PCA)
    names = list(pressed.codecs)
    save_halves(pressed, names[2], SOURCE, tmp_path)
    head, tail = (load_file(tmp_path / part / "codec.safetensors") for part in ("head", "tail"))
    here, there = (
        {key.split("/")[0] for key in half if "/" in key} - {"tables"} for half in (head, tail)
    )
    crossing = set(split(pressed, names[2])[0].sites)
    assert here & there == crossing
    assert here | there == set(names)
    assert here - crossing == set(names[: names.index(names[2]) + 1]) - crossing
    for half, sites in ((head, here), (tail, there)):
        for name in sites:
            assert (f"{name}/class_of" in half) is (name in crossing)
    whole = tmp_path / "whole"
    whole.mkdir()
    save_model(pressed, whole)
    sizes = [(tmp_path / part / "codec.safetensors").stat().st_size for part in ("head", "tail")]
    assert max(sizes) < (whole / "codec.safetensors").stat().st_size


def test_codecs_that_were_exchanged_are_refused(make_pressed: MakePressed, tmp_path: Path) -> None:
    for name, coarseness in (("a", 0.5), ("b", 0.25)):
        (tmp_path / name).mkdir()
        pressed = make_pressed(Transform.PCA, coarseness=coarseness)
        save_halves(pressed, "relu", SOURCE, tmp_path / name)
    path = tmp_path / "a" / "tail" / "half.json"
    path.write_text((tmp_path / "b" / "tail" / "half.json").read_text())
    with pytest.raises(RunError, match=r"not those that half\.json was written with, or this mach"):
        load_tail(tmp_path / "a" / "tail", Tiny())
    path.write_text(path.read_text().replace('"relu#2"', '"relu"'))
    with pytest.raises(RunError, match=r"not those that half\.json was written with"):
        load_tail(tmp_path / "a" / "tail", Tiny())


def test_what_is_not_that_half_is_refused(
    make_pressed: MakePressed, images: Tensor, tmp_path: Path
) -> None:
    pressed = make_pressed()
    first, *_, last = pressed.codecs
    save_halves(pressed, first, SOURCE, tmp_path)
    with pytest.raises(RunError, match="holds the head of a network; expected its tail"):
        load_tail(tmp_path / "head", Tiny())
    with pytest.raises(PlanError, match="belongs to another network"):
        load_head(tmp_path / "head", nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)))
    (tmp_path / "other").mkdir()
    save_halves(pressed, last, SOURCE, tmp_path / "other")
    data = load_head(tmp_path / "head", Tiny())(images[:2])
    with pytest.raises(StreamError, match="cut head and tail at the same site"):
        load_tail(tmp_path / "other" / "tail", Tiny())(data)
    weights = tmp_path / "other" / "tail" / "network.safetensors"
    (tmp_path / "head" / "network.safetensors").write_bytes(weights.read_bytes())
    with pytest.raises(RunError, match="is of another network"):
        load_head(tmp_path / "head", Tiny())
    (tmp_path / "head" / "half.json").write_text('{"part": "middle", "at": "relu"}')
    with pytest.raises(RunError, match=r"half.json is damaged: part.*split the run again"):
        load_head(tmp_path / "head", Tiny())
