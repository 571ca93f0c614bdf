"""Reading ahead changes when batches are read, and nothing else."""

import threading
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from actpress.data.ahead import read_ahead
from actpress.data.dataset import Dataset, Split
from actpress.errors import DataError


class Counted:
    """Images by position, of which those that were read are remembered."""

    def __init__(self, count: int) -> None:
        self.count, self.read, self.threads = count, list[int](), set[str]()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.count

    def load(self, indices: Tensor) -> Tensor:
        with self._lock:
            self.read += indices.tolist()
            self.threads.add(threading.current_thread().name)
        return indices.float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


def split(count: int = 20) -> tuple[Split, Counted]:
    source = Counted(count)
    return Split(source, torch.arange(count)), source


def test_batches_come_in_their_order_and_are_read_by_threads() -> None:
    plain, _ = split()
    alone = [(x.flatten(1)[:, 0].tolist(), y.tolist()) for x, y in plain.batches(3)]
    ahead, source = split()
    own = replace(ahead, workers=3)
    found = [(x.flatten(1)[:, 0].tolist(), y.tolist()) for x, y in own.batches(3)]
    assert found == alone
    assert all(name.startswith("actpress-read") for name in source.threads)
    assert own.take(4).workers == 3


def test_no_more_is_read_than_the_threads_are_ahead() -> None:
    ahead, source = split(200)
    batches = replace(ahead, workers=2).batches(10)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert len(source.read) <= 40


def test_an_error_is_raised_where_its_batch_is_asked_for() -> None:
    def read(number: int) -> int:
        if number == 2:
            raise DataError("broken")
        return number

    for workers in (0, 2):
        found = read_ahead(read, range(5), workers)
        assert [next(found), next(found)] == [0, 1]
        with pytest.raises(DataError, match="broken"):
            next(found)


def test_a_data_set_with_workers_is_the_same_data(dataset: Dataset) -> None:
    own = dataset.with_workers(2)
    assert {own.train.workers, own.holdout.workers, own.test.workers} == {2}
    for (x, y), (again, labels) in zip(
        dataset.train.batches(100), own.train.batches(100), strict=True
    ):
        assert x.equal(again)
        assert y.equal(labels)
