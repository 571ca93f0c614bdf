"""The only place that edits a graph: put codecs at sites, in a new module."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from operator import getitem
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.fx.node import Argument

from actpress.errors import ModelError
from actpress.graph.annotate import describe
from actpress.graph.arrangement import Arrangement, from_codec, to_codec
from actpress.graph.capturing import Graph
from actpress.graph.layout import in_layout, layout_matters, layout_of
from actpress.graph.sharing import share, share_tensors
from actpress.graph.sites import Site
from actpress.graph.state import graph_module
from actpress.graph.values import copy_value_meta, dtype_of, shape_of
from actpress.plan import Placement

CODECS_PATH = "codecs"


class RewrittenNetwork(nn.Module):
    """A network with codecs at its sites.

    ```
    ... conv - norm -> codec -> x_hat - relu -> conv ...
                         `----> rate_bits
    ```

    `train()` and `eval()` choose between the two graphs, which share modules and weights. The graph
    of train mode is made when it is first asked for; with it come the modules that only train mode
    has, such as auxiliary heads.
    """

    def __init__(
        self,
        eval_module: fx.GraphModule,
        codec_paths: Mapping[str, str],
        frozen: tuple[str, ...],
        later: "_TrainModule",
    ) -> None:
        """Take over a rewritten graph; see `insert_codecs` for the way to get one.

        Args:
            eval_module: returns (output, rates).
            codec_paths: site name to module path of its codec, in the order of the rates.
            frozen: paths of modules that the network keeps in eval mode while it trains.
            later: makes the same for train mode.
        """
        super().__init__()
        self.eval_module = eval_module
        self._own_train_module: fx.GraphModule | None = None
        self._later: _TrainModule | None = later
        self._codec_paths = dict(codec_paths)
        self._frozen = frozen
        self.train(eval_module.training)

    @property
    def train_module(self) -> fx.GraphModule:
        """The graph of train mode; the object `eval_module` when the two do not differ.

        Raises:
            ModelError: the network could not be captured in train mode.
        """
        if self._later is not None:
            self._own_train_module = self._later.made(self.eval_module, self.codecs)
            self._later = None
        return self._own_train_module or self.eval_module

    @property
    def codecs(self) -> Mapping[str, nn.Module]:
        """The codec modules by site name, in the order of the rates."""
        return {
            site: self.eval_module.get_submodule(path) for site, path in self._codec_paths.items()
        }

    @property
    def codec_paths(self) -> Mapping[str, str]:
        """Module path of each site's codec in the two graphs."""
        return self._codec_paths

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape (c, ...) of each site's value, for one input of the size that was captured."""
        sites = {path: site for site, path in self._codec_paths.items()}
        return {
            sites[str(node.target)]: shape_of(node.all_input_nodes[0])[1:]
            for node in self.eval_module.graph.nodes
            if node.op == "call_module" and node.target in sites
        }

    def forward(self, *inputs: Tensor) -> tuple[object, tuple[Tensor, ...]]:
        """Run the network.

        Args:
            inputs: as for the captured network.

        Returns:
            What the captured network returns, and the rate of each site in bits.
        """
        module = self.train_module if self.training else self.eval_module
        return cast(tuple[object, tuple[Tensor, ...]], module(*inputs))

    def train(self, mode: bool = True) -> "RewrittenNetwork":  # noqa: FBT001, FBT002  torch's own
        """Switch mode; modules that the network's own `train` keeps in eval mode stay there.

        Raises:
            ModelError: the network could not be captured in train mode.
        """
        modules = {self.eval_module, self.train_module if mode else self.eval_module}
        super().train(mode)
        for module in modules:
            paths = dict(module.named_modules())
            for path in self._frozen:
                if path in paths:
                    paths[path].training = False
        return self

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """The tensors by name, those that the two graphs share once."""
        found = super().state_dict(*args, **options)
        prefix = options.get("prefix", "")
        for path in _under(found, prefix + TRAIN):
            if f"{prefix}{EVAL}{path}" in found:
                del found[f"{prefix}{TRAIN}{path}"]
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """Load what was stored before the graph of train mode was made, or after it."""
        eval_, train = prefix + EVAL, prefix + TRAIN
        for path in _under(state_dict, train):
            if eval_ + path in state_dict:
                del state_dict[train + path]
        if _under(state_dict, train) and self._own_train_module is None:
            _ = self.train_module
        if self._own_train_module is not None:
            for path, own in self._own_train_module.state_dict().items():
                state_dict.setdefault(train + path, state_dict.get(eval_ + path, own))
        super()._load_from_state_dict(state_dict, prefix, *others)

    def _apply(
        self,
        fn: Callable[..., Tensor],
        recurse: bool = True,  # noqa: FBT001, FBT002  torch's own
    ) -> "RewrittenNetwork":
        """Moving makes a new tensor of every buffer; let the two graphs share them again."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._own_train_module is not None:
            share_tensors(self.eval_module, self._own_train_module)
        return self


EVAL, TRAIN = "eval_module.", "_own_train_module."
"""Where the tensors of the two graphs are in a state dict."""


def _under(state_dict: Mapping[str, Any], prefix: str) -> list[str]:
    """Names of what is below a prefix, without it."""
    return [name.removeprefix(prefix) for name in state_dict if name.startswith(prefix)]


def insert_codecs(
    graph: Graph, codecs: Mapping[str, nn.Module], placements: Mapping[str, Placement]
) -> RewrittenNetwork:
    """Put a codec at each named site; every reader of the value reads its `x_hat`.

    Args:
        graph: stays as it is; the result has its own copy of the weights.
        codecs: site name to a module with `forward(x) -> (x_hat, rate_bits)`. Not copied.
        placements: for each of these sites, which of its values the codec gets.

    Returns:
        A network in eval mode that returns `(output, rates)`, with the rates in the order of
        `codecs`.

    Raises:
        ModelError: a name is not a site, or a site has no placement.
    """
    sites = _checked_sites(graph, codecs, placements)
    root = copy.deepcopy(graph.root)
    paths = _codec_paths(codecs)
    insertions = [
        _Insertion(site, site.node(placements[site.name]), paths[site.name]) for site in sites
    ]
    eval_module = _rewritten(root, graph.eval_module, codecs, insertions)
    chosen = {site.name: placements[site.name] for site in sites}
    return RewrittenNetwork(eval_module, paths, _frozen_paths(root), _TrainModule(graph, chosen))


@dataclass(frozen=True)
class _Insertion:
    """A codec at a node."""

    site: Site
    node: str
    path: str


class _TrainModule:
    """Makes the rewritten graph of train mode for a network whose graph of eval mode is there.

    Args:
        graph: that was captured; None after a journey through a file, where it does not go.
        placements: of the sites that have codecs.
    """

    def __init__(self, graph: Graph | None, placements: Mapping[str, Placement]) -> None:
        self._graph, self._placements = graph, placements

    def __deepcopy__(self, memo: object) -> "_TrainModule":
        return self  # nothing changes a graph

    def __reduce__(self) -> tuple[object, ...]:
        return _TrainModule, (None, self._placements)

    def made(
        self, eval_module: fx.GraphModule, codecs: Mapping[str, nn.Module]
    ) -> fx.GraphModule | None:
        """The graph, which shares modules and tensors with that of eval mode; None if it is that.

        Raises:
            ModelError: there is none.
        """
        graph = self._graph
        if graph is None:
            raise ModelError(
                "this network has no train mode: it was stored before that was asked for; call "
                "train() once before it is stored, or capture the network anew"
            )
        mode = graph.training.mode
        if mode.missing:
            raise ModelError(f"this network has no train mode: {mode.missing}")
        if mode.module is graph.eval_module:
            return None
        paths = _codec_paths(codecs)
        insertions = [
            _Insertion(graph.site(name), mode.nodes[name][self._placements[name]], path)
            for name, path in paths.items()
        ]
        module = _rewritten(copy.deepcopy(graph.root), mode.module, codecs, insertions)
        share(eval_module, module)
        return module


def _checked_sites(
    graph: Graph, codecs: Mapping[str, nn.Module], placements: Mapping[str, Placement]
) -> list[Site]:
    sites = [graph.site(name) for name in codecs]
    for site in sites:
        if site.name not in placements:
            raise ModelError(
                f"site {site.name!r} has a codec but no placement; expected Placement.PRE_ACT or "
                f"Placement.POST_ACT in placements, which names {sorted(placements)}"
            )
    return sites


def _codec_paths(codecs: Mapping[str, nn.Module]) -> dict[str, str]:
    """A module path for each site; sites that differ in punctuation only get a number."""
    paths: dict[str, str] = {}
    for name in codecs:
        plain = f"{CODECS_PATH}.{name.replace('.', '_').replace('#', '_')}"
        path, count = plain, 1
        while path in paths.values():
            count += 1
            path = f"{plain}__{count}"
        paths[name] = path
    return paths


def _frozen_paths(root: nn.Module) -> tuple[str, ...]:
    root.train()
    frozen = tuple(path for path, module in root.named_modules() if path and not module.training)
    root.eval()
    return frozen


def _rewritten(
    root: nn.Module,
    original: fx.GraphModule,
    codecs: Mapping[str, nn.Module],
    insertions: list[_Insertion],
) -> fx.GraphModule:
    module = graph_module(root, copy.deepcopy(original.graph))
    nodes = {node.name: node for node in module.graph.nodes}
    keep_layout, rates = layout_matters(original.graph, root), []
    for insertion in insertions:
        module.add_submodule(insertion.path, codecs[insertion.site.name])
        stored = nodes[insertion.node]
        rates.append(_insert(module.graph, stored, insertion, keep_layout=keep_layout))
    output = module.graph.output_node()
    output.args = ((output.args[0], tuple(rates)),)
    module.graph.lint()
    module.recompile()
    return module.eval()


def _insert(
    graph: fx.Graph, stored: fx.Node, insertion: _Insertion, *, keep_layout: bool
) -> fx.Node:
    """Call the codec right after `stored`, redirect all other uses; returns the rate's node.

    ```
    stored - [ to float32 ] - [ to_codec ] - codec - x_hat - [ from_codec ] - [ to dtype ] - users
                                               `---- rate
    ```

    What stands in brackets is there only where it changes something. With `keep_layout` users get
    the value in the layout of `stored`, whichever the codec made.
    """
    arrangement = insertion.site.arrangement
    others = list(stored.users)
    given = _rearranged(graph, _converted(graph, stored, torch.float32), to_codec, arrangement)
    with graph.inserting_after(given):
        call = graph.call_module(insertion.path, (given,))
    with graph.inserting_after(call):
        x_hat = graph.call_function(getitem, (call, 0))
    with graph.inserting_after(x_hat):
        rate = graph.call_function(getitem, (call, 1))
    copy_value_meta(given, x_hat)
    read = _rearranged(graph, x_hat, from_codec, arrangement)
    read = _converted(graph, read, dtype_of(stored))
    if keep_layout:
        read = _derived(graph, read, in_layout, layout_of(stored))
    for user in others:
        user.replace_input_with(stored, read)
    return rate


def _converted(graph: fx.Graph, value: fx.Node, dtype: torch.dtype) -> fx.Node:
    """The value in another type; the node itself where it has that type."""
    return value if dtype_of(value) is dtype else _derived(graph, value, torch.Tensor.to, dtype)


def _rearranged(
    graph: fx.Graph, value: fx.Node, function: Callable[..., Tensor], arrangement: Arrangement
) -> fx.Node:
    if arrangement.is_trivial:
        return value
    return _derived(graph, value, function, *astuple(arrangement))


def _derived(
    graph: fx.Graph, value: fx.Node, function: Callable[..., Tensor], *arguments: Argument
) -> fx.Node:
    """A new node right after `value`: a function of it, with notes on what it gives."""
    with graph.inserting_after(value):
        derived = graph.call_function(function, (value, *arguments))
    copy_value_meta(value, derived)
    example = torch.empty(shape_of(value), dtype=dtype_of(value), device="meta")
    derived.meta["tensor_meta"] = describe(function(example, *arguments))
    return derived
