"""What `compress` returns, and how it becomes a run directory."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from actpress.data import FILES, load_dataset
from actpress.errors import DataError, ModelError, RunError
from actpress.evaluation import Metrics
from actpress.graph import capture
from actpress.preparation import Preparation
from actpress.pressing import CompressedModel
from actpress.run import (
    METRICS,
    REPORT,
    SOURCE,
    Source,
    check_free,
    check_weights,
    metrics_json,
    network_of,
    new_folder,
    save_model,
    write_text,
)
from actpress.tasks import CLASSIFICATION, Task
from actpress.tasks.named import is_same_task


@dataclass(frozen=True)
class Result:
    """A compressed network, its numbers, and where it came from.

    Attributes:
        model: the network; an ordinary `nn.Module` with the outputs of the original.
        metrics: measured on the test split.
        source: of model and data.
        task: what the network's output means.
    """

    model: CompressedModel
    metrics: Metrics
    source: Source
    task: Task

    def save(
        self,
        folder: Path | str,
        *,
        force: bool = False,
        model: str | None = None,
        model_args: Mapping[str, object] | None = None,
        weights: Path | str | None = None,
        data: str | None = None,
        preparation: Preparation | None = None,
    ) -> None:
        """Write a run directory: plan, codec, metrics, report.

        What is named is opened before anything is written, so that commands such as
        `actpress evaluate` can open it too.

        Args:
            folder: to be made.
            force: replace an earlier run.
            model: `package.module:factory` of the float network; without it commands know a
                description alone.
            model_args: keyword arguments of the factory.
            weights: file that they load into what the factory makes; None where it has its weights.
            data: name or factory of the data, see `load_dataset`, which is not needed where that
                opened them.
            preparation: of the data, where it is not that of the data that were compressed with,
                such as mean and std of an image folder, or a task of your own.

        Raises:
            RunError: the folder exists and `force` is not set, or the factory makes another network
                or one with other weights, or data are of another task.
            ModelError: there is no such factory, or the weights do not fit.
            DataError: the data cannot be opened, or their images have another shape.
            TaskError: there is no such task.
        """
        check_free(Path(folder), force=force)
        if preparation is not None and data is None:
            raise DataError("preparation= says how data are opened; name them with data= too")
        source = self.source
        if model is not None:
            path = None if weights is None else Path(weights)
            self._check_network(model, model_args, path)
            update = {
                "model": model,
                "model_args": json.dumps(model_args) if model_args else None,
                "weights": None if path is None else str(path.resolve()),
            }
            source = source.model_copy(update=update)
        if data is not None:
            source = source.model_copy(update=self._reference(data, preparation))
        with new_folder(Path(folder), force=force) as partial:
            replace(self, source=source).write_files(partial)

    def _check_network(
        self, model: str, arguments: Mapping[str, object] | None, weights: Path | None
    ) -> None:
        """Refuse a factory that does not make the network that was compressed."""
        source = self.source
        network = network_of(model, arguments, weights)
        check_weights(source, network)
        example = torch.zeros(2, *source.input)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what they say was said when it was compressed
                graph = capture(
                    network,
                    example,
                    leaves=source.leaves,
                    how=source.capture,
                    any_size=source.any_size,
                )
        except ModelError as error:
            raise ModelError(f"{model} makes a network that cannot be captured: {error}") from error
        if graph.fingerprint != self.model.plan.fingerprint:
            raise RunError(
                f"{model} makes a network that has the weights of {source.model}, but computes "
                f"something else; name the factory of the network that was compressed"
            )

    def _reference(self, data: str, preparation: Preparation | None) -> dict[str, object]:
        """The fields of a source that say how data are opened, once they were."""
        known = preparation or self.source.preparation
        if preparation is None and known is not None and not data.startswith(FILES):
            known = None if known.task is None else Preparation(task=known.task)
        mend = (
            "name the task with preparation=Preparation(task=...), as a name or as "
            "package.module:factory, or let the factory of the data return an "
            "actpress.data.Dataset of that task"
        )
        try:
            opened = load_dataset(data, input_shape=self.source.input, preparation=known)
        except DataError as error:
            if (known is not None and known.task is not None) or self._has_usual_task:
                raise
            raise DataError(
                f"{data} cannot be opened without its task, {self.task.name}, which has no name "
                f"with these settings: {error}; {mend}"
            ) from error
        if not is_same_task(opened.task, self.task):
            raise RunError(
                f"the task of {data} is {opened.task.name}, but the network was compressed for "
                f"{self.task.name}; {mend}"
            )
        assert opened.reference is not None, "it was opened by name"
        return {"data": opened.reference.spec, "preparation": opened.reference.preparation}

    @property
    def _has_usual_task(self) -> bool:
        return is_same_task(self.task, CLASSIFICATION)

    def write_files(self, folder: Path) -> None:
        """Write the files of a run directory into a folder that exists."""
        from actpress.report import render_html  # noqa: PLC0415 - templates load slowly

        save_model(self.model, folder)
        write_text(folder / METRICS, metrics_json(self.metrics))
        write_text(folder / REPORT, render_html(self.metrics))
        write_text(folder / SOURCE, self.source.model_dump_json(indent=2) + "\n")
