"""Which of several processes prints; loads without torch."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import wraps
from pathlib import Path
from typing import ParamSpec

P = ParamSpec("P")


def speaks(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the only process of a command, or the first one."""
    return environment.get("WORLD_SIZE", "1") == "1" or environment.get("RANK", "0") == "0"


def said_once(command: Callable[P, None]) -> Callable[P, None]:
    """Of several processes the first alone prints."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with ExitStack() as stack:
            if not speaks():
                nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            command(*args, **kwargs)

    return run
