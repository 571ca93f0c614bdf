"""Public names: what a package hands out never hides one of its modules."""

import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import actpress

PACKAGES = ["actpress"] + [
    found.name
    for found in pkgutil.walk_packages(actpress.__path__, "actpress.")
    if found.ispkg and not found.name.endswith("__main__")
]


@pytest.mark.parametrize("name", PACKAGES)
def test_nothing_public_shadows_a_module(name: str) -> None:
    package = importlib.import_module(name)
    modules = {found.name for found in pkgutil.iter_modules(package.__path__)}
    for public in modules & set(getattr(package, "__all__", ())):
        assert isinstance(getattr(package, public), ModuleType), f"{name}.{public}"


ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("src/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_pages_name_are_there(page: Path) -> None:
    for name in re.findall(r"`([\w/]+\.py)`", page.read_text(encoding="utf-8")):
        places = ROOT / name, ROOT / "src/actpress" / name, page.parent / name
        named_alone = "/" not in name and any((ROOT / "src").rglob(name))
        assert named_alone or any(map(Path.is_file, places)), f"{page.name} names {name}"
