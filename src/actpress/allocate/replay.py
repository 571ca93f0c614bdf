"""Trying out states of sites by re-running only what comes after them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from actpress.allocate.ladder import Ladder
from actpress.codec import LinearProjection, decode_linear, encode_linear
from actpress.graph import Graph, insert_codecs

FREE_OPS = ("placeholder", "get_attr", "output")
"""Operations that compute nothing and are not counted."""


class ElasticCodec(nn.Module):
    """A codec whose rank and step can be set, without tables: what the search plugs in."""

    def __init__(self, ladder: Ladder, level: int) -> None:
        super().__init__()
        rank = ladder.levels[0].rank
        self.full = LinearProjection(ladder.basis, ladder.mean, rank, block=ladder.block)
        self.levels = ladder.levels
        self.level = level

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """X (n, c, ...) -> (x_hat, 0)."""
        state = self.levels[self.level]
        step = torch.full((state.rank,), state.step, device=x.device)
        encoder, decoder = self.full.encoder[: state.rank], self.full.decoder[:, : state.rank]
        full = self.full
        q = torch.round_(encode_linear(x, encoder, full.mean, step, full.block))
        return decode_linear(q, decoder, full.offset, step, full.block), x.new_zeros(())


@dataclass(frozen=True)
class Trial:
    """Outcome of one state of the whole network.

    Attributes:
        loss: mean divergence from the float network on the search images, in nats.
        agreement: share of the float network's decisions on them that are kept.
    """

    loss: float
    agreement: float


class Replay:
    """The network on fixed search images, with every value that a later run may need kept.

    A trial changes one site and evaluates only the nodes that depend on it; everything else is
    read from the values of the current state. Accepting the state that was tried last costs
    nothing.

    Attributes:
        codecs: of the sites, in the order of the ladders.
        nodes: of the graph, in order.
        node_evals: graph nodes executed so far (inputs, parameters and output not counted).
        current: outcome of the current state.
    """

    def __init__(
        self, graph: Graph, ladders: Sequence[Ladder], images: Tensor, levels: Sequence[int]
    ) -> None:
        self.codecs = [
            ElasticCodec(ladder, level) for ladder, level in zip(ladders, levels, strict=True)
        ]
        by_name = {ladder.site: codec for ladder, codec in zip(ladders, self.codecs, strict=True)}
        placements = {ladder.site: ladder.placement for ladder in ladders}
        network = insert_codecs(graph, by_name, placements).to(images.device).eval()
        self.node_evals = 0
        self._module = network.eval_module
        self._interpreter = fx.Interpreter(self._module)
        self.nodes = list(self._module.graph.nodes)
        self._suffixes = [self._suffix(codec) for codec in self.codecs]
        self._kept = self._values_to_keep()
        with torch.no_grad():
            self._task, self._reference = graph.task, graph.eval_module(images)
            self._values = self._run(self.nodes, {}, (images,))
        self._images = images
        self.current = self._outcome(self._values)
        self._pending: tuple[int, int, Trial, dict[fx.Node, Any]] | None = None

    @torch.no_grad()
    def trial(self, site: int, level: int) -> Trial:
        """What the network would do with one site at another level."""
        previous = self.codecs[site].level
        self.codecs[site].level = level
        values = self._run(self._suffixes[site], self._values, ())
        self.codecs[site].level = previous
        outcome = self._outcome(values)
        self._pending = (site, level, outcome, values)
        return outcome

    def accept(self, site: int, level: int) -> Trial:
        """Make a level the site's current one."""
        if self._pending is None or self._pending[:2] != (site, level):
            self.trial(site, level)
        assert self._pending is not None
        _, _, self.current, values = self._pending
        self._values = {**self._values, **values}
        self.codecs[site].level = level
        self._pending = None
        return self.current

    @torch.no_grad()
    def full_run(self, site: int, level: int) -> Trial:
        """The same outcome as `trial`, by running the whole network: the slow reference."""
        previous = self.codecs[site].level
        self.codecs[site].level = level
        values = self._run(self.nodes, {}, (self._images,))
        self.codecs[site].level = previous
        return self._outcome(values)

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
        self.node_evals += node.op not in FREE_OPS
        return getattr(self._interpreter, node.op)(node.target, args, kwargs)

    def _suffix(self, codec: nn.Module) -> list[fx.Node]:
        """The node of a codec and all that depend on it, in order."""
        reached: set[fx.Node] = set()
        for node in self.nodes:
            is_codec = node.op == "call_module" and (
                self._module.get_submodule(str(node.target)) is codec
            )
            if is_codec or any(source in reached for source in node.all_input_nodes):
                reached.add(node)
        return [node for node in self.nodes if node in reached]

    def _values_to_keep(self) -> set[fx.Node]:
        """Values that some suffix reads from before it, and the output."""
        kept = {node for node in self.nodes if node.op == "output"}
        for suffix in self._suffixes:
            inside = set(suffix)
            kept.update(s for node in suffix for s in node.all_input_nodes if s not in inside)
        return kept

    def _outcome(self, values: Mapping[fx.Node, Any]) -> Trial:
        output = next(value for node, value in values.items() if node.op == "output")[0]
        decisions = self._task.predictions(output), self._task.predictions(self._reference)
        loss = self._task.divergence(output, self._reference)
        return Trial(float(loss), self._task.agreement(*decisions))
