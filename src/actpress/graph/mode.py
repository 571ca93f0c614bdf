"""Eval mode for the length of a call, of which several may run at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from torch import nn


@dataclass
class _Hold:
    """Of one module: the calls that need it in eval mode, and whether it was in train mode."""

    training: bool
    calls: int = 0


_lock = threading.Lock()
_holds: WeakKeyDictionary[nn.Module, _Hold] = WeakKeyDictionary()


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Keep a network in eval mode while the block runs.

    The mode of every part is put back when the last of the calls that need it in eval mode is done,
    in whichever thread.
    """
    parts = list(module.modules())
    with _lock:
        before = [part.training for part in parts]
        if any(before):
            module.eval()
        for part, training in zip(parts, before, strict=True):
            _holds.setdefault(part, _Hold(training)).calls += 1
    try:
        yield
    finally:
        with _lock:
            for part in parts:
                hold = _holds[part]
                hold.calls -= 1
                if not hold.calls:
                    part.training = hold.training
                    del _holds[part]
