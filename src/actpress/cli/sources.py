"""The network that the user named, and the data of a run."""

from pathlib import Path

from torch import nn

from actpress.cli.arguments import parse_arguments
from actpress.data import FILES, Dataset, is_named, load_dataset
from actpress.errors import DataError
from actpress.preparation import Preparation
from actpress.run import SOURCE, Source, network_of


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


def data_of(source: Source, other: str | None = None) -> Dataset:
    """The data of a run, or others that its network takes.

    Args:
        source: of the run.
        other: name or factory of other data; those of files are prepared as those of the run.

    Raises:
        DataError: they cannot be opened, or the run does not know how its own were.
    """
    preparation = source.preparation
    if other is None and not is_named(source.data):
        raise DataError(
            f"{SOURCE} of the run names the data {source.data!r}, but not how to open them; give "
            f"--data where the command takes it, or name them as Result.save(data=...) does"
        )
    if preparation is not None and other is not None and not other.startswith(FILES):
        preparation = Preparation(task=preparation.task)  # a factory prepares its own images
    return load_dataset(other or source.data, input_shape=source.input, preparation=preparation)
