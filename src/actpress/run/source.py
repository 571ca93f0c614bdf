"""Where the model and the data of a run came from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)
from torch import nn

from actpress.checkpoints import load_weights
from actpress.data.dataset import Dataset, Reference
from actpress.errors import DataError, ModelError, RunError
from actpress.factories import call_factory
from actpress.graph import hash_weights, unwrapped
from actpress.plan import first_complaint
from actpress.preparation import Preparation
from actpress.run.folder import SOURCE, existing
from actpress.settings import Capture
from actpress.tasks import CLASSIFICATION, Task, Unlabelled
from actpress.tasks.named import name_of_task

Side = Annotated[int, Field(ge=1, le=1 << 14)]


class Source(BaseModel):
    """Where model and data came from, so that a run can be evaluated again.

    Attributes:
        model: `package.module:factory`, or a description when the API was used.
        model_args: keyword arguments of the factory, JSON.
        weights: path of the weights, if any.
        data: name of the data set.
        preparation: what the data could not tell by themselves, if it is not the default.
        input: shape of one image, such as (c, h, w).
        leaves: module paths that were not traced into.
        capture: how the network was to be captured.
        any_size: whether for other heights and widths too.
        weights_sha256: `hash_weights` of the float network.
        images_sha256: of the images that were used, by split; None where that is not known, and
            empty for a split whose images come out otherwise each time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    model_args: str | None = None
    weights: str | None = None
    data: str
    preparation: Preparation | None = None
    input: Annotated[tuple[Side, ...], Field(min_length=1, max_length=4)]
    leaves: tuple[str, ...] = ()
    capture: Capture = Capture.AUTO
    any_size: bool = False
    weights_sha256: str
    images_sha256: dict[str, str] | None = None

    @model_serializer(mode="wrap")
    def _without_usual_choices(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields, without what earlier versions do not know, where it is not asked for."""
        fields: dict[str, Any] = handler(self)
        if self.preparation is not None and not self.preparation.unlabelled:
            fields["preparation"].pop("unlabelled", None)
        if self.preparation is not None and self.preparation.task is None:
            fields["preparation"].pop("task", None)
        if self.capture is Capture.AUTO:
            fields.pop("capture", None)
        if not self.any_size:
            fields.pop("any_size", None)
        return fields


def source_of(
    network: nn.Module,
    data: Dataset,
    *,
    digests: Mapping[str, str] | None = None,
    model: str | None = None,
    model_args: str | None = None,
    weights: Path | None = None,
    leaves: Sequence[str] = (),
    capture: Capture = Capture.AUTO,
    any_size: bool = False,
) -> Source:
    """What a run remembers of where its network and data came from.

    Args:
        network: with its weights.
        data: that it is compressed with.
        digests: of the images that are used, by split.
        model: `package.module:factory`; without it a description takes its place.
        model_args: keyword arguments of the factory, JSON.
        weights: file that they were loaded from.
        leaves: module paths that are not traced into.
        capture: how the network is captured.
        any_size: whether for other heights and widths too.
    """
    return Source(
        model=model or type(unwrapped(network)).__name__,
        model_args=model_args,
        weights=None if weights is None else str(weights.resolve()),
        data=data.name if data.reference is None else data.reference.spec,
        preparation=_with_task(data.reference, data.task),
        input=data.input_shape,
        leaves=tuple(leaves),
        capture=capture,
        any_size=any_size,
        weights_sha256=hash_weights(network),
        images_sha256=None if digests is None else dict(digests),
    )


def _with_task(reference: Reference | None, task: Task) -> Preparation | None:
    """The preparation of some data, with their task where that is not the usual one."""
    known = None if reference is None else reference.preparation
    own = task.of if isinstance(task, Unlabelled) else task
    name = None if own == CLASSIFICATION else name_of_task(own)
    if name is None or (known is not None and known.task is not None):
        return known
    return replace(known or Preparation(), task=name)


def network_of(
    spec: str, arguments: Mapping[str, object] | None = None, weights: Path | None = None
) -> nn.Module:
    """Build the network that a factory makes, in eval mode; no code from `weights` is executed.

    Args:
        spec: `package.module:factory`.
        arguments: of the factory, by keyword.
        weights: state dict or checkpoint, see `load_weights`.

    Raises:
        ModelError: the factory cannot be found, raises, or returns something else; the weights
            cannot be read, need code to be executed, or do not match the network.
    """
    model = call_factory(spec, error=ModelError, arguments=arguments)
    if not isinstance(model, nn.Module):
        raise ModelError(f"{spec} returned a {type(model).__name__}; expected a torch.nn.Module")
    model = unwrapped(model)
    if weights is not None:
        load_weights(model, weights)
    return model.eval()


def load_source(folder: Path) -> Source:
    """Read `run.json`.

    Raises:
        RunError: missing or damaged.
    """
    path = existing(folder, SOURCE)
    try:
        return Source.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, DataError) as error:
        what = first_complaint(error) if isinstance(error, ValidationError) else str(error)
        raise RunError(f"{path} is damaged: {what}") from error


def check_weights(source: Source, model: nn.Module) -> None:
    """Refuse a network whose weights are not those that a run was made with.

    Raises:
        RunError: they differ.
    """
    if hash_weights(model) != source.weights_sha256:
        raise RunError(
            f"the weights of {source.model} are not those that the run was made with; give the "
            f"same ones (the commands take them as --weights)"
        )
