"""Turn in-place operations of a traced graph into ordinary ones.

A codec must never see a value that a later operation overwrites. `x.add_(y)` becomes `x.add(y)`,
and whoever reads `x` after that line reads the result, as in the original program.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from actpress.errors import ModelError
from actpress.graph.operators import human_name, operator_of
from actpress.graph.state import owner_of, written_message
from actpress.graph.tracing import INPLACE_OPERATORS, NotTraceableError
from actpress.graph.values import holds_tensor


def functionalize(graph: fx.Graph, root: nn.Module) -> None:
    """Edit `graph` so that no operation overwrites a value that others may read.

    Modules keep their `inplace` flag: clear it with `set_inplace` when the graph is done. Needs the
    notes of `annotate_values`: `n += 1` on a number overwrites nothing.

    Raises:
        NotTraceableError: a value is overwritten through a view and read again afterwards.
        ModelError: what is overwritten is a parameter or buffer.
    """
    order = {node: index for index, node in enumerate(graph.nodes)}
    for node in order:
        if not _overwrites(node, root):
            continue
        target = node.all_input_nodes[0]
        _check_not_owned(target, root)
        _make_ordinary(node, target)
        if holds_tensor(node):
            _check_not_aliased(node, target, order, root)
            _redirect_later_users(node, target, order)
    graph.lint()


def inplace_paths(root: nn.Module) -> tuple[str, ...]:
    """Paths of modules that overwrite what they get."""
    return tuple(
        path for path, module in root.named_modules() if getattr(module, "inplace", False) is True
    )


def set_inplace(root: nn.Module, paths: Sequence[str], *, flag: bool) -> None:
    """Make modules overwrite what they get, or write their result to a new tensor."""
    for path in paths:
        root.get_submodule(path).inplace = flag  # type: ignore[assignment]  # no tensor


def _overwrites(node: fx.Node, root: nn.Module) -> bool:
    if node.op == "call_module":
        return getattr(root.get_submodule(str(node.target)), "inplace", False) is True
    if node.op == "call_method":
        return _is_inplace_name(str(node.target))
    if node.op == "call_function":
        by_name = _is_inplace_name(getattr(node.target, "__name__", ""))
        return by_name or node.target in INPLACE_OPERATORS or _has_inplace_flag(node)
    return False


def _is_inplace_name(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__") and name != "requires_grad_"


def _has_inplace_flag(node: fx.Node) -> bool:
    """torch.nn.functional hands its flag on by keyword, however the user wrote it."""
    return node.kwargs.get("inplace") is True


def _make_ordinary(node: fx.Node, target: fx.Node) -> None:
    if node.op == "call_module":
        return
    ordinary = _ordinary_form(node)
    if ordinary is not None:
        node.target = ordinary
    elif _has_inplace_flag(node):
        node.update_kwarg("inplace", arg=False)
    else:
        _overwrite_a_copy(node, target)


def _ordinary_form(node: fx.Node) -> str | Callable[..., Any] | None:
    if node.op == "call_method":
        ordinary = str(node.target)[:-1]
        return ordinary if hasattr(torch.Tensor, ordinary) else None
    if callable(node.target) and node.target in INPLACE_OPERATORS:
        return INPLACE_OPERATORS[node.target]
    name = getattr(node.target, "__name__", "")
    if not _is_inplace_name(name):
        return None
    twin = getattr(torch, name[:-1], None) or getattr(F, name[:-1], None)
    return twin if callable(twin) else None


def _overwrite_a_copy(node: fx.Node, target: fx.Node) -> None:
    """For `uniform_` and others that exist in place only."""
    with node.graph.inserting_before(node):
        duplicate = node.graph.call_method("clone", (target,))
    duplicate.meta = dict(target.meta)
    node.replace_input_with(target, duplicate)


def _redirect_later_users(node: fx.Node, target: fx.Node, order: dict[fx.Node, int]) -> None:
    for user in list(target.users):
        if order.get(user, -1) > order[node]:
            user.replace_input_with(target, node)


def _check_not_owned(target: fx.Node, root: nn.Module) -> None:
    """Refuse to lose what forward writes to a parameter or buffer, or to a view of one."""
    base = _base(target, root)
    name = owner_of(attrgetter(str(base.target))(root), root) if base.op == "get_attr" else None
    if name is not None:
        raise ModelError(written_message(name))


def _check_not_aliased(
    node: fx.Node, target: fx.Node, order: dict[fx.Node, int], root: nn.Module
) -> None:
    for alias in _aliases(target, root):
        later = [user for user in alias.users if order.get(user, -1) > order[node]]
        if alias is not target and order[alias] < order[node] and later:
            raise NotTraceableError(
                f"{human_name(node, root)} overwrites a view of the value "
                f"{human_name(alias, root)!r}, which {human_name(later[0], root)} reads "
                "afterwards; write the operation out of place (x = x + y, inplace=False)"
            )


def _aliases(target: fx.Node, root: nn.Module) -> set[fx.Node]:
    """The values that share memory with `target`: what it is a view of, and all its views.

    An identity in place, such as dropout, is among its own aliases, and so is what is made of its
    result: both come after it and hold what it wrote.
    """
    base = _base(target, root)
    found, waiting = {base}, [base]
    while waiting:
        views = [u for u in waiting.pop().users if u.op != "output"]
        fresh = [u for u in views if operator_of(u, root).may_alias and u not in found]
        found.update(fresh)
        waiting += fresh
    return found


def _base(value: fx.Node, root: nn.Module) -> fx.Node:
    """What a value is a view of, after any number of views."""
    while value.all_input_nodes and operator_of(value, root).may_alias:
        value = value.all_input_nodes[0]
    return value
