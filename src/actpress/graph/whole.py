"""What timm says of its own networks: modules and functions that torch.fx cannot look into."""

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

HOMES = ("timm.layers", "timm.models._features_fx")
"""Modules of timm that hand out its lists, by version."""


@dataclass(frozen=True)
class Whole:
    """Types of modules, and functions, whose calls are kept whole in a trace."""

    modules: frozenset[type[nn.Module]] = field(default=frozenset())
    functions: frozenset[Callable[..., Any]] = field(default=frozenset())

    def __or__(self, other: "Whole") -> "Whole":
        return Whole(self.modules | other.modules, self.functions | other.functions)

    def met_by(self, error: BaseException, stack: Sequence[nn.Module]) -> "Whole":
        """The innermost of these that a trace was in when it failed; nothing where it was in none.

        Args:
            error: that ended it.
            stack: the modules that were being traced, outermost first.
        """
        by_code = {getattr(each, "__code__", None): each for each in self.functions}
        called = [by_code[code] for code in _codes(error) if code in by_code]
        if called:
            return Whole(functions=frozenset(called[-1:]))
        met = [type(module) for module in stack if type(module) in self.modules]
        return Whole(modules=frozenset(met[-1:]))


NOTHING = Whole()


def listed_by_timm() -> Whole:
    """What timm lists; nothing where it was not imported, as then no network is its own."""
    for name in HOMES:
        home: Any = sys.modules.get(name)
        if hasattr(home, "get_notrace_modules") and hasattr(home, "get_notrace_functions"):
            functions = (each for each in home.get_notrace_functions() if callable(each))
            return Whole(frozenset(home.get_notrace_modules()), frozenset(functions))
    return NOTHING


def _codes(error: BaseException) -> Iterator[object]:
    """Code of the functions that an error passed, outermost first."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield frame.f_code
