"""Runs a command again and again, each time killed one file-system call later, and then goes on.

    python killed.py COMMANDS

COMMANDS is JSON: `before`, commands that make what is there at the start; `killed`; and `after`,
the commands that go on, of which one is tried after the other until one succeeds. Prints JSON: for
each call, what it was, how the commands after it ended, and the bytes of all files then.

All commands are children of one process that has loaded everything; it uses no OpenMP, as a process
that does cannot be forked.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from hashlib import sha256
from pathlib import Path
from typing import Any

CALLS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
WORK = Path("work")
TIMED = ("metrics.json", "report.html", "sweep.json", "sweep.csv", "sweep.html")
"""Files that hold seconds: only that they are there is compared."""


def run(command: list[str], kill_at: int = 0) -> tuple[int, str]:
    """Exit code, or minus the signal, and the call that it was killed before."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        if kill_at:
            watch(kill_at, writing)
        os._exit(run_here(command))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        call = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), call


def watch(kill_at: int, writing: int) -> None:
    """Kill this process right before its call of that number that changes files in `WORK`."""
    seen = 0
    root = str(WORK.resolve())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "open":
            _, _, flags = arguments
            if not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)):
                return
        elif event not in CALLS:
            return
        path = place_of(str(arguments[0]), arguments[1:])
        if event == "os.remove" and not os.path.lexists(path):
            return
        if path.startswith(root):
            seen += 1
            if seen == kill_at:
                os.write(writing, f"{event} {path.removeprefix(root)}".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def place_of(path: str, others: tuple[Any, ...]) -> str:
    """The whole path; `shutil.rmtree` gives names and the descriptor of their folder."""
    descriptor = others[-1] if others else -1
    if not path.startswith("/") and isinstance(descriptor, int) and descriptor >= 0:
        return os.readlink(f"/proc/self/fd/{descriptor}") + "/" + path  # noqa: PTH115
    return os.path.abspath(path)  # noqa: PTH100 - links are not followed


def run_here(command: list[str]) -> int:
    from actpress.cli import main  # noqa: PLC0415 - it is loaded already

    sys.argv = ["actpress", *command]
    try:
        with open(os.devnull, "w") as quiet, redirect_stdout(quiet), redirect_stderr(quiet):  # noqa: PTH123
            main()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - whatever it is, it is a failure of the command
        traceback.print_exc()
        return 70
    return 0


def files() -> dict[str, str]:
    """Digest of every file, hidden ones too, and `folder` for folders."""
    return {str(path.relative_to(WORK)): digest(path) for path in sorted(WORK.rglob("*"))}


def digest(path: Path) -> str:
    if path.is_dir():
        return "folder"
    return "" if path.name in TIMED else sha256(path.read_bytes()).hexdigest()


def main() -> None:
    commands = json.loads(sys.argv[1])
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as a command does

    import matplotlib.figure  # noqa: F401, PLC0415 - loaded once for all children

    import actpress.cli.loaded  # noqa: F401, PLC0415 - the same

    def start() -> None:
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir()
        for command in commands["before"]:
            assert run(command)[0] == 0

    start()
    assert run_here(commands["killed"]) == 0, "what is compiled is loaded once for all children"
    start()
    assert run(commands["killed"])[0] == 0
    whole = files()
    outcomes: list[dict[str, Any]] = []
    while True:
        start()
        code, call = run(commands["killed"], kill_at=len(outcomes) + 1)
        if not call:
            break
        codes: list[int] = []
        for command in commands["after"]:
            codes.append(run(command)[0])
            if codes[-1] == 0:
                break
        outcomes.append({"call": call, "killed": code, "codes": codes, "files": files()})
    print(json.dumps({"whole": whole, "last": code, "outcomes": outcomes}))  # noqa: T201


if __name__ == "__main__":
    main()
