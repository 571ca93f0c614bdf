"""Find the fused groups of a traced network by one sweep in the order of computation."""

from dataclasses import dataclass, field

from torch import fx, nn

from actpress.graph.operators import Kind, Operator, operator_of
from actpress.graph.values import holds_tensor, is_float, shape_of, tensor_meta


@dataclass(eq=False)
class Group:
    """Operations that an accelerator computes together, storing the result once.

    Attributes:
        nodes: the anchor first, the stored value last; views between them included.
        mixers: those of `nodes` that read another stored value besides their own group's.
        readers: the groups that read the stored value, with the nodes that do.
        read_by_output: the network returns the value.
    """

    nodes: list[fx.Node]
    mixers: set[fx.Node] = field(default_factory=set)
    readers: "dict[Group, list[fx.Node]]" = field(default_factory=dict)
    read_by_output: bool = False

    @property
    def value(self) -> fx.Node:
        """The node whose result is stored."""
        return self.nodes[-1]


def find_groups(graph: fx.Graph, root: nn.Module) -> tuple[Group, ...]:
    """All groups in the order of their anchors; needs the notes of `annotate_values`."""
    sweep = _Sweep(root)
    for node in graph.nodes:
        sweep.visit(node)
    return tuple(sweep.groups)


@dataclass(frozen=True)
class _Tip:
    """A group that can still take operations in, and the views that follow its value."""

    group: Group
    views: tuple[fx.Node, ...] = ()


class _Sweep:
    """The state of the sweep: the groups found so far and what each node shows of them."""

    def __init__(self, root: nn.Module) -> None:
        self.groups: list[Group] = []
        self._root = root
        # The groups whose stored values a node shows; nodes that carry no activation are absent.
        self._shown: dict[fx.Node, tuple[Group, ...]] = {}
        self._tips: dict[fx.Node, _Tip] = {}
        self._order: dict[fx.Node, int] = {}

    def visit(self, node: fx.Node) -> None:
        """Place the next node of the graph."""
        self._order[node] = len(self._order)
        if node.op == "placeholder":
            self._shown[node] = ()
        operands = [operand for operand in node.all_input_nodes if operand in self._shown]
        if node.op == "output":
            self._read_by_output(operands)
        elif operands and holds_tensor(node):
            self._place(node, operator_of(node, self._root), operands)

    def _place(self, node: fx.Node, operator: Operator, operands: list[fx.Node]) -> None:
        if operator.kind is Kind.SOURCE:
            return
        if operator.is_view and not self._takes_from_tuple(operands):
            self._pass_through(node, operator, operands)
        elif operator.is_elementwise and is_float(node):
            self._join(node, operands)
        else:
            self._open(node, operands)

    def _takes_from_tuple(self, operands: list[fx.Node]) -> bool:
        """`values, indices = max(x, 1)`: each part is a value of its own."""
        tip = self._tips.get(operands[0])
        return tip is not None and tip.group.value is operands[0] and not tensor_meta(operands[0])

    def _pass_through(self, node: fx.Node, operator: Operator, operands: list[fx.Node]) -> None:
        groups = [group for operand in operands for group in self._shown[operand]]
        self._shown[node] = tuple(dict.fromkeys(groups))
        tip = self._open_tip(operands[0], node)
        if tip is not None and operator.kind is not Kind.REARRANGE:
            self._tips[node] = _Tip(tip.group, (*tip.views, node))

    def _join(self, node: fx.Node, operands: list[fx.Node]) -> None:
        tips = [(operand, self._open_tip(operand, node)) for operand in operands]
        usable = [(operand, tip) for operand, tip in tips if tip is not None]
        if not usable:
            self._open(node, operands)
            return
        latest, tip = max(usable, key=lambda pair: self._order[pair[0]])
        tip.group.nodes += [*tip.views, node]
        if len(operands) > 1:
            tip.group.mixers.add(node)
        self._read(node, tip.group, [operand for operand in operands if operand is not latest])
        self._store(node, tip.group)

    def _open(self, node: fx.Node, operands: list[fx.Node]) -> None:
        group = Group([node])
        self.groups.append(group)
        self._read(node, group, operands)
        self._store(node, group)

    def _store(self, node: fx.Node, group: Group) -> None:
        self._shown[node] = (group,)
        self._tips[node] = _Tip(group)

    def _read(self, node: fx.Node, reader: Group, operands: list[fx.Node]) -> None:
        for operand in operands:
            for group in self._shown[operand]:
                nodes = group.readers.setdefault(reader, [])
                if node not in nodes:
                    nodes.append(node)

    def _read_by_output(self, operands: list[fx.Node]) -> None:
        for operand in operands:
            for group in self._shown[operand]:
                group.read_by_output = True

    def _open_tip(self, operand: fx.Node, user: fx.Node) -> _Tip | None:
        tip = self._tips.get(operand)
        alone = [u for u in operand.users if u.op == "output" or holds_tensor(u)] == [user]
        return tip if tip is not None and alone and shape_of(operand) else None
