import pytest
import torch
from torch import Tensor

from actpress.data import Dataset, Split
from actpress.errors import DataError


@pytest.fixture
def split() -> Split:
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    return Split.in_memory(images, torch.arange(10), lambda raw: raw.float() * 2)


def test_batches_come_in_order_and_the_last_is_short(split: Split) -> None:
    batches = list(split.batches(4))

    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    assert torch.cat([labels for _, labels in batches]).equal(torch.arange(10))


def test_images_are_transformed_and_stay_with_their_labels(split: Split) -> None:
    for images, labels in split.batches(3, generator=torch.Generator().manual_seed(1)):
        assert images.dtype == torch.float32
        assert images.flatten().equal(labels.float() * 2)


def test_a_generator_shuffles_reproducibly(split: Split) -> None:
    def order() -> torch.Tensor:
        generator = torch.Generator().manual_seed(7)
        return torch.cat([labels for _, labels in split.batches(4, generator=generator)])

    assert order().equal(order())
    assert not order().equal(torch.arange(10))
    assert order().sort().values.equal(torch.arange(10))


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (9, 9), (10, 10), (99, 10)])
def test_take_keeps_the_first(split: Split, count: int, kept: int) -> None:
    head = split.take(count)

    assert len(head) == kept
    images, labels = next(head.batches(100))
    assert labels.equal(torch.arange(kept))
    assert images.flatten().equal(labels.float() * 2)


def test_a_taken_split_can_be_taken_from_again(split: Split) -> None:
    assert len(split.take(6).take(2)) == 2


def test_tensors_need_no_transform() -> None:
    images = torch.rand(2, 3, 4, 4)

    loaded, _ = next(Split.in_memory(images, torch.zeros(2, dtype=torch.int64)).batches(2))

    assert loaded.equal(images)


def test_labels_must_match_images() -> None:
    with pytest.raises(DataError, match="3 images but 2 labels"):
        Split.in_memory(torch.rand(3, 1, 2, 2), torch.zeros(2, dtype=torch.int64))


def test_a_split_is_not_empty() -> None:
    with pytest.raises(DataError, match="no images"):
        Split.in_memory(torch.rand(0, 1, 2, 2), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (torch.zeros(2, 3), r"float32 of shape \(2, 3\); expected class indices \(n,\), integers"),
        (torch.zeros(2), r"float32 of shape \(2,\)"),
        (
            torch.tensor([5, 14]),
            "train split, are 5 to 14; expected 0 to 9, as there are 10 classes",
        ),
        (torch.tensor([-1, 3]), "are -1 to 3"),
    ],
)
def test_labels_are_class_indices(labels: Tensor, told: str) -> None:
    def make() -> Dataset:
        part = Split.in_memory(torch.rand(2, 1, 4, 4), labels)
        return Dataset("mine", part, part, part, classes=10)

    with pytest.raises(DataError, match=told):
        make()


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (torch.rand(2, 16), r"holdout split, is torch.float32 of shape \(1, 16\)"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), "is torch.uint8 of shape"),
        (torch.rand(2, 1, 3, 4), r"shape \(1, 1, 3, 4\); expected .* same size in all splits"),
    ],
)
def test_images_have_one_form_and_size(images: Tensor, told: str) -> None:
    labels = torch.tensor([0, 1])
    good, other = (Split.in_memory(x, labels) for x in (torch.rand(2, 1, 4, 4), images))
    with pytest.raises(DataError, match=told):
        Dataset("mine", good, other, good, classes=2)
    late = Dataset("mine", good, good, other, classes=2)
    with pytest.raises(DataError, match=told.replace("holdout", "test")):
        late.check_images("test", late.test)


def test_a_split_prints_its_size() -> None:
    part = Split.in_memory(torch.rand(2, 3, 8, 6), torch.tensor([0, 1]))
    assert repr(part) == "Split(2 images)"


def test_a_dataset_knows_the_shape_of_its_images() -> None:
    part = Split.in_memory(torch.rand(2, 3, 8, 6), torch.tensor([0, 1]))

    assert Dataset("mine", part, part, part, classes=2).input_shape == (3, 8, 6)
