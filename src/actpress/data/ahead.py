"""Reading batches before they are asked for, in threads of their own."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


def read_ahead(read: Callable[[A], T], wanted: Iterable[A], workers: int) -> Iterator[T]:
    """What is read for every request, in their order.

    So many batches are read at a time, each by a thread, and no more are kept; decoding an image
    leaves Python alone, so that threads run side by side.

    Args:
        read: must allow to be called by several threads at once where there are workers.
        wanted: its arguments.
        workers: threads; with 0 everything is read when it is asked for.

    Raises:
        Exception: what `read` raises, where its batch is asked for.
    """
    if not workers:
        yield from map(read, wanted)
        return
    requests = iter(wanted)
    with ThreadPoolExecutor(workers, thread_name_prefix="actpress-read") as pool:
        reading: deque[Future[T]] = deque(
            pool.submit(read, request) for request in islice(requests, workers)
        )
        try:
            while reading:
                done = reading.popleft().result()
                reading.extend(pool.submit(read, request) for request in islice(requests, 1))
                yield done
        finally:
            for future in reading:
                future.cancel()
