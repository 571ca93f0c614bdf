"""Call the user's `package.module:factory`."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from actpress.errors import ActpressError

OFFERED = 12
"""Names of a module that are listed where the one that was asked for is not there."""


def call_factory(
    spec: str, *, error: type[ActpressError], arguments: Mapping[str, object] | None = None
) -> object:
    """Import `package.module:factory` and call it; modules in the working folder are found too.

    Args:
        spec: as above; the part behind the colon may be dotted.
        error: what to raise.
        arguments: passed by keyword.

    Returns:
        What the factory returned; the caller checks its type.

    Raises:
        ActpressError: of the type `error`, when the spec is malformed, the module cannot be
            imported, has no such factory, or the factory raises. An `ActpressError` raised by the
            factory itself passes through.
    """
    module_name, path = split_spec(spec, error=error)
    with _working_folder_importable():
        module = _import(module_name, spec, error)
        factory = _lookup(module, path, spec, error)
        try:
            return factory(**(arguments or {}))  # type: ignore[operator]
        except ActpressError:
            raise
        except (Exception, SystemExit) as failure:
            raise error(
                f"{spec} raised {_described(failure)} when called with {dict(arguments or {})}"
            ) from failure


def split_spec(spec: str, *, error: type[ActpressError]) -> tuple[str, str]:
    """The module and the factory that `package.module:factory` names.

    Raises:
        ActpressError: of the type `error`, when it is malformed.
    """
    module_name, _, path = spec.partition(":")
    if not (module_name and path):
        raise error(f"cannot read {spec!r}; expected package.module:factory")
    return module_name, path


def _import(name: str, spec: str, error: type[ActpressError]) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as failure:
        if failure.name is None or not f"{name}.".startswith(f"{failure.name}."):
            raise error(f"{spec}: importing {name} needs {failure.name!r}; install it") from failure
        raise error(
            f"{spec}: there is no module {failure.name!r}; install its package, or run actpress in "
            f"the folder that holds it"
        ) from failure
    except (Exception, SystemExit) as failure:
        raise error(f"{spec}: importing {name} raised {_described(failure)}") from failure


def _lookup(module: ModuleType, path: str, spec: str, error: type[ActpressError]) -> object:
    found: object = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise error(f"{spec}: {module.__name__} has no {path!r}{_offer(module)}")
        found = getattr(found, name)
    if not callable(found):
        raise error(f"{spec} is a {type(found).__name__}; expected a function or class to call")
    return found


def _offer(module: ModuleType) -> str:
    public = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
    names = sorted(
        name
        for name in public
        if callable(value := getattr(module, name, None))
        and f"{getattr(value, '__module__', '')}.".startswith(f"{module.__name__}.")
    )
    more = ", ..." if len(names) > OFFERED else ""
    return f"; it has {', '.join(names[:OFFERED])}{more}" if names else ""


def _described(failure: BaseException) -> str:
    return f"{type(failure).__name__}: {failure}"


@contextmanager
def _working_folder_importable() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)
