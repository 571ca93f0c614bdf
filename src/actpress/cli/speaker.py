"""Which of several processes prints; loads without torch."""

import os
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import wraps
from pathlib import Path
from typing import ParamSpec

P = ParamSpec("P")


def said_once(command: Callable[P, None]) -> Callable[P, None]:
    """Of several processes the first alone prints."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with ExitStack() as stack:
            if os.environ.get("RANK", "0") != "0":
                nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            command(*args, **kwargs)

    return run
