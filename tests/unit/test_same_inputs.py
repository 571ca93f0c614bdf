"""Work that was begun goes on with the same weights and the same images only."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from actpress.api import compress
from actpress.budget import Budget
from actpress.data.dataset import Dataset, ImageSource, Split
from actpress.data.digest import digest_images
from actpress.errors import DataError, RunError
from actpress.graph import capture
from actpress.methods import METHODS, Job, Outcome, Settings
from actpress.pipeline.images import read_images, used_images
from actpress.run import INPUTS, Source, check_inputs
from actpress.settings import WidthSettings
from actpress.tune import TuneSettings, images_trained_on
from actpress.tune.order import epoch_order
from tests.conftest import Tiny

SMALL = Settings(
    calibration_images=40,
    search_images=16,
    decoder_images=24,
    holdout_images=20,
    tune=TuneSettings(steps=4, batch_size=8, validate_every=2, validation_images=16),
    widths=WidthSettings(steps=6),
)
PARTS = ("train", "holdout", "test")


@dataclass
class Watched:
    """Remembers which images were asked for."""

    source: ImageSource
    asked: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.source)

    def load(self, indices: Tensor) -> Tensor:
        self.asked.update(indices.tolist())
        return self.source.load(indices)


def changed(data: Dataset, part: str, position: int, how: Callable[[Tensor], Tensor]) -> Dataset:
    split = getattr(data, part)
    images, labels = next(split.batches(len(split)))
    images = images.clone()
    images[position] = how(images[position])
    return replace(data, **{part: Split.in_memory(images, labels)})


def test_a_digest_is_of_images_and_labels_in_their_order(dataset: Dataset) -> None:
    split, some = dataset.train, torch.arange(300) % 256
    digest = digest_images(split, some)
    assert digest == digest_images(split, some)
    assert len(digest) == 64
    assert digest != digest_images(split, some.flip(0))
    other = changed(dataset, "train", 77, lambda image: image + 1e-6).train
    assert digest != digest_images(other, some)
    assert digest_images(split, torch.arange(77)) == digest_images(other, torch.arange(77))
    labels = split.labels.clone()
    labels[5] = (labels[5] + 1) % 4
    assert digest != digest_images(Split(split.source, labels), some)


def test_images_that_come_out_otherwise_each_time_have_none(dataset: Dataset) -> None:
    raw = dataset.train.load(torch.arange(256))
    split = Split.in_memory(raw, dataset.train.labels, lambda x: x + torch.rand(()))
    data = replace(dataset, train=split)
    with pytest.warns(UserWarning, match="the train split come out otherwise each time"):
        assert not read_images(data, SMALL)["train"]


@pytest.mark.parametrize("method", ["cap", "codesign", "lsq", "layerwise_search"])
def test_no_method_asks_for_other_images(model: nn.Module, dataset: Dataset, method: str) -> None:
    """Of 256 images for training and 96 held out, in other amounts than they are used."""
    watched = {part: Watched(getattr(dataset, part).source) for part in PARTS}
    splits = {part: Split(watched[part], getattr(dataset, part).labels) for part in PARTS}
    data = replace(dataset, **splits)
    budget = Budget.parse("3bits")
    graph = capture(model, next(data.train.batches(2))[0])
    settings = replace(SMALL, widths=WidthSettings(steps=6, move_every=2))
    used = used_images(data, settings)
    METHODS[method](Job(graph, data, budget, settings))
    assert watched["train"].asked <= set(used["train"].tolist())
    assert len(watched["train"].asked) > len(used["train"]) - 20, "widths learn for two steps more"
    assert watched["holdout"].asked <= set(used["holdout"].tolist())
    assert not watched["test"].asked - {0}, "but for its form"
    assert len(used["train"]) < 100
    assert len(used["test"]) == 96


def test_images_of_whole_epochs_are_all() -> None:
    assert images_trained_on(10, batch_size=4, steps=2, seed=3).equal(
        epoch_order(10, seed=3, epoch=0)[:8]
    )
    assert sorted(images_trained_on(10, batch_size=4, steps=3, seed=3).tolist()) == [*range(10)]
    assert sorted(images_trained_on(3, batch_size=4, steps=1, seed=3).tolist()) == [0, 1, 2]


class InterruptedError_(Exception):  # noqa: N801, N818  stands for a kill
    pass


@pytest.fixture
def begun(
    model: nn.Module, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of checkpoints that an interrupted compression left."""
    gdr = METHODS["gdr"]

    def interrupted(job: Job) -> Outcome:
        gdr(job)
        raise InterruptedError_

    monkeypatch.setitem(METHODS, "gdr", interrupted)
    folder = tmp_path / "checkpoints"
    with pytest.raises(InterruptedError_):
        compress(model, dataset, method="gdr", budget="3bits", settings=SMALL, folder=folder)
    monkeypatch.setitem(METHODS, "gdr", gdr)
    assert {file.name for file in folder.iterdir()} == {INPUTS, "search.json"}
    return folder


def go_on(model: nn.Module, data: Dataset, folder: Path) -> None:
    compress(model, data, method="gdr", budget="3bits", settings=SMALL, folder=folder)


@pytest.mark.parametrize("part", PARTS)
def test_other_images_are_refused_by_name(
    model: nn.Module, dataset: Dataset, begun: Path, part: str
) -> None:
    other = changed(dataset, part, 3, lambda image: image * 1.01)
    told = rf"^{begun} holds checkpoints, but the images of the {part} split are others than before"
    with pytest.raises(RunError, match=told):
        go_on(model, other, begun)
    go_on(model, dataset, begun)


def test_an_image_that_is_not_used_may_change(
    model: nn.Module, dataset: Dataset, begun: Path
) -> None:
    used = set(used_images(dataset, SMALL)["train"].tolist())
    spare = next(index for index in range(256) if index not in used)
    go_on(model, changed(dataset, "train", spare, lambda image: image * 2), begun)


def test_a_damaged_search_is_told_in_one_line(
    model: nn.Module, dataset: Dataset, begun: Path
) -> None:
    path = begun / "search.json"
    whole = path.read_text()
    for text in (
        "",
        "[]",
        "[" * 10**5,
        whole[:-40],
        whole.replace('"search_seconds": ', '"search_seconds": 1e999, "other": '),
        re.sub(r'"search_seconds": [\d.]+', '"search_seconds": NaN', whole),
        re.sub(r'"step": [\d.]+', '"step": 1e300', whole),
        re.sub(r'"rank": \d+', '"rank": 10000', whole),
    ):
        assert text != whole
        path.write_text(text)
        with pytest.raises(RunError, match=r"search\.json is damaged: .*start again") as refusal:
            go_on(model, dataset, begun)
        assert "\n" not in str(refusal.value)


def test_other_weights_are_refused(model: nn.Module, dataset: Dataset, begun: Path) -> None:
    other = Tiny().eval()
    other.load_state_dict(model.state_dict())
    other.head.bias.data[0] += 1
    with pytest.raises(RunError, match="but the network's weights are others than before; go on"):
        go_on(other, dataset, begun)


@pytest.mark.parametrize("text", ["", "[1]", '"a"', "{", "[" * 9999, "\udc00"])
def test_digests_that_are_damaged_are_told(tmp_path: Path, text: str) -> None:
    source = Source(model="tiny", data="tiny", input=(1, 8, 8), weights_sha256="0" * 64)
    check_inputs(tmp_path, source)
    check_inputs(tmp_path, source)
    (tmp_path / INPUTS).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(RunError, match=r"inputs\.json is damaged: .*; remove .* to begin anew"):
        check_inputs(tmp_path, source)


class Broken:
    """One image of it cannot be read."""

    def __init__(self, source: ImageSource, position: int) -> None:
        self.source, self.position = source, position

    def __len__(self) -> int:
        return len(self.source)

    def load(self, indices: Tensor) -> Tensor:
        if self.position in indices:
            raise DataError(f"cannot read image {self.position}")
        return self.source.load(indices)


@pytest.mark.parametrize(("part", "position"), [("train", 255), ("holdout", 95), ("test", 95)])
def test_a_broken_image_is_met_before_any_work(
    model: nn.Module,
    dataset: Dataset,
    part: str,
    position: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(_: Job) -> Outcome:
        raise AssertionError("work began")

    monkeypatch.setitem(METHODS, "cap", work)
    split = getattr(dataset, part)
    data = replace(dataset, **{part: Split(Broken(split.source, position), split.labels)})
    long = replace(SMALL, tune=replace(SMALL.tune, steps=400))
    with pytest.raises(DataError, match=f"cannot read image {position}"):
        compress(model, data, settings=long, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()
