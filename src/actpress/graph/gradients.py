"""Watch the gradients of values of sites, as they are computed."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import astuple
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from actpress.graph.arrangement import to_codec
from actpress.graph.capturing import Graph
from actpress.graph.observe import by_node
from actpress.graph.sites import Site
from actpress.plan import Placement

Visit = Callable[[str, Placement, Tensor, Tensor], None]
"""Called with site name, placement, value and gradient, each of these two as a codec gets it."""


class GradientWatch(fx.Interpreter):
    """A frozen copy of a network in eval mode that shows gradients on the way back from its output.

    They are handed out one by one and not kept, so memory stays near what going back needs.

    Args:
        graph: of the network.
        wanted: site names and placements.

    Raises:
        ModelError: a name is not a site.
    """

    def __init__(self, graph: Graph, wanted: Iterable[tuple[str, Placement]]) -> None:
        super().__init__(copy.deepcopy(graph.eval_module).eval().requires_grad_(False))
        self._watched = by_node(graph, wanted)
        self._visit: Visit = lambda *_: None
        self._waiting: dict[tuple[str, Placement], Tensor] = {}

    def visit(self, batch: Tensor, score: Callable[[Any], Tensor], visit: Visit) -> None:
        """Run a batch, and go back from a score of the output.

        Args:
            batch: shape (n, ...).
            score: of the network's output, scalar.
            visit: called once for every value that was asked for, its gradient zero where the score
                does not depend on it; float32, shape (n, c, ...). It may not write to them.
        """
        self._visit, self._waiting = visit, {}
        with torch.enable_grad():
            score(self.run(batch.clone().requires_grad_())).backward()
        for (name, placement), value in self._waiting.items():
            visit(name, placement, value, torch.zeros_like(value))
        self._waiting = {}

    def run_node(self, n: fx.Node) -> Any:
        """Execute a node, and wait for the gradient of what it gives where that is asked for."""
        value = super().run_node(n)
        for site, placement in self._watched.get(n.name, ()):
            given = to_codec(value.detach().float(), *astuple(site.arrangement))
            self._waiting[site.name, placement] = given
            if value.requires_grad:
                value.register_hook(partial(self._seen, site, placement))
        return value

    def _seen(self, site: Site, placement: Placement, gradient: Tensor) -> None:
        value = self._waiting.pop((site.name, placement))
        pulled = to_codec(gradient.float(), *astuple(site.arrangement))
        with torch.no_grad():
            self._visit(site.name, placement, value, pulled)
