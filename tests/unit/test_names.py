"""Public names: what a package hands out never hides one of its modules."""

import importlib
import pkgutil
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
