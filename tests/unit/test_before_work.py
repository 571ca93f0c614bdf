"""What `compress` reads of an output, and what it refuses before any work."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from actpress.api import compress
from actpress.data.dataset import Dataset, Split
from actpress.errors import DataError, ModelError
from actpress.methods import METHODS, Job, Outcome, Settings
from actpress.tune import TuneSettings

BUDGET = "4bits (entropy, activations)"
"""Tables of images as small as these are most of what is moved: they would leave nothing else."""

SMALL = Settings(
    calibration_images=64,
    search_images=16,
    decoder_images=32,
    holdout_images=32,
    tune=TuneSettings(steps=2, batch_size=16, validate_every=2, validation_images=16),
)


class Changed(nn.Module):
    """A network whose output is changed."""

    def __init__(self, network: nn.Module, change: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, x: Tensor) -> object:
        return self.change(self.network(x))


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The method must not be reached."""

    def work(_: Job) -> Outcome:
        raise AssertionError("work began")

    monkeypatch.setitem(METHODS, "gdr", work)


def two_classes(dataset: Dataset) -> Dataset:
    """Class 1 or not; the network's logit of class 1 alone tells them apart."""

    def binary(split: Split) -> Split:
        return Split(split.source, (split.labels == 1).long())

    splits = [binary(split) for split in (dataset.train, dataset.holdout, dataset.test)]
    return Dataset("binary", *splits, classes=2)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 1, 1, 1)])
def test_one_logit_is_a_binary_classifier(
    model: nn.Module, dataset: Dataset, shape: tuple[int, ...]
) -> None:
    data = two_classes(dataset)
    network = Changed(model, lambda z: (z[:, 1] - z.mean(1)).reshape(shape)).eval()

    result = compress(network, data, method="cap", budget=BUDGET, settings=SMALL)

    images, labels = next(data.test.batches(len(data.test)))
    before, after = ((net(images).flatten() > 0).long() for net in (network, result.model))
    metrics = result.metrics
    assert metrics.float_accuracy == pytest.approx(float((before == labels).float().mean()))
    assert metrics.accuracy == pytest.approx(float((after == labels).float().mean()))
    assert metrics.agreement == pytest.approx(float((after == before).float().mean()))
    assert min(metrics.float_accuracy, metrics.agreement) > 0.7


def test_pixels_of_a_pooled_map_are_left_out(model: nn.Module, dataset: Dataset) -> None:
    flat = compress(model, dataset, method="gdr", budget="3bits", settings=SMALL).metrics
    network = Changed(model, lambda z: z[:, :, None, None]).eval()
    pooled = compress(network, dataset, method="gdr", budget="3bits", settings=SMALL).metrics

    assert pooled.float_accuracy == flat.float_accuracy
    assert pooled.accuracy == flat.accuracy
    assert pooled.agreement == flat.agreement


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z: (z, z), "returns a tuple"),
        (lambda z: {"out": z}, "returns a dict"),
        (lambda z: z[:, :, None, None].expand(-1, -1, 2, 2), r"shape \(2, 4, 2, 2\)"),
        (lambda z: z[:, :3], "tells 3 classes apart, but labels go up to 3"),
        (lambda z: z[:, :1], "tells 2 classes apart, but labels go up to 3"),
    ],
)
def test_other_outputs_are_refused(
    model: nn.Module, dataset: Dataset, change: Callable[[Tensor], object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        compress(Changed(model, change).eval(), dataset, method="gdr", settings=SMALL)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["train", "holdout", "test"])
def test_an_image_that_is_not_finite_is_named(
    model: nn.Module, dataset: Dataset, part: str, value: float
) -> None:
    split = getattr(dataset, part)
    images, labels = next(split.batches(len(split)))
    images = images.clone()
    images[90, 0, 3, 3] = value
    data = replace(dataset, **{part: Split.in_memory(images, labels)})

    with pytest.raises(DataError, match=f"image 90 of the {part} split holds NaN or infinite"):
        compress(model, data, method="gdr", settings=SMALL)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("name", ["head.bias", "stem.weight", "norm.running_var"])
def test_weights_that_are_not_finite_are_named(
    model: nn.Module, dataset: Dataset, name: str
) -> None:
    network = type(model)().eval()
    network.load_state_dict(model.state_dict())
    network.state_dict()[name].flatten()[0] = float("nan")

    with pytest.raises(ModelError, match=f"weights '{name}' of the network hold NaN"):
        compress(network, dataset, method="gdr", settings=SMALL)


@pytest.mark.usefixtures("no_work")
def test_an_output_that_overflows_is_told_with_its_image(
    model: nn.Module, dataset: Dataset
) -> None:
    images, labels = next(dataset.test.batches(len(dataset.test)))
    images = images.clone()
    images[17] *= 1e30
    data = replace(dataset, test=Split.in_memory(images, labels))
    network = Changed(model, lambda z: z * 1e10 * 1e-10).eval()

    with pytest.raises(ModelError, match="output for image 17 is NaN or infinite"):
        compress(network, data, method="gdr", settings=SMALL)


def test_a_part_of_a_split_names_the_image_of_the_whole(dataset: Dataset) -> None:
    images, labels = next(dataset.holdout.batches(len(dataset.holdout)))
    images = images.clone()
    images[80:82] = float("nan")
    data = replace(dataset, holdout=Split.in_memory(images, labels))

    with pytest.raises(DataError, match=r"image 80 \(and 1 more at once\) of the holdout split"):
        data.holdout.last(40).take(30).load(torch.arange(30))
