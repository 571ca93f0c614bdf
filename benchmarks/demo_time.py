"""Time and net result of `make demo`'s command, against the same of an earlier checkout.

    git worktree add /tmp/earlier aab34da
    python -m benchmarks.demo_time /tmp/earlier

Both commands are what the Makefile of their checkout says. They run side by side with one thread
each; seconds are those of the processor, so that whatever else the machine does counts for little.
Writes `benchmarks/results/demo_time.json`.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.store import environment

RESULTS = Path("benchmarks/results/demo_time.json")


def demo_command(checkout: Path, out: Path) -> list[str]:
    """What `make demo` runs there, into another folder."""
    makefile = (checkout / "Makefile").read_text().replace("\\\n", " ")
    (line,) = (line for line in makefile.splitlines() if "actpress compress" in line)
    words = shlex.split(line)[1:]
    words[words.index("--out") + 1] = str(out)
    return [sys.executable, "-m", "actpress", *words]


def run(checkout: Path) -> dict[str, object]:
    """Seconds, and what metrics.json says."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        variables = os.environ | {"PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
        seconds = processor_seconds(demo_command(checkout, out), folder, variables)
        metrics = json.loads((out / "metrics.json").read_text())
    net = metrics["traffic"].get("net_ratio_8bit_batch1")  # older builds told none
    keep = ("method", "budget", "accuracy", "accuracy_drop_pp", "search_seconds", "tune_seconds")
    return {"processor_seconds": seconds, "net_ratio_8bit_batch1": net} | {
        key: metrics[key] for key in keep
    }


def processor_seconds(command: list[str], folder: str, variables: dict[str, str]) -> float:
    """Of a command that has to succeed; what it says is not shown."""
    process = subprocess.Popen(  # noqa: S603 - what the Makefile says
        command, cwd=folder, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        message = f"{command} ended with status {process.returncode}"
        raise RuntimeError(message)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run both, write the file, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("earlier", type=Path)
    earlier = parser.parse_args().earlier.resolve()
    with ThreadPoolExecutor(2) as pool:
        before, after = pool.map(run, (earlier, Path.cwd()))
    ratio = float(str(after["processor_seconds"])) / float(str(before["processor_seconds"]))
    found = {"ratio": ratio, "earlier": before, "present": after, "environment": environment()}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
