import sys
from pathlib import Path
from typing import cast

import pytest

from actpress.cli.export import TARGETS
from actpress.cli.exporting import EXPORTERS, Wanted
from actpress.cli.opened import OpenedRun
from actpress.errors import ExportError


def test_every_target_has_an_exporter() -> None:
    assert EXPORTERS.keys() == TARGETS.keys()


@pytest.mark.parametrize("to", ["onnx", "qonnx"])
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("actpress.deploy.onnx")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)

    with pytest.raises(ExportError, match=r"needs the package onnx; .*pip install '\.\[onnx\]'"):
        EXPORTERS[to](
            cast(OpenedRun, None),
            Wanted(tmp_path / "net.onnx", force=False, maps="packed", until=None),
        )
