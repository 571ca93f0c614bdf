"""From an exported program back to calls of the network's own modules, as torch.fx records them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx.node import Argument, map_arg
from torch.utils import _pytree as pytree

from actpress.errors import ModelError
from actpress.graph.aten import Call, call_in_words, updates_statistics
from actpress.graph.exported import Exported, Shape, known_shape
from actpress.graph.state import written_message
from actpress.graph.tracing import leaf_paths

OWNED = frozenset({InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR})
WRITTEN = frozenset({OutputKind.PARAMETER_MUTATION, OutputKind.BUFFER_MUTATION})

RESULT = "exported_result"
"""Name of the module that puts outputs into a form of the network's own."""


def recovered(exported: Exported, root: nn.Module, leaves: Sequence[str]) -> fx.Graph:
    """The graph of a network, with calls of the modules that `trace` would not look into.

    Args:
        exported: of the network.
        root: the network; tensors that its forward makes of constants become buffers of it.
        leaves: paths of more modules that are kept whole.

    Raises:
        ModelError: a module of `leaves` cannot be kept whole, or the network reads a buffer that
            its forward writes to.
    """
    return _Recovery(exported, root, leaves).graph


@dataclass
class _Call:
    """What one call of a module computes: its nodes, what it reads, and what others read of it."""

    path: str
    nodes: dict[fx.Node, None] = field(default_factory=dict)
    inputs: dict[fx.Node, None] = field(default_factory=dict)
    outputs: dict[fx.Node, None] = field(default_factory=dict)

    @property
    def is_simple(self) -> bool:
        return len(self.inputs) == len(self.outputs) == 1


class _Recovery:
    def __init__(self, exported: Exported, root: nn.Module, leaves: Sequence[str]) -> None:
        self.graph = fx.Graph()
        self._program, self._root = exported.program, root
        signature = exported.program.graph_signature
        self._owned = {
            spec.arg.name: str(spec.target) for spec in signature.input_specs if spec.kind in OWNED
        }
        self._written = {
            spec.arg.name for spec in signature.output_specs if spec.kind in WRITTEN
        } - {
            spec.arg.name for spec in signature.output_specs if spec.kind is OutputKind.USER_OUTPUT
        }
        self._keep_constants()
        whole = leaf_paths(root, leaves)
        calls = self._calls({p: exported.simple[p] for p in whole if p in exported.simple})
        _check_leaves(leaves, [call.path for call in calls if call.is_simple])
        self._calls_of = {node: call for call in calls if call.is_simple for node in call.nodes}
        self._values: dict[fx.Node, Argument] = {}
        for node in exported.program.graph.nodes:
            self._visit(node)
        _drop_unread(self.graph)
        self.graph.lint()
        self._check_written()

    def _keep_constants(self) -> None:
        for path, constant in self._program.constants.items():
            if isinstance(constant, Tensor) and path in self._owned.values():
                owner, _, name = path.rpartition(".")
                module = self._root.get_submodule(owner)
                if not hasattr(module, name):
                    module.register_buffer(name, constant.detach(), persistent=False)

    def _calls(self, paths: Mapping[str, Collection[Shape]]) -> list[_Call]:
        """The calls of the modules at these paths, outermost modules only.

        Where a value is written through a view, the exporter makes the view anew and says that it
        is of the module that comes next: such nodes are left out.
        """
        calls: dict[str, _Call] = {}
        for node in self._program.graph.nodes:
            for key, path in _stack(node).items():
                if path in paths and _is_tensor(node):
                    calls.setdefault(key, _Call(path)).nodes[node] = None
                    break
        for call in calls.values():
            self._note_borders(call)
            while call.nodes and not (call.is_simple and _shape(*call.inputs) in paths[call.path]):
                del call.nodes[next(iter(call.nodes))]
                self._note_borders(call)
        return list(calls.values())

    def _note_borders(self, call: _Call) -> None:
        read = [operand for node in call.nodes for operand in node.all_input_nodes]
        call.inputs = dict.fromkeys(o for o in read if self._is_input(o) and o not in call.nodes)
        call.outputs = dict.fromkeys(n for n in call.nodes if self._is_read(n, call.nodes))

    def _is_read(self, node: fx.Node, inside: Collection[fx.Node]) -> bool:
        """Whether others than some nodes read a value; what buffers become is the module's own."""
        others = [user for user in node.users if user not in inside]
        return any(user.op != "output" for user in others) or (
            bool(others) and node.name not in self._written
        )

    def _is_input(self, operand: fx.Node) -> bool:
        return operand.name not in self._owned and _is_tensor(operand)

    def _visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if node.name not in self._owned:
                self._values[node] = self.graph.placeholder(node.name)
        elif node.op == "output":
            self.graph.output(self._result(node))
        elif node.op == "call_function":
            value = self._call(node)
            if isinstance(value, fx.Node) and not value.meta:
                value.meta["nn_module_stack"] = {path: (path, "") for path in _stack(node).values()}
            self._values[node] = value

    def _call(self, node: fx.Node) -> Argument:
        call = self._calls_of.get(node)
        if call is None:
            return call_in_words(self.graph, self._in_words(node))
        if node not in call.outputs:
            return None
        (source,) = call.inputs
        return self.graph.call_module(call.path, (self._values[source],))

    def _in_words(self, node: fx.Node) -> Call:
        args, kwargs = map_arg((node.args, node.kwargs), self._value)
        return Call(node, args, dict(kwargs))

    def _value(self, node: fx.Node) -> Argument:
        """The value of an exported node; tensors of the network are fetched where they are used."""
        path = self._owned.get(node.name) if node.op == "placeholder" else None
        return self._values[node] if path is None else self.graph.get_attr(path)

    def _result(self, node: fx.Node) -> Argument:
        """What the network returns, in its own form."""
        specs = self._program.graph_signature.output_specs
        (results,) = cast(tuple[tuple[Argument, ...]], node.args)
        returned = [
            self._value(value) if isinstance(value, fx.Node) else value
            for spec, value in zip(specs, results, strict=True)
            if spec.kind is OutputKind.USER_OUTPUT
        ]
        form = self._program.call_spec.out_spec
        assert form is not None, "every program has a form of its outputs"
        nest = pytree.tree_unflatten(returned, form)
        if _is_plain_nest(nest):
            return cast(Argument, nest)
        name = RESULT
        while hasattr(self._root, name):
            name += "_"
        self._root.add_module(name, _InForm(form))
        return self.graph.call_module(name, tuple(returned))

    def _check_written(self) -> None:
        """Refuse a network whose output depends on what its forward writes.

        A counter that nothing reads is gone.
        """
        specs = self._program.graph_signature.output_specs
        written = {str(spec.target) for spec in specs if spec.kind in WRITTEN}
        for node in self.graph.nodes:
            if node.op != "get_attr" or all(map(updates_statistics, node.users)):
                continue
            if node.target in written:
                raise ModelError(written_message(str(node.target)))


class _InForm(nn.Module):
    """Puts values into a form that a graph cannot hold by itself, such as a class of outputs."""

    def __init__(self, form: pytree.TreeSpec) -> None:
        super().__init__()
        self._form = form

    def forward(self, *values: object) -> object:
        return pytree.tree_unflatten(values, self._form)


def _drop_unread(graph: fx.Graph) -> None:
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in {"placeholder", "output"}:
            graph.erase_node(node)


def _is_plain_nest(nest: object) -> bool:
    if isinstance(nest, tuple | list) and type(nest) in (tuple, list):
        return all(map(_is_plain_nest, nest))
    if isinstance(nest, dict) and type(nest) is dict:
        return all(isinstance(key, str) and _is_plain_nest(item) for key, item in nest.items())
    return nest is None or isinstance(nest, fx.Node | int | float | str)


def _stack(node: fx.Node) -> dict[str, str]:
    """Paths of the modules that a node was called in, outermost first, by call."""
    stack: Mapping[str, tuple[str, object]] = node.meta.get("nn_module_stack") or {}
    return {key: path for key, (path, _) in stack.items() if not path.startswith("_empty_")}


def _is_tensor(node: fx.Node) -> bool:
    value = node.meta.get("val")
    parts = value if isinstance(value, tuple | list) else (value,)
    return any(isinstance(part, Tensor) for part in parts)


def _shape(node: fx.Node) -> Shape | None:
    value = node.meta["val"]
    return known_shape(value) if isinstance(value, Tensor) else None


def _check_leaves(leaves: Sequence[str], whole: Sequence[str]) -> None:
    for leaf in leaves:
        if leaf not in whole:
            raise ModelError(
                f"module {leaf!r} cannot be kept whole in a network that is exported: expected one "
                f"that is called with one tensor and gives one; leave it out, or keep it whole "
                f"with capture='fx' (`--capture fx`)"
            )
