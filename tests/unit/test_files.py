"""Where output goes: files whole or not at all, through links, into pipes, never over a device."""

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actpress.errors import RunError
from actpress.files import check_writable, followed, new_file, replacing, write_bytes, write_text
from actpress.pipeline.record import SearchRecord, write_record
from actpress.plan import Plan
from actpress.run import new_folder
from actpress.tune import Checkpoint


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def reading(pipe: Path) -> Iterator[list[bytes]]:
    """Reads a pipe to its end beside the block."""
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    reader.start()
    yield found
    reader.join(timeout=20)


def test_a_pipe_is_written_into_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    for path in (pipe, tmp_path / "link"):
        with reading(pipe) as found:
            write_text(path, "{}\n")
        assert found == [b"{}\n"]
        assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["link", "pipe"]


def test_a_device_is_written_into_and_stays() -> None:
    before = Path("/dev/null").stat()
    write_text(Path("/dev/null"), "gone")
    after = Path("/dev/null").stat()
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_ino, after.st_rdev) == (before.st_ino, before.st_rdev)
    assert not Path("/dev/.null.part").exists()


WRITE = """
import sys
from pathlib import Path
from actpress.files import write_text
print("before")
write_text(Path(sys.argv[1]), "{}\\n")
print("after")
"""


@pytest.mark.parametrize(
    ("name", "piped"),
    [
        *((name, piped) for name in ("/dev/stdout", "/proc/self/fd/1") for piped in (True, False)),
        ("its own name", False),
    ],
)
def test_standard_output_takes_its_turn(tmp_path: Path, name: str, *, piped: bool) -> None:
    out = tmp_path / "out.txt"
    target = str(out) if name == "its own name" else name
    with out.open("wb") as file:
        ran = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", WRITE, target],
            stdout=subprocess.PIPE if piped else file,
            check=True,
        )
    assert (ran.stdout if piped else out.read_bytes()) == b"before\n{}\nafter\n"
    assert names(tmp_path) == ["out.txt"]
    assert Path("/dev/stdout").is_symlink()


def test_links_are_followed_and_stay(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "old.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real/old.json")
    (tmp_path / "dangling.json").symlink_to("real/new.json")

    write_text(tmp_path / "link.json", "new")
    write_text(tmp_path / "dangling.json", "made")
    with new_file(tmp_path / "link.json", force=True) as file:
        file.write(b"newer")

    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "dangling.json").is_symlink()
    assert (real / "old.json").read_text() == "newer"
    assert (real / "new.json").read_text() == "made"
    assert names(real) == ["new.json", "old.json"]
    with (
        pytest.raises(RunError, match=r"link\.json exists already; .* --force"),
        new_file(tmp_path / "link.json", force=False),
    ):
        pass


def folder_of_links(tmp_path: Path) -> Path:
    """What each name leads to cannot be written."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop2")
    (tmp_path / "loop2").symlink_to("loop")
    (tmp_path / "away").symlink_to("nowhere/file")
    own = socket.socket(socket.AF_UNIX)
    own.bind(str(tmp_path / "socket"))
    own.close()
    return tmp_path


UNWRITABLE = {
    "folder": "folder is a folder; give the name of a file",
    "socket": "socket is a socket; give the name of a file",
    "loop": "loop is a link that leads to itself; choose another name",
    "away": "away: there is no folder .*nowhere; make it first",
    "none/file": "none/file: there is no folder .*none; make it first",
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_what_cannot_be_written_is_refused_before(tmp_path: Path, name: str) -> None:
    folder = folder_of_links(tmp_path)
    before = names(folder)
    for attempt in (check_writable, lambda path: write_bytes(path, b"x")):
        with pytest.raises(RunError, match=UNWRITABLE[name]):
            attempt(folder / name)
    assert names(folder) == before


def test_a_disk_is_never_written() -> None:
    disks = [path for path in Path("/dev").iterdir() if path.is_block_device()]
    if not disks:
        pytest.skip("this machine shows no disk")
    with pytest.raises(RunError, match="is a device; give the name of a file"):
        check_writable(disks[0])


def test_streams_and_exports_take_files_alone(tmp_path: Path) -> None:
    folder = folder_of_links(tmp_path)
    os.mkfifo(folder / "pipe")
    for path, told in (
        (folder / "pipe", "exists and is a pipe, no file"),
        (folder / "folder", "exists and is a folder, no file"),
        (Path("/dev/null"), "exists and is a device, no file"),
        (folder / "loop", "leads to itself"),
    ):
        with pytest.raises(RunError, match=told), new_file(path, force=True):
            pass
    with new_file(folder / "away", force=False) as file:
        file.write(b"x")
    assert (folder / "nowhere" / "file").read_bytes() == b"x"


def test_a_folder_appears_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to("real")
    with new_folder(tmp_path / "run", force=False) as partial:
        (partial / "plan.json").write_text("new")
    assert (tmp_path / "real" / "plan.json").read_text() == "new"
    assert (tmp_path / "run").is_symlink()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for name, told in (("loop", "leads to itself"), ("pipe", "exists and is no folder")):
        with pytest.raises(RunError, match=told), new_folder(tmp_path / name, force=True):
            pass
    assert names(tmp_path) == ["loop", "pipe", "real", "run"]


def test_a_file_that_stands_in_place_of_the_temporary_one_is_not_written_through(
    tmp_path: Path,
) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".a.json.part").symlink_to("precious")
    write_text(tmp_path / "a.json", "new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert names(tmp_path) == ["a.json", "precious"]


def test_nothing_half_written_remains(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(TypeError), replacing(tmp_path / "a") as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def _record(path: Path) -> None:
    plan = Plan(method="test", fingerprint="0" * 64, sites=())
    record = SearchRecord(
        identity="",
        plan=plan,
        method="gdr",
        variant="",
        path=(),
        search_node_evals=0,
        search_seconds=0.0,
    )
    write_record(path.parent, record)


def _checkpoint(path: Path) -> None:
    Checkpoint("", 0, {}, {}, {}, 0.0, 0.0, 0.0, 0.0).save(path)


@pytest.mark.parametrize(("name", "write"), [("search.json", _record), ("tune.pt", _checkpoint)])
def test_checkpoints_follow_links_too(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / name).symlink_to("../elsewhere")
    write(tmp_path / "work" / name)
    assert (tmp_path / "work" / name).is_symlink()
    assert (tmp_path / "elsewhere").stat().st_size > 0
    assert names(tmp_path) == ["elsewhere", "work"]


def test_a_path_is_followed_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b/c")
    assert followed(tmp_path / "a") == (tmp_path / "b" / "c").resolve()
