"""Symbolic tracing that keeps in-place arithmetic visible and explains its failures."""

import operator
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from actpress.errors import ModelError
from actpress.graph.whole import NOTHING, Whole

INPLACE_OPERATORS: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.ifloordiv: operator.floordiv,
    operator.imod: operator.mod,
    operator.ipow: operator.pow,
    operator.imatmul: operator.matmul,
}

AUTOCAST_DEVICES = ("cpu", "cuda")

RANDOM_DEPTH = frozenset({"StochasticDepth", "DropPath"})
"""Modules that drop a branch at random in training and are the identity otherwise, by the names
under which torchvision and timm have them. Their Python depends on the number of axes."""

_NOT_USER_CODE = (Path(torch.__file__).parent, Path(__file__).parent)


class NotTraceableError(ModelError):
    """torch.fx cannot say what the network computes; torch.export may."""


def trace(
    root: nn.Module, *, inputs: int, leaves: Sequence[str], whole: Whole = NOTHING
) -> fx.Graph:
    """Trace `root` in its present mode.

    Args:
        root: the network; arguments of its forward beyond the first `inputs` keep their defaults.
        inputs: number of tensors that forward is called with.
        leaves: module paths that are not looked into; neither are TorchScript modules.
        whole: what is kept whole too, where it cannot be traced.

    Raises:
        NotTraceableError: fx cannot follow the network's Python (names file, line and module), or
            the network draws random numbers that the trace would freeze.
        ModelError: forward takes another number of tensors.
    """
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        graph = _traced(root, inputs, leaves, whole)
        drawn = not torch.get_rng_state().equal(before)
    if drawn:
        raise NotTraceableError(_frozen_random_message(root))
    return graph


def leaf_paths(root: nn.Module, leaves: Sequence[str]) -> frozenset[str]:
    """Paths of all modules that `trace` does not look into."""
    tracer = _Tracer(leaves=leaves)
    modules = root.named_modules(remove_duplicate=False)
    return frozenset(path for path, module in modules if tracer.is_leaf_module(module, path))


def _traced(root: nn.Module, inputs: int, leaves: Sequence[str], whole: Whole) -> fx.Graph:
    """A trace in which of `whole` only that is kept whole without which there is none."""
    kept = NOTHING
    while True:
        tracer = _Tracer(inputs=inputs, leaves=leaves, whole=kept)
        try:
            return tracer.trace(root)
        except ModelError:
            raise
        except Exception as error:
            more = kept | whole.met_by(error, _modules_to(root, tracer.failed_module))
            if more == kept:
                message = _failure_message(tracer.failed_module, error)
                raise NotTraceableError(message) from error
            kept = more


def _modules_to(root: nn.Module, path: str | None) -> list[nn.Module]:
    """The modules on the way to a path, outermost first."""
    parts = (path or "").split(".")
    return [root.get_submodule(".".join(parts[:depth])) for depth in range(len(parts) + 1)]


def _frozen_random_message(root: nn.Module) -> str:
    mode = "train" if root.training else "eval"
    return (
        f"the network draws random numbers in {mode} mode whose shape does not depend on its "
        "input, so every later run would repeat the first draw; draw them in the shape of a value "
        "(torch.rand_like), or keep the module whole with leaves=[PATH] (`--leaf PATH`)"
    )


class _Proxy(fx.Proxy):
    """Records `x += y` as the in-place operation it is; fx alone would record `x + y`."""


def _record_inplace(target: Callable[..., Any]) -> Callable[[fx.Proxy, object], Any]:
    def method(self: fx.Proxy, other: object) -> object:
        return self.tracer.create_proxy("call_function", target, (self, other), {})

    return method


# fx.Proxy takes its operators the same way: Python looks them up on the class.
for _operator in INPLACE_OPERATORS:
    setattr(_Proxy, f"__{_operator.__name__}__", _record_inplace(_operator))


class _Tracer(fx.Tracer):
    def __init__(
        self, *, inputs: int = 1, leaves: Sequence[str] = (), whole: Whole = NOTHING
    ) -> None:
        super().__init__(autowrap_functions=tuple(whole.functions))
        self._whole = whole.modules
        self.failed_module: str | None = None
        self._inputs = inputs
        self._leaves = frozenset(leaves)
        # The modules being traced, innermost last, up to the one that turned autocast on.
        self._outside_autocast = [""]
        self._autocast = {name: torch.is_autocast_enabled(name) for name in AUTOCAST_DEVICES}

    def create_node(self, kind: str, target: Any, *rest: Any, **options: Any) -> fx.Node:
        device = self._in_autocast()
        if device is not None:
            raise NotTraceableError(_autocast_message(self._outside_autocast[-1], device))
        return super().create_node(kind, target, *rest, **options)

    def _in_autocast(self) -> str | None:
        """The device for which the network's forward has turned autocast on."""
        now = (name for name in AUTOCAST_DEVICES if torch.is_autocast_enabled(name))
        return next((name for name in now if not self._autocast[name]), None)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        opaque = module_qualified_name in self._leaves or isinstance(m, torch.jit.ScriptModule)
        known = type(m).__name__ in RANDOM_DEPTH or type(m) in self._whole
        return opaque or known or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        path, entered = self.path_of_module(m), self._in_autocast() is None
        if entered:
            self._outside_autocast.append(path)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            if self.failed_module is None:
                self.failed_module = path
            raise
        finally:
            if entered:
                self._outside_autocast.pop()

    def create_args_for_root(
        self,
        root_fn: Callable[..., Any],
        is_module: bool,  # noqa: FBT001  torch's own
        concrete_args: dict[str, Any] | tuple[Any, ...] | None = None,
    ) -> tuple[Any, list[Any]]:
        function, arguments = super().create_args_for_root(root_fn, is_module, concrete_args)
        proxies = arguments[1:]
        given = [p for p in proxies if not str(p.node.target).startswith("*")][: self._inputs]
        if len(given) < self._inputs:
            raise ModelError(
                f"the example has {self._inputs} tensors, but the network's forward takes "
                f"{len(given)} named arguments; give one tensor per argument"
            )
        bound = [p if any(p is g for g in given) else self._default(p) for p in proxies]
        return function, [arguments[0], *bound]

    def _default(self, proxy: fx.Proxy) -> object:
        node, target = proxy.node, str(proxy.node.target)
        self.graph.erase_node(node)
        if target.startswith("*"):
            return {} if target.startswith("**") else ()
        if not node.args:
            raise ModelError(
                f"the network's forward needs the argument {target!r}, but the example has "
                f"{self._inputs} tensor(s); give a tuple with one tensor per argument"
            )
        return node.args[0]


def _autocast_message(module: str, device: str) -> str:
    mend = f"leaves=[{module!r}] (`--leaf {module}`)" if module else "leaves=[PATH] in a submodule"
    return (
        f"{f'module {module!r}' if module else 'the network itself'} enters torch.autocast "
        f"({torch.get_autocast_dtype(device)} on {device}) in its forward, which a captured graph "
        f"would leave out; expected a forward without it; keep the module whole with {mend}, or "
        f"take the autocast out"
    )


def _failure_message(module: str | None, error: Exception) -> str:
    where = user_line(error)
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if module:
        mend = (
            f"keep that module whole with leaves=[{module!r}] (`--leaf {module}` on the command "
            "line), or rewrite the line without a branch on tensor values"
        )
    else:
        mend = (
            "rewrite the line without a branch on tensor values, or move it into a submodule and "
            "keep that whole with leaves=[PATH] (`--leaf PATH` on the command line)"
        )
    place = f"in module {module!r}" if module else "in the network's own forward"
    return f"torch.fx cannot trace the network {place}, at {where}: {reason}; {mend}"


def user_line(error: BaseException) -> str:
    """File, number and text of the line of the network's own code in which an error arose."""
    frames = traceback.extract_tb(error.__traceback__)
    user = [frame for frame in frames if not _is_library(Path(frame.filename))]
    if not user:
        earlier = error.__cause__ or error.__context__
        return "an unknown line" if earlier is None else user_line(earlier)
    return f"{user[-1].filename}:{user[-1].lineno} ({(user[-1].line or '').strip()})"


def _is_library(path: Path) -> bool:
    return str(path).startswith("<") or any(path.is_relative_to(base) for base in _NOT_USER_CODE)
