"""What a codec at one site alone costs the network's predictions, measured by running it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from actpress.graph import Graph, insert_codecs
from actpress.plan import Placement
from actpress.tasks import Task
from actpress.team import ALONE, Team

FREE_OPS = ("placeholder", "get_attr", "output")
"""Operations that compute nothing and are not counted."""


class _Switch(nn.Module):
    """A codec that lets values pass as they are until it is switched on."""

    def __init__(self, codec: nn.Module) -> None:
        super().__init__()
        self.codec, self.on = codec, False

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.codec(x) if self.on else (x, x.new_zeros(()))


class SingleSites:
    """The float network with one codec at a time.

    For every batch the float network runs once, and then for every site only what depends on it.

    Attributes:
        node_evals: graph nodes executed so far (inputs, parameters and output not counted), by all
            processes.
    """

    def __init__(
        self,
        graph: Graph,
        codecs: Mapping[str, nn.Module],
        placements: Mapping[str, Placement],
        task: Task,
    ) -> None:
        self._task = task
        self._switches = {name: _Switch(codec) for name, codec in codecs.items()}
        network = insert_codecs(graph, self._switches, placements).eval()
        self._paths = network.codec_paths
        self._module = network.eval_module
        self._interpreter = fx.Interpreter(self._module)
        self._nodes = list(self._module.graph.nodes)
        self._suffixes = {name: self._suffix(path) for name, path in self._paths.items()}
        self._kept = self._values_to_keep()
        self.node_evals = 0

    def losses(self, batches: Sequence[Tensor], team: Team = ALONE) -> dict[str, float]:
        """Mean divergence from the float network of each site's codec alone, in nats per image.

        Args:
            batches: of images.
            team: shares them; all its processes are given all of them.
        """
        total = dict.fromkeys(self._switches, 0.0)
        first, stride = team.part
        for batch, evaluated in team.in_order(map(self._summed, batches[first::stride])):
            self.node_evals += evaluated
            for name, summed in batch.items():
                total[name] += summed
        return {name: summed / sum(map(len, batches)) for name, summed in total.items()}

    @torch.no_grad()
    def _summed(self, batch: Tensor) -> tuple[dict[str, float], int]:
        """The same of one batch, summed over its images, and how many nodes that took."""
        known, evaluated = self._run(self._nodes, {}, (batch,)), _computed(self._nodes)
        reference = _output(known)
        summed = {}
        for name, switch in self._switches.items():
            switch.on = True
            changed = self._run(self._suffixes[name], known, ())
            switch.on = False
            divergence = self._task.divergence(_output(changed), reference)
            summed[name] = float(divergence) * len(batch)
            evaluated += _computed(self._suffixes[name])
        return summed, evaluated

    def _run(
        self, nodes: Sequence[fx.Node], known: Mapping[fx.Node, Any], inputs: tuple[Tensor, ...]
    ) -> dict[fx.Node, Any]:
        """Execute nodes in order; return the values worth keeping, the output among them."""
        values: dict[fx.Node, Any] = {}
        feed = iter(inputs)
        last_use = {source: node for node in nodes for source in node.all_input_nodes}
        for node in nodes:
            if node.op == "placeholder":
                values[node] = next(feed)
            else:
                values[node] = self._execute(node, values, known)
            for source in node.all_input_nodes:
                if last_use[source] is node and source not in self._kept:
                    values.pop(source, None)
        return {node: value for node, value in values.items() if node in self._kept}

    def _execute(
        self, node: fx.Node, values: Mapping[fx.Node, Any], known: Mapping[fx.Node, Any]
    ) -> Any:
        def fetch(source: fx.Node) -> Any:
            return values[source] if source in values else known[source]

        args = fx.node.map_arg(node.args, fetch)
        kwargs = fx.node.map_arg(node.kwargs, fetch)
        return getattr(self._interpreter, node.op)(node.target, args, kwargs)

    def _suffix(self, path: str) -> list[fx.Node]:
        """The node of a codec and all that depend on it, in order."""
        reached: set[fx.Node] = set()
        for node in self._nodes:
            own = node.op == "call_module" and node.target == path
            if own or any(source in reached for source in node.all_input_nodes):
                reached.add(node)
        return [node for node in self._nodes if node in reached]

    def _values_to_keep(self) -> set[fx.Node]:
        """Values that some suffix reads from before it, and the output."""
        kept = {node for node in self._nodes if node.op == "output"}
        for suffix in self._suffixes.values():
            inside = set(suffix)
            kept.update(s for node in suffix for s in node.all_input_nodes if s not in inside)
        return kept


def _computed(nodes: Sequence[fx.Node]) -> int:
    return sum(node.op not in FREE_OPS for node in nodes)


def _output(values: Mapping[fx.Node, Any]) -> Any:
    return next(value for node, value in values.items() if node.op == "output")[0]
