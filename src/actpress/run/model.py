"""A pressed network on disk, and reading it back without trust."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from actpress.codec import SiteCodec
from actpress.errors import PlanError, RunError
from actpress.files import write_text
from actpress.graph import Graph, insert_codecs
from actpress.plan import Plan
from actpress.pressing import CompressedModel, check_site
from actpress.run.codecs import CodecReader, codec_tensors, table_tensors
from actpress.run.folder import CODEC, NETWORK, PLAN, existing
from actpress.run.tensors import read_tensors, write_tensors

TABLE_IMAGES, NETWORK_LEARNED, PLAN_DIGEST = "table_images", "network_learned", "plan_sha256"


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
        tensors |= {f"{name}/{key}": value for key, value in codec_tensors(codec).items()}
    if pressed.tables is not None:
        shared = table_tensors(pressed.tables)
        tensors |= {f"tables/{key}": value for key, value in shared.items()}
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
    stored_digest, digest = _tensor(tensors, PLAN_DIGEST, path), _digest(plan)
    if stored_digest.dtype != digest.dtype or not stored_digest.equal(digest):
        raise RunError(
            f"{path} was written with another plan than {folder / PLAN}, the plan was edited "
            f"since, or an earlier actpress wrote it; put the plan back, or compress again"
        )
    reader = CodecReader(tensors, path)
    codecs = {
        site.site: reader.codec(site, has_tables=stored is None or stored[site.site])
        if stored is None or site.site in stored
        else AbsentCodec(site.site)
        for site in plan
    }
    placements = {site.site: site.placement for site in plan}
    reads = {site.site: graph.site(site.site).reads for site in plan}
    pressed = CompressedModel(insert_codecs(graph, codecs, placements), plan, reads)
    pressed.tables = reader.tables
    pressed.table_images = _table_images(tensors, path)
    if _network_learned(tensors, path):
        _read_network(existing(folder, NETWORK), pressed)
    device = next((p.device for p in graph.root.parameters()), torch.device("cpu"))
    return pressed.eval().to(device)


def _digest(plan: Plan) -> Tensor:
    """SHA-256 of a plan, which its codecs are stored with."""
    return torch.tensor(list(hashlib.sha256(plan.to_json().encode()).digest()), dtype=torch.uint8)


def _read_network(path: Path, pressed: CompressedModel) -> None:
    copy_tensors(read_tensors(path), pressed.network_state(), path)
    pressed.network_learned = True


def copy_tensors(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> None:
    """Copy what was read from a file into a network's own tensors.

    Raises:
        RunError: names, shapes or types differ, or a number is not finite where the network has
            one that is; names the file.
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
        if (torch.isfinite(own[key]) & ~torch.isfinite(tensor.to(own[key].device))).any():
            raise RunError(f"{path}: {key} holds NaN or infinite values; compress again")
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


def _network_learned(tensors: dict[str, Tensor], path: Path) -> bool:
    learned = _tensor(tensors, NETWORK_LEARNED, path)
    if learned.ndim or learned.dtype != torch.bool:
        raise RunError(
            f"{path}: {NETWORK_LEARNED} is {learned.dtype} {tuple(learned.shape)}, expected one "
            f"bool; compress again"
        )
    return bool(learned)


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


def _tensor(tensors: dict[str, Tensor], key: str, path: Path) -> Tensor:
    if key not in tensors:
        raise RunError(f"{path} lacks the tensor {key}; it is damaged or of another plan")
    return tensors[key]
