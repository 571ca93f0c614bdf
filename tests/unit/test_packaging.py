import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

import actpress
from actpress import errors

ROOT = Path(__file__).parents[2]


def test_the_version_is_the_same_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert metadata.version("actpress") == actpress.__version__
    assert re.search(r"^## (\S+)", changelog, re.MULTILINE)[1] == actpress.__version__


@pytest.mark.parametrize("name", ["py.typed", "data/bundled/train-images-idx3-ubyte.xz"])
def test_package_data_is_installed(name: str) -> None:
    assert resources.files("actpress").joinpath(name).is_file()


def test_every_error_has_one_base() -> None:
    raised = [value for value in vars(errors).values() if isinstance(value, type)]

    assert len(raised) > 1
    assert all(issubclass(value, errors.ActpressError) for value in raised)


def test_the_drawn_tree_of_errors_is_complete() -> None:
    for name, value in vars(errors).items():
        assert not isinstance(value, type) or name in errors.__doc__


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()

    for requirement in asked:
        name = re.match(r"[\w-]+", requirement)[0]
        assert re.search(rf"^{name}==", pinned, re.MULTILINE), name


def test_nothing_draws_before_a_picture_is_wanted() -> None:
    code = (
        "import sys, actpress.cli; print(*(n for n in sys.modules if n.startswith('matplotlib')))"
    )
    ran = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert not ran.stdout.strip()


def test_the_readme_says_how_to_install_with_and_without_a_gpu() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^pip install .*$", readme, re.MULTILINE)

    assert "https://download.pytorch.org/whl/cpu" in lines[0]
    assert "pip install ." in lines
    assert "With an NVIDIA GPU" in readme


def test_the_public_door() -> None:
    assert actpress.__all__ == sorted(actpress.__all__)
    assert all(hasattr(actpress, name) for name in actpress.__all__)
    assert set(actpress.__all__) <= set(dir(actpress))
    with pytest.raises(AttributeError, match="module 'actpress' has no attribute 'compres'"):
        _ = actpress.compres
    assert set(actpress.__all__) == {
        "ActpressError",
        "Budget",
        "Result",
        "Rule",
        "Dataset",
        "Decoder",
        "Encoder",
        "EnergyModel",
        "Graph",
        "Metrics",
        "Placement",
        "Plan",
        "CompressedModel",
        "Settings",
        "Site",
        "SiteCodec",
        "SitePlan",
        "Split",
        "Statistics",
        "Sweep",
        "Transform",
        "TuneSettings",
        "View",
        "__version__",
        "calibrate",
        "capture",
        "compress",
        "evaluate",
        "fit_tables",
        "fold",
        "freeze",
        "inspect",
        "load_dataset",
        "load_head",
        "load_run",
        "load_tail",
        "press",
        "split",
        "sweep",
    }
