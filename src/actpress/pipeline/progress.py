"""Where long work reports to."""

from typing import Protocol


class Progress(Protocol):
    """Where long work reports to."""

    def start(self, stage: str, total: float) -> None:
        """A stage begins; `total` is its amount of work."""

    def advance(self, done: float, note: str = "") -> None:
        """So much of the present stage is done."""


class Silence:
    """Progress that nobody watches."""

    def start(self, stage: str, total: float) -> None:
        """Ignore it."""

    def advance(self, done: float, note: str = "") -> None:
        """Ignore it."""
