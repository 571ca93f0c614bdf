"""From a model and an example to a `Graph`: what the network computes and what it stores."""

import copy
import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, fx, nn

from actpress.errors import ModelError
from actpress.graph.functionalize import inplace_paths, set_inplace
from actpress.graph.hidden import warn_of_hidden_layers, warn_of_left_out
from actpress.graph.operators import human_name, operator_of
from actpress.graph.programs import Wanted, program_of
from actpress.graph.sites import Site, build_sites, find_spots, values_without_images
from actpress.graph.sizes import at_other_size, check_sites
from actpress.graph.train_mode import Training
from actpress.graph.unmerged import warn_of_unmerged_branches
from actpress.graph.wrappers import unwrap_inside, unwrapped
from actpress.settings import Capture, way_of
from actpress.tasks import CLASSIFICATION, Task


@dataclass(frozen=True, eq=False)
class Graph:
    """A traced copy of a network, in eval mode; nothing edits it after `capture`.

    Attributes:
        root: the copied network; owns the modules and weights that both graphs use.
        eval_module: what the network computes in eval mode.
        training: what it computes in train mode, which is captured when it is asked for.
        example: the tensors that `capture` was given.
        sites: the stored values in the order in which they are computed.
        fingerprint: hexadecimal SHA-256 of operations, shapes and names, not of weights.
        task: what the output means.
        captured: through `FX` or `EXPORT`.
    """

    root: nn.Module
    eval_module: fx.GraphModule
    training: Training
    example: tuple[Tensor, ...]
    sites: tuple[Site, ...]
    fingerprint: str
    task: Task
    captured: Capture

    @property
    def train_module(self) -> fx.GraphModule:
        """That of train mode; the one of eval mode where they do not differ, or there is none."""
        return self.training.mode.module

    @property
    def no_train_mode(self) -> str:
        """Why the network cannot be captured in train mode; empty where it can."""
        return self.training.mode.missing

    def site(self, name: str) -> Site:
        """The site of that name.

        Raises:
            ModelError: there is none; lists similar names.
        """
        for site in self.sites:
            if site.name == name:
                return site
        raise ModelError(_unknown("site", name, [site.name for site in self.sites]))

    def module(self, path: str) -> nn.Module:
        """The module at a path, as in the user's network.

        Raises:
            ModelError: there is none; lists similar paths.
        """
        modules: dict[str, nn.Module] = dict(self.root.named_modules())
        if path not in modules:
            raise ModelError(_unknown("module", path, list(modules)))
        return modules[path]


def capture(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    *,
    leaves: Sequence[str] = (),
    task: Task = CLASSIFICATION,
    how: Capture | str = Capture.AUTO,
    any_size: bool = False,
) -> Graph:
    """Capture a copy of `model` and find its sites; `model` stays as it is.

    Values that train mode stores besides, such as those of auxiliary heads, are no sites. Modules
    that are kept whole although they hold several layers are told in a warning.

    Args:
        model: any network that torch.fx can trace or torch.export can export.
        example: one batch per input of the network, on the network's device, such as (n, 3, h, w).
        leaves: paths of modules to keep whole, because their Python cannot be traced.
        task: what the output means; `Task.check` is for the caller, who has targets.
        how: torch.fx, torch.export, which decides by the shapes of the example what depends on
            shapes, or the second where the first fails.
        any_size: for images of other heights and widths than those of the example, too; what was
            captured is compared with the network on larger ones. Shapes of sites are those of the
            example.

    Raises:
        ActpressError: there is no such way to capture.
        ModelError: the network cannot be captured in eval mode, or rejects the example; it is no
            nn.Module, or TorchScript or exported.
    """
    inputs = _checked_inputs(example)
    root = _copied(unwrapped(model))
    unwrap_inside(root)
    _check_leaves(root, leaves)
    inplace = inplace_paths(root)
    other = at_other_size(root.eval(), inputs) if any_size else None
    wanted = Wanted(tuple(leaves), way_of(how), other)
    eval_module, found = program_of(root.eval(), inputs, wanted)
    warn_of_hidden_layers(eval_module.graph, root)
    warn_of_unmerged_branches(root)
    warn_of_left_out(values_without_images(eval_module.graph, root))
    spots = find_spots(eval_module.graph, root)
    training = Training(root, inplace, inputs, replace(wanted, how=found), eval_module, spots)
    set_inplace(root, inplace, flag=False)
    sites = build_sites(spots, eval_module.graph, root)
    if other is not None:
        check_sites(eval_module, sites, other)
    fingerprint = _fingerprint(root, eval_module.graph, inputs, sites)
    return Graph(root, eval_module, training, inputs, sites, fingerprint, task, found)


def _checked_inputs(example: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    inputs = example if isinstance(example, tuple) else (example,)
    if not inputs:
        raise ModelError("example is an empty tuple, expected one tensor per input of the network")
    for item in inputs:
        _check_input(item)
    return inputs


def _check_input(item: object) -> None:
    if isinstance(item, Tensor) and item.ndim > 0:
        return
    got = "a tensor without axes" if isinstance(item, Tensor) else type(item).__name__
    raise ModelError(
        "example must be a tensor with a batch axis such as (1, 3, 224, 224), or a tuple of such "
        f"tensors, got {got}"
    )


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise ModelError(
            f"the network {type(model).__name__} cannot be copied: {error}; expected "
            "copy.deepcopy(model) to work, so remove what it holds besides parameters and modules "
            "(open files, results of earlier computations)"
        ) from error


def _check_leaves(model: nn.Module, leaves: Sequence[str]) -> None:
    paths = [path for path, _ in model.named_modules() if path]
    for leaf in leaves:
        if leaf not in paths:
            raise ModelError(_unknown("leaf module", leaf, paths))


def _fingerprint(
    root: nn.Module, graph: fx.Graph, inputs: tuple[Tensor, ...], sites: tuple[Site, ...]
) -> str:
    index = {node: position for position, node in enumerate(graph.nodes)}
    content = {
        "inputs": [tuple(x.shape[1:]) for x in inputs],
        "nodes": [
            (human_name(node, root), operator_of(node, root).name, _positions(node, index))
            for node in graph.nodes
        ],
        "sites": [(site.name, site.shape) for site in sites],
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _positions(node: fx.Node, index: dict[fx.Node, int]) -> list[int]:
    return [index[operand] for operand in node.all_input_nodes]


def _unknown(what: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.4) or known[:5]
    listed = ", ".join(repr(item) for item in near) or "none"
    return f"the network has no {what} {name!r}; near names: {listed}"
