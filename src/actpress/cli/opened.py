"""A run directory with its network, ready to be used."""

from dataclasses import dataclass
from pathlib import Path

import torch

from actpress.api import capture_for
from actpress.cli.sources import load_model
from actpress.errors import RunError
from actpress.graph import Graph
from actpress.pressing import CompressedModel
from actpress.run import (
    SOURCE,
    Source,
    check_weights,
    load_model_from,
    load_source,
    refuse_half,
)


@dataclass(frozen=True)
class OpenedRun:
    """What a run directory leads to.

    Attributes:
        source: of model and data.
        graph: of the float network.
        pressed: the compressed network.
    """

    source: Source
    graph: Graph
    pressed: CompressedModel


def open_run(run: Path, *, weights: Path | None, device: torch.device) -> OpenedRun:
    """Load the network of a run, and the run.

    Raises:
        ActpressError: anything that is missing, damaged or of another network.
    """
    refuse_half(run)
    source = load_source(run)
    if ":" not in source.model:
        raise RunError(
            f"{run / SOURCE} names the model {source.model!r}, but not how to build it; put "
            f"package.module:factory there"
        )
    path = weights or (None if source.weights is None else Path(source.weights))
    network = load_model(source.model, args=source.model_args, weights=path).to(device)
    example = torch.zeros(2, *source.input, device=device)
    graph = capture_for(
        network, example, source.leaves, how=source.capture, any_size=source.any_size
    )
    pressed = load_model_from(run, graph)
    check_weights(source, network)
    return OpenedRun(source, graph, pressed)
