"""A pressed network on disk, and reading it back without trust."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from actpress.codec import (
    MOST_TABLES,
    Basis,
    IdentityProjection,
    LinearProjection,
    Projection,
    SiteCodec,
    stored_dtype,
)
from actpress.errors import PlanError, RunError
from actpress.graph import Graph, insert_codecs
from actpress.kernels import CONTEXTS
from actpress.plan import Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, check_site
from actpress.run.folder import CODEC, NETWORK, PLAN, existing, write_text
from actpress.run.tensors import read_tensors, write_tensors

TABLE_IMAGES, NETWORK_LEARNED, PLAN_DIGEST = "table_images", "network_learned", "plan_sha256"
MAX_TABLE_LEVELS, MOST_COUNTED = 1 << 16, 1 << 44


def save_model(pressed: CompressedModel, folder: Path) -> None:
    """Write `plan.json`, `codec.safetensors` and, if the network learned, `network.safetensors`."""
    save_codecs(pressed, folder, network_learned=pressed.network_learned)
    if pressed.network_learned:
        state = {key: value.clone() for key, value in pressed.network_state().items()}
        write_tensors(folder / NETWORK, state)


def save_codecs(
    pressed: CompressedModel,
    folder: Path,
    *,
    network_learned: bool,
    codecs: Mapping[str, SiteCodec] | None = None,
) -> None:
    """Write `plan.json` and `codec.safetensors`.

    Args:
        pressed: whose codecs.
        folder: where to.
        network_learned: whether the weights of the network stand beside them, to be read too.
        codecs: those that are stored, by site; all if None.
    """
    tensors: dict[str, Tensor] = {
        TABLE_IMAGES: torch.tensor(pressed.table_images),
        NETWORK_LEARNED: torch.tensor(network_learned),
        PLAN_DIGEST: _digest(pressed.plan),
    }
    for name, codec in (pressed.codecs if codecs is None else codecs).items():
        for key, tensor in codec.state_dict().items():
            tensors[f"{name}/{key}"] = tensor.to(_stored_dtype(key, tensor))
    write_text(folder / PLAN, pressed.plan.to_json())
    write_tensors(folder / CODEC, tensors)


def load_model_from(
    folder: Path, graph: Graph, *, stored: Mapping[str, bool] | None = None
) -> CompressedModel:
    """Read `plan.json` and `codec.safetensors` back into a pressed network.

    Args:
        folder: that holds them.
        graph: of the float network.
        stored: for a half, the sites whose codecs are there, and whether they have code tables; all
            of the plan with tables if None.

    Raises:
        RunError: a file is missing or damaged; names the file and the tensor.
        PlanError: the plan is malformed, newer, or of another network.
    """
    plan = Plan.load(existing(folder, PLAN))
    if plan.fingerprint != graph.fingerprint:
        raise PlanError(
            f"{folder / PLAN} belongs to another network: its fingerprint is "
            f"{plan.fingerprint[:12]}, this network's {graph.fingerprint[:12]}; give the model "
            f"and the input size that the run was made with"
        )
    if not plan.sites:
        raise PlanError(f"{folder / PLAN} has no sites, so there is nothing to press")
    _check_sites(plan, graph, folder / PLAN)
    path = existing(folder, CODEC)
    tensors = read_tensors(path)
    if not _tensor(tensors, PLAN_DIGEST, path).equal(_digest(plan)):
        raise RunError(
            f"{path} was written with another plan than {folder / PLAN}, the plan was edited "
            f"since, or an earlier actpress wrote it; put the plan back, or compress again"
        )
    stored = {site.site: True for site in plan} if stored is None else stored
    codecs = {
        site.site: _read_codec(site, tensors, path, has_tables=stored[site.site])
        if site.site in stored
        else AbsentCodec(site.site)
        for site in plan
    }
    placements = {site.site: site.placement for site in plan}
    pressed = CompressedModel(insert_codecs(graph, codecs, placements), plan)
    pressed.table_images = _table_images(tensors, path)
    if bool(_tensor(tensors, NETWORK_LEARNED, path)):
        _read_network(existing(folder, NETWORK), pressed)
    device = next((p.device for p in graph.root.parameters()), torch.device("cpu"))
    return pressed.eval().to(device)


def _digest(plan: Plan) -> Tensor:
    """SHA-256 of a plan, which its codecs are stored with."""
    return torch.tensor(list(hashlib.sha256(plan.to_json().encode()).digest()), dtype=torch.uint8)


def _stored_dtype(key: str, tensor: Tensor) -> torch.dtype:
    """The precision that the accounting counts; what is stored was rounded to it before."""
    if key.startswith("projection."):
        return stored_dtype(tensor)
    return torch.bfloat16 if key == "step" else tensor.dtype


def _read_network(path: Path, pressed: CompressedModel) -> None:
    copy_tensors(read_tensors(path), pressed.network_state(), path)
    pressed.network_learned = True


def copy_tensors(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> None:
    """Copy what was read from a file into a network's own tensors.

    Raises:
        RunError: names, shapes or types differ; names the file.
    """
    if tensors.keys() != own.keys():
        different = sorted(tensors.keys() ^ own.keys())
        raise RunError(f"{path} is of another network: {', '.join(different[:3])} do not match")
    for key, tensor in tensors.items():
        if tensor.shape != own[key].shape or tensor.dtype != own[key].dtype:
            raise RunError(
                f"{path}: {key} is {tensor.dtype} {tuple(tensor.shape)}, expected "
                f"{own[key].dtype} {tuple(own[key].shape)}; compress again"
            )
        own[key].copy_(tensor)


def _check_sites(plan: Plan, graph: Graph, path: Path) -> None:
    """Before anything of the plan's size is allocated."""
    for site in plan:
        try:
            check_site(graph, site)
        except PlanError as error:
            raise PlanError(f"{path}: {error}") from error


def _table_images(tensors: dict[str, Tensor], path: Path) -> int:
    images = _tensor(tensors, TABLE_IMAGES, path)
    if images.ndim or images.dtype != torch.int64 or images < 0:
        raise RunError(
            f"{path}: {TABLE_IMAGES} is {images.dtype} {tuple(images.shape)}, expected one "
            f"non-negative int64; compress again"
        )
    return int(images)


class AbsentCodec(nn.Module):
    """Stands at a site whose codec a half of a network does not need.

    Args:
        site: for the message.
    """

    def __init__(self, site: str) -> None:
        super().__init__()
        self.site = site

    def forward(self, x: Tensor) -> Tensor:
        raise RunError(f"this half holds no codec for the site {self.site}; split the run again")


def _read_codec(
    site: SitePlan, tensors: dict[str, Tensor], path: Path, *, has_tables: bool
) -> SiteCodec:
    """Rebuild one codec; every tensor is checked against the plan before it is used."""
    projection: Projection = IdentityProjection()
    if f"{site.site}/projection.encoder" in tensors or not site.is_identity:
        size = site.components
        blank = Basis(*(torch.zeros(shape) for shape in ((size, size), size, (size, size))))
        stored = site.transform not in (Transform.DCT, Transform.HADAMARD)
        projection = LinearProjection(
            blank, torch.zeros(size), site.rank, block=site.block, stored=stored
        )
    blank_vector = torch.zeros(site.rank)
    codec = SiteCodec(projection, blank_vector, blank_vector, blank_vector)
    counts = _tensor(tensors, f"{site.site}/counts", path)
    fits = counts.ndim == 2 and len(counts) <= MOST_TABLES and counts.dtype == torch.int64
    if not fits or counts.shape[1] > MAX_TABLE_LEVELS:
        raise RunError(
            f"{path}: {site.site}/counts has shape {tuple(counts.shape)}, {counts.dtype}, expected "
            f"(tables, levels), int64, at most {MOST_TABLES} tables; compress again"
        )
    table_of = _tensor(tensors, f"{site.site}/table_of", path)
    shapes = ((site.rank, 1), (site.rank, CONTEXTS))
    if tuple(table_of.shape) not in shapes or table_of.dtype != torch.uint8:
        raise RunError(
            f"{path}: {site.site}/table_of has shape {tuple(table_of.shape)}, {table_of.dtype}, "
            f"expected {shapes[0]} or {shapes[1]}, uint8; compress again"
        )
    codec.counts, codec.table_of = torch.zeros_like(counts), torch.zeros_like(table_of)
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
    _check_ranges(codec, site.site, path)
    if has_tables or codec.has_tables:
        _check_tables(codec, site.site, path)
    codec.widest_min, codec.widest_max = codec.q_min.clone(), codec.q_max.clone()
    return codec


def _check_ranges(codec: SiteCodec, name: str, path: Path) -> None:
    width = codec.q_max.long() - codec.q_min.long() + 1
    if not ((width >= 1).all() and (codec.step > 0).all()):
        raise RunError(f"{path}: ranges, steps or tables of {name} are out of bounds")


def _check_tables(codec: SiteCodec, name: str, path: Path) -> None:
    fits = codec.counts.shape[1] == int(codec.q_max.max()) - codec.lowest + 1
    possible = (codec.counts >= 0).all() and (codec.counts < MOST_COUNTED).all()
    counted = possible and (codec.counts.sum(1) > 0).all()
    named = (codec.table_of < len(codec.counts)).all()
    if not (fits and counted and named):
        raise RunError(f"{path}: ranges, steps or tables of {name} are out of bounds")


def _tensor(tensors: dict[str, Tensor], key: str, path: Path) -> Tensor:
    if key not in tensors:
        raise RunError(f"{path} lacks the tensor {key}; it is damaged or of another plan")
    return tensors[key]
