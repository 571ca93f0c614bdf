import sys
from pathlib import Path
from typing import cast

import pytest

from actpress.cli.export import TARGETS, weights_of
from actpress.cli.exporting import EXPORTERS, Wanted
from actpress.cli.opened import OpenedRun
from actpress.errors import ExportError


def test_every_target_has_an_exporter() -> None:
    assert EXPORTERS.keys() == TARGETS.keys()


def test_weights_are_a_kind_and_a_state_dict() -> None:
    kind, state = Path("float32"), Path("net.pt")
    assert weights_of([]) == ("int8", None)
    assert weights_of([state]) == ("int8", state)
    assert weights_of([kind]) == ("float32", None)
    assert weights_of([state, kind]) == ("float32", state)
    with pytest.raises(ExportError, match=r"several state dicts: net\.pt, other\.pt"):
        weights_of([state, Path("other.pt")])


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
            Wanted(tmp_path / "net.onnx", force=False, maps="packed", until=None, numbers="int8"),
        )
