"""Of several processes one speaks."""

import sys

import pytest

from actpress.cli.app import main
from actpress.cli.speaker import said_once, speaks


@said_once
def talk() -> None:
    sys.stdout.write("out")
    sys.stderr.write("err")


@pytest.mark.parametrize(
    ("size", "rank", "told"), [("2", "0", True), ("2", "1", False), ("1", "1", True)]
)
def test_the_first_or_only_process_prints(
    size: str,
    rank: str,
    told: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.setenv("RANK", rank)
    assert speaks() is told
    talk()
    assert capsys.readouterr() == (("out", "err") if told else ("", ""))


@pytest.mark.parametrize(("rank", "lines"), [("0", 1), ("1", 0)])
def test_what_no_command_begins_with_is_said_once(
    rank: str, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    for arguments in (
        ["compress", "--workers", "-1"],
        ["inspect", "--model", "a:b", "--input", "3x8x8"],
    ):
        monkeypatch.setattr(sys, "argv", ["actpress", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        out, err = capsys.readouterr()
        assert not out
        assert err.lower().count("error") == lines


def test_without_a_launcher_there_is_one_process() -> None:
    assert speaks({})
