"""The network that the user named, and what a run remembers of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from actpress.cli.arguments import parse_arguments
from actpress.data import HUGGING_FACE, IMAGE_FOLDER, Dataset
from actpress.graph import hash_weights
from actpress.preparation import Preparation
from actpress.run import Source, network_of
from actpress.settings import Capture


def load_model(spec: str, *, args: str | None = None, weights: Path | None = None) -> nn.Module:
    """Build the network that the user named, in eval mode; no code from `weights` is executed.

    Args:
        spec: `package.module:factory`.
        args: JSON object of keyword arguments for the factory.
        weights: state dict or checkpoint, see `load_weights`.

    Raises:
        ModelError: the factory cannot be found, raises, or returns something else; the weights
            cannot be read, need code to be executed, or do not match the network.
    """
    return network_of(spec, parse_arguments(args), weights)


@dataclass(frozen=True)
class Origin:
    """Where the options of a command take model and data from, see `Source`."""

    model: str
    model_args: str | None
    weights: Path | None
    data: str
    leaves: tuple[str, ...]
    capture: Capture
    preparation: Preparation | None = None

    def source(
        self, network: nn.Module, images: Dataset, digests: Mapping[str, str] | None = None
    ) -> Source:
        """What a run directory remembers of them.

        Args:
            network: with its weights.
            images: of the data set.
            digests: of the images that are used, by split.
        """
        return Source(
            model=self.model,
            model_args=self.model_args,
            weights=None if self.weights is None else str(self.weights.resolve()),
            data=_absolute(self.data),
            preparation=self.preparation,
            input=images.input_shape,
            leaves=self.leaves,
            capture=self.capture,
            weights_sha256=hash_weights(network),
            images_sha256=None if digests is None else dict(digests),
        )


def _absolute(data: str) -> str:
    """The name of a data set, so that it is found from other folders too."""
    for prefix in (IMAGE_FOLDER, HUGGING_FACE):
        path = Path(data.removeprefix(prefix)).expanduser()
        if data.startswith(prefix) and (prefix == IMAGE_FOLDER or path.is_dir()):
            return f"{prefix}{path.resolve()}"
    return data
