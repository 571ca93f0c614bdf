"""Run directories: what a compression leaves on disk, and reading it back without trust.

plan.json          the decisions
codec.safetensors  projections, steps, ranges and code tables
metrics.json       the numbers
report.html        the same for people
run.json           where model and data came from
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from actpress.codec import Basis, IdentityProjection, LinearProjection, Projection, SiteCodec
from actpress.errors import PlanError, RunError
from actpress.evaluate.metrics import FORMAT_VERSION as METRICS_VERSION
from actpress.evaluate.metrics import Metrics
from actpress.graph import Graph, insert_codecs
from actpress.plan import Plan, SitePlan, Transform, first_complaint
from actpress.press import PressedModel

PLAN, CODEC, METRICS, REPORT, SOURCE = (
    "plan.json",
    "codec.safetensors",
    "metrics.json",
    "report.html",
    "run.json",
)
TABLE_IMAGES = "table_images"
MAX_TABLE_LEVELS = 1 << 16


class Source(BaseModel):
    """Where model and data came from, so that a run can be evaluated again.

    Attributes:
        model: `package.module:factory`, or a description when the API was used.
        model_args: keyword arguments of the factory, JSON.
        weights: path of the weights, if any.
        data: name of the data set.
        input: shape of one image, (c, h, w).
        leaves: module paths that were not traced into.
        weights_sha256: `hash_weights` of the float network.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    model_args: str | None = None
    weights: str | None = None
    data: str
    input: tuple[int, int, int]
    leaves: tuple[str, ...] = ()
    weights_sha256: str


@contextmanager
def new_folder(target: Path, *, force: bool) -> Iterator[Path]:
    """A folder that appears at `target` whole when the block succeeds, and not at all otherwise.

    Raises:
        RunError: `target` exists and `force` is not set.
    """
    check_free(target, force=force)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield partial
        partial.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_free(target: Path, *, force: bool) -> None:
    """Refuse a target that exists, unless the user allowed to replace it.

    Only an empty folder or an earlier run is ever replaced.

    Raises:
        RunError: it exists and must not be replaced.
    """
    if not target.exists():
        return
    if not force:
        raise RunError(f"{target} exists already; choose another --out, or replace it with --force")
    if not target.is_dir() or (any(target.iterdir()) and not (target / PLAN).exists()):
        raise RunError(
            f"{target} is not a run directory (it holds no {PLAN}), so it is not replaced even "
            f"with --force; choose another --out"
        )


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def save_model(pressed: PressedModel, folder: Path) -> None:
    """Write `plan.json` and `codec.safetensors`."""
    tensors: dict[str, Tensor] = {TABLE_IMAGES: torch.tensor(pressed.table_images)}
    for name, codec in pressed.codecs.items():
        for key, tensor in codec.state_dict().items():
            half = key.startswith("projection.")
            stored = tensor.half() if half else tensor
            tensors[f"{name}/{key}"] = stored.cpu().contiguous()
    write_text(folder / PLAN, pressed.plan.to_json())
    write_bytes(folder / CODEC, save(tensors))


def load_model_from(folder: Path, graph: Graph) -> PressedModel:
    """Read `plan.json` and `codec.safetensors` back into a pressed network.

    Raises:
        RunError: a file is missing or damaged; names the file and the tensor.
        PlanError: the plan is malformed, newer, or of another network.
    """
    plan = Plan.load(_existing(folder, PLAN))
    if plan.fingerprint != graph.fingerprint:
        raise PlanError(
            f"{folder / PLAN} belongs to another network: its fingerprint is "
            f"{plan.fingerprint[:12]}, this network's {graph.fingerprint[:12]}; give the model "
            f"and the input size that the run was made with"
        )
    _check_channels(plan, graph, folder / PLAN)
    path = _existing(folder, CODEC)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise RunError(f"{path} is damaged: {error}; compress again") from error
    codecs = {site.site: _read_codec(site, tensors, path) for site in plan}
    placements = {site.site: site.placement for site in plan}
    pressed = PressedModel(insert_codecs(graph, codecs, placements), plan)
    pressed.table_images = _table_images(tensors, path)
    return pressed.eval()


def load_metrics(folder: Path) -> Metrics:
    """Read `metrics.json`.

    Raises:
        RunError: missing, damaged, or of another version.
    """
    path = _existing(folder, METRICS)
    try:
        metrics = Metrics.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        what = first_complaint(error) if isinstance(error, ValidationError) else str(error)
        raise RunError(f"{path} is damaged or of another version: {what}") from error
    if metrics.version != METRICS_VERSION:
        raise RunError(
            f"{path} has format version {metrics.version}, but this actpress reads version "
            f"{METRICS_VERSION}; evaluate the run again"
        )
    return metrics


def load_source(folder: Path) -> Source:
    """Read `run.json`.

    Raises:
        RunError: missing or damaged.
    """
    path = _existing(folder, SOURCE)
    try:
        return Source.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        what = first_complaint(error) if isinstance(error, ValidationError) else str(error)
        raise RunError(f"{path} is damaged: {what}") from error


def hash_weights(model: nn.Module) -> str:
    """A digest of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_weights(source: Source, model: nn.Module) -> None:
    """Refuse a network whose weights are not those that a run was made with.

    Raises:
        RunError: they differ.
    """
    if hash_weights(model) != source.weights_sha256:
        raise RunError(
            f"the weights of {source.model} are not those that the run was made with; give the "
            f"same ones with --weights"
        )


def metrics_json(metrics: Metrics) -> str:
    """The text of `metrics.json`."""
    return json.dumps(metrics.model_dump(mode="json"), indent=1) + "\n"


def _existing(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise RunError(
            f"{folder} is not a complete run directory: {name} is missing; expected the --out of "
            f"actpress compress"
        )
    return path


def _check_channels(plan: Plan, graph: Graph, path: Path) -> None:
    """Before anything of the plan's size is allocated."""
    for site in plan:
        channels = graph.site(site.site).channels
        if site.channels != channels:
            raise PlanError(
                f"{path}: site {site.site}: the plan has {site.channels} channels, the network "
                f"{channels}"
            )


def _table_images(tensors: dict[str, Tensor], path: Path) -> int:
    images = _tensor(tensors, TABLE_IMAGES, path)
    if images.ndim or images.dtype != torch.int64 or images < 0:
        raise RunError(
            f"{path}: {TABLE_IMAGES} is {images.dtype} {tuple(images.shape)}, expected one "
            f"non-negative int64; compress again"
        )
    return int(images)


def _read_codec(site: SitePlan, tensors: dict[str, Tensor], path: Path) -> SiteCodec:
    """Rebuild one codec; every tensor is checked against the plan before it is used."""
    projection: Projection = IdentityProjection()
    if f"{site.site}/projection.encoder" in tensors or not _is_identity(site):
        channels = site.channels
        blank = Basis(
            *(
                torch.zeros(shape)
                for shape in ((channels, channels), channels, (channels, channels))
            )
        )
        stored = site.transform not in (Transform.DCT, Transform.HADAMARD)
        projection = LinearProjection(blank, torch.zeros(channels), site.rank, stored=stored)
    blank_vector = torch.zeros(site.rank)
    codec = SiteCodec(projection, blank_vector, blank_vector, blank_vector)
    counts = _tensor(tensors, f"{site.site}/counts", path)
    fits = counts.ndim == 2 and len(counts) == site.rank and counts.dtype == torch.int64
    if not fits or counts.shape[1] > MAX_TABLE_LEVELS:
        raise RunError(
            f"{path}: {site.site}/counts has shape {tuple(counts.shape)}, {counts.dtype}, expected "
            f"({site.rank}, levels), int64; compress again"
        )
    codec.counts = torch.zeros_like(counts)
    for key, own in codec.state_dict().items():
        read = _tensor(tensors, f"{site.site}/{key}", path)
        if read.shape != own.shape or read.is_floating_point() != own.is_floating_point():
            raise RunError(
                f"{path}: {site.site}/{key} is {read.dtype} {tuple(read.shape)}, expected "
                f"{own.dtype} {tuple(own.shape)}; compress again"
            )
        if read.is_floating_point() and not torch.isfinite(read).all():
            raise RunError(f"{path}: {site.site}/{key} is not finite; compress again")
        own.copy_(read)
    _check_tables(codec, site.site, path)
    return codec


def _is_identity(site: SitePlan) -> bool:
    return site.transform is Transform.IDENTITY and site.rank == site.channels


def _check_tables(codec: SiteCodec, name: str, path: Path) -> None:
    width = codec.q_max.long() - codec.q_min.long() + 1
    fits = (width >= 1) & (width <= codec.counts.shape[1])
    counted = (codec.counts >= 0).all() and (codec.counts.sum(1) > 0).all()
    if not (fits.all() and counted and (codec.step > 0).all()):
        raise RunError(f"{path}: ranges, steps or tables of {name} are out of bounds")


def _tensor(tensors: dict[str, Tensor], key: str, path: Path) -> Tensor:
    if key not in tensors:
        raise RunError(f"{path} lacks the tensor {key}; it is damaged or of another plan")
    return tensors[key]
