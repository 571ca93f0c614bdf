"""Both halves of a split network on disk: each with its own codecs and weights only.

plan.json            the decisions, of the whole network
codec.safetensors    the codecs of this half; those of the sites that are sent with code tables
run.json             where the model came from
half.json            where it was cut, which half this is, and fingerprints of its codecs
network.safetensors  the weights of this half
"""

import copy
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, fx, nn

from actpress.codec import SiteCodec
from actpress.errors import RunError
from actpress.files import write_text
from actpress.graph import CODECS_PATH
from actpress.plan import first_complaint
from actpress.pressing import CompressedModel
from actpress.run.folder import HALF, NETWORK, SOURCE, existing
from actpress.run.loading import load_captured
from actpress.run.model import copy_tensors, save_codecs
from actpress.run.source import Source, load_source
from actpress.run.tensors import read_tensors, write_tensors
from actpress.settings import MAX_IMAGES
from actpress.splitting import Head, Tail, split
from actpress.stream import MAX_BYTES, fingerprint, fingerprint_of

Part = Literal["head", "tail"]
Fingerprint = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class Half(BaseModel):
    """Which half of a network a folder holds.

    Attributes:
        part: head or tail.
        at: site after which the network was cut.
        sent: sites whose values cross the cut.
        inside: other sites of this half; their codecs have no code tables.
        whole: fingerprint of all codecs of the network, which stands in every stream, hexadecimal.
        own: fingerprint of the codecs that are here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: Part
    at: str
    sent: tuple[str, ...]
    inside: tuple[str, ...]
    whole: Fingerprint
    own: Fingerprint

    @property
    def stored(self) -> dict[str, bool]:
        """The sites whose codecs are here, and whether they have code tables."""
        return {name: name in self.sent for name in (*self.sent, *self.inside)}


def save_halves(pressed: CompressedModel, at: str, source: Source, folder: Path) -> Head:
    """Cut a network after a site and write `head/` and `tail/` into a folder; returns the head.

    Raises:
        ModelError: the plan has no such site, or the tail would need the network's input.
    """
    head, tail = split(pressed, at)
    modules: dict[Part, fx.GraphModule] = {"head": head.module, "tail": tail.module}
    for part, module in modules.items():
        target = folder / part
        target.mkdir()
        half, codecs = _half_of(pressed, part, at, module, head.sites)
        save_codecs(pressed, target, network_learned=False, codecs=codecs)
        weights = {key: value.clone() for key, value in _weights(module).items()}
        write_tensors(target / NETWORK, weights)
        write_text(target / SOURCE, source.model_dump_json(indent=2) + "\n")
        write_text(target / HALF, half.model_dump_json(indent=2) + "\n")
    return head


def load_head(folder: Path | str, model: nn.Module) -> Head:
    """The half that turns images into bytes.

    It brings its own weights, so that the network's may be any; `load_run` needs the trained ones.

    Args:
        folder: the `head` that `actpress split` wrote.
        model: the float network as its factory builds it, with any weights; captured, not changed.

    Raises:
        RunError: a file is missing, damaged, or of the other half.
        PlanError: the folder is of another network.
    """
    pressed, at = _load(Path(folder), "head", model)
    head = split(pressed, at)[0]
    _read_weights(Path(folder), head.module)
    return head


def load_tail(
    folder: Path | str,
    model: nn.Module,
    *,
    any_size: bool = False,
    max_images: int = MAX_IMAGES,
    max_bytes: int = MAX_BYTES,
) -> Tail:
    """The half that turns bytes into what the whole network returns.

    Args:
        folder: the `tail` that `actpress split` wrote.
        model: as for `load_head`, with any weights.
        any_size: whether it accepts activations of other input sizes, see `Decoder`.
        max_images: of a batch that it accepts, likewise.
        max_bytes: of memory that a batch may need, likewise.

    Raises:
        RunError, PlanError: as `load_head`.
    """
    pressed, at = _load(Path(folder), "tail", model)
    tail = split(pressed, at)[1]
    tail.any_size, tail.max_images, tail.max_bytes = any_size, max_images, max_bytes
    _read_weights(Path(folder), tail.module)
    return tail


def _load(folder: Path, part: Part, model: nn.Module) -> tuple[CompressedModel, str]:
    path = existing(folder, HALF, made_by="split")
    try:
        half = Half.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        what = first_complaint(error) if isinstance(error, ValidationError) else str(error)
        raise RunError(f"{path} is damaged: {what}; split the run again") from error
    if half.part != part:
        raise RunError(f"{folder} holds the {half.part} of a network; expected its {part}")
    pressed = load_captured(folder, load_source(folder), model, stored=half.stored)
    if unknown := half.stored.keys() - pressed.codecs.keys():
        raise RunError(
            f"{path} is damaged: the plan has no site {min(unknown)}; split the run again"
        )
    codecs = {name: codec for name, codec in pressed.codecs.items() if name in half.stored}
    if fingerprint_of(pressed.plan, codecs).hex() != half.own:
        raise RunError(
            f"{folder}: the codecs are not those that {HALF} was written with, or this machine "
            f"rounds their code tables otherwise; split the run again, on this machine"
        )
    pressed.whole = bytes.fromhex(half.whole)
    return pressed, half.at


def _half_of(
    pressed: CompressedModel,
    part: Part,
    at: str,
    module: fx.GraphModule,
    sent: tuple[str, ...],
) -> tuple[Half, dict[str, SiteCodec]]:
    """What a half is, and the codecs that it needs, copies; only what is sent has tables."""
    used = {id(each) for each in module.modules()}
    codecs = {
        name: copy.deepcopy(codec)
        for name, codec in pressed.codecs.items()
        if name in sent or id(codec) in used
    }
    inside = tuple(name for name in codecs if name not in sent)
    for name in inside:
        codecs[name].clear_tables()
        codecs[name].class_of.zero_()
    own, whole = fingerprint_of(pressed.plan, codecs), fingerprint(pressed)
    half = Half(part=part, at=at, sent=sent, inside=inside, whole=whole.hex(), own=own.hex())
    return half, codecs


def _weights(module: fx.GraphModule) -> dict[str, Tensor]:
    """Parameters and buffers without those of the codecs."""
    return {
        key: value
        for key, value in module.state_dict().items()
        if not key.startswith(f"{CODECS_PATH}.")
    }


def _read_weights(folder: Path, module: fx.GraphModule) -> None:
    path = existing(folder, NETWORK, made_by="split")
    copy_tensors(read_tensors(path), _weights(module), path)
