"""What a command says of warnings."""

from pathlib import Path

import pytest
from PIL import Image

from actpress.cli.options import guarded
from actpress.data import load_image_folder


def test_a_warning_is_one_line_on_the_error_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "test"):
        (tmp_path / part / "cat").mkdir(parents=True)
        for name in ("0.png", "1.png", "2.tif"):
            Image.new("L", (4, 4)).save(tmp_path / part / "cat" / name)

    guarded(lambda: load_image_folder(tmp_path, size=(1, 4, 4)))()

    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.startswith("warning: 2 files are left out: 2 with an extension that is not read (")
