"""One codec, and the code tables of a network, as tensors of a file: no byte more than is counted.

S stands for the name of a site; README.md of a run folder's format is bitstream/FORMAT.md.

S/NAME           matrix of the transform, int8 (r, s); 4 bits: uint8, two numbers a byte; 16 bits:
                 float16. Vectors float16, or float32 where a number is beyond it; indices int16
S/NAME.scale     of each row of an 8 or 4 bit matrix, bfloat16 (r)
S/mean, S/offset of the values of a block, float16 (K), or float32
S/kept           channels that are stored, int16, where a site without a transform drops some
S/steps          of each quantizer, bfloat16 (p); S/widths: its bits, uint8 (p)
S/quantizer_of   of each component, packed indices, uint8; S/lowest: int16
S/class_of       of each component, packed indices, uint8
tables/entries   frequencies of all tables one after the other, int16
tables/first     symbol that a table begins with, int16; tables/last: that it ends with
tables/range     first and last symbol that any codec may give, int16
tables/table_of  table of each class in each context, uint8
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from actpress.codec import (
    IdentityProjection,
    LinearProjection,
    NetworkTables,
    Projection,
    Quantizers,
    SiteCodec,
    StoredFactors,
    as_stored,
    family_of,
    index_bits,
    pack_indices,
    unpack_indices,
)
from actpress.errors import CalibrationError, RunError
from actpress.kernels import CONTEXTS
from actpress.kernels.rans_format import PRECISION
from actpress.plan import SitePlan
from actpress.settings import NumberBits

SCALE, NIBBLES, ODD_NIBBLES = ".scale", ".int4", ".int4odd"
MOST_TABLES, MOST_LEVELS = 256, 2048


def codec_tensors(codec: SiteCodec) -> dict[str, Tensor]:
    """What is stored of a codec."""
    tensors = _projection_tensors(codec.projection)
    quantizers = codec.quantizers()
    tensors["steps"], tensors["widths"] = quantizers.steps, quantizers.widths
    tensors["quantizer_of"] = pack_indices(quantizers.quantizer_of, len(quantizers.steps))
    tensors["lowest"] = torch.tensor(quantizers.lowest, dtype=torch.int16)
    if codec.tables is not None:
        tensors["class_of"] = pack_indices(codec.class_of, len(codec.tables.table_of))
    return tensors


def table_tensors(tables: NetworkTables) -> dict[str, Tensor]:
    """What is stored of the tables that all codecs share."""
    first, last = tables.spans()
    rows = [
        row[low : high + 1]
        for row, low, high in zip(tables.frequencies, first.tolist(), last.tolist(), strict=True)
    ]
    return {
        "entries": torch.cat(rows).to(torch.int16),
        "first": (first + tables.lowest).to(torch.int16),
        "last": (last + tables.lowest).to(torch.int16),
        "range": torch.tensor([tables.lowest, tables.highest], dtype=torch.int16),
        "table_of": tables.table_of,
    }


def _projection_tensors(projection: Projection) -> dict[str, Tensor]:
    if isinstance(projection, IdentityProjection):
        kept = projection.kept
        return {} if kept is None else {"kept": kept.to(torch.int16)}
    assert isinstance(projection, LinearProjection), "there are two kinds of projections"
    stored = projection.stored()
    tensors = {name + SCALE: scale for name, scale in stored.scales.items()}
    for name, numbers in stored.numbers.items():
        if name in stored.scales and stored.number_bits is NumberBits.NIBBLE:
            suffix = ODD_NIBBLES if numbers.shape[1] % 2 else NIBBLES
            tensors[name + suffix] = _packed_nibbles(numbers)
        else:
            tensors[name] = numbers
    mean, offset = projection.stored_constants()
    return tensors | {"mean": mean, "offset": offset}


class CodecReader:
    """Reads codecs of a file; every tensor is checked before it is used.

    Args:
        tensors: of the file.
        path: of the file, for messages.

    Raises:
        RunError: tables are missing, or out of bounds.
    """

    def __init__(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        self.tensors, self.path = tensors, path
        self.tables = self._read_tables()

    def codec(self, site: SitePlan, *, has_tables: bool = True) -> SiteCodec:
        """The codec of a planned site, with the network's tables unless it is never coded.

        Raises:
            RunError: a tensor is missing, of another type or shape, or out of bounds.
        """
        quantizers = self._quantizers(site)
        q_min, q_max = quantizers.ranges()
        step = quantizers.step()
        codec = SiteCodec(self._projection(site), step, q_min, q_max, alike=_alike(site))
        codec.step.data.copy_(step)
        if has_tables:
            packed = self._of(site, "class_of", torch.uint8)
            codec.set_tables(self.tables, self._indices(site, packed, len(self.tables.table_of)))
        return codec

    def _quantizers(self, site: SitePlan) -> Quantizers:
        steps = self._of(site, "steps", torch.bfloat16)
        widths = self._of(site, "widths", torch.uint8, tuple(steps.shape))
        lowest = self._of(site, "lowest", torch.int16, ())
        packed = self._of(site, "quantizer_of", torch.uint8)
        fits = steps.ndim == 1 and 1 <= len(steps) <= site.rank and lowest <= 0
        if not fits or not (steps > 0).all() or (widths > 16).any():
            raise RunError(f"{self.path}: the quantizers of {site.site} are out of bounds")
        return Quantizers(steps, widths, self._indices(site, packed, len(steps)), int(lowest))

    def _indices(self, site: SitePlan, packed: Tensor, choices: int) -> Tensor:
        if packed.shape != (index_bits(site.rank, choices) // 8,):
            raise RunError(
                f"{self.path}: {site.site} has {packed.numel()} bytes of indices, expected "
                f"{index_bits(site.rank, choices) // 8}; compress again"
            )
        indices = unpack_indices(packed, site.rank, choices)
        if (indices >= choices).any():
            raise RunError(f"{self.path}: indices of {site.site} are out of bounds")
        return indices

    def _projection(self, site: SitePlan) -> Projection:
        if site.is_identity:
            return self._identity(site)
        size = site.components
        shapes = ((site.rank, size), (site.rank,), (size, site.rank))
        family = family_of(site.transform)
        names = [
            key.removeprefix(f"{site.site}/")
            for key in self.tensors
            if key.startswith(f"{site.site}/")
        ]
        own = {"mean", "offset", "steps", "widths", "quantizer_of", "lowest", "class_of"}
        stored = self._factors(site, [name for name in names if name not in own])
        mean, offset = (self._constant(site, name) for name in ("mean", "offset"))
        try:
            projection = LinearProjection.of_stored(
                family, stored, mean, offset, rank=site.rank, block=site.block
            )
        except (CalibrationError, RuntimeError, IndexError, KeyError, ValueError) as error:
            raise RunError(
                f"{self.path}: the transform of {site.site} does not make {shapes[0]} and "
                f"{shapes[2]} matrices: {error}; compress again"
            ) from error
        sizes = projection.size()
        most = sizes.encoder + sizes.decoder + sizes.shared + sizes.vectors
        got = sum(numbers.numel() for numbers in stored.numbers.values())
        finite = all(torch.isfinite(tensor).all() for tensor in projection.parameters())
        if got > most or not finite:
            raise RunError(
                f"{self.path}: the transform of {site.site} has {got} numbers, expected {most}"
                f"{'' if finite else ', and they are not finite once scaled'}; compress again"
            )
        return projection

    def _identity(self, site: SitePlan) -> Projection:
        if site.rank == site.channels:
            return IdentityProjection(site.channels)
        kept = self._of(site, "kept", torch.int16, (site.rank,)).long()
        rising = (kept[1:] > kept[:-1]).all() and kept[0] >= 0 and kept[-1] < site.channels
        if not rising:
            raise RunError(f"{self.path}: {site.site}/kept names channels that there are not")
        return IdentityProjection(site.channels, kept)

    def _factors(self, site: SitePlan, names: list[str]) -> StoredFactors:
        numbers, scales = dict[str, Tensor](), dict[str, Tensor]()
        for name in names:
            tensor = self._tensor(f"{site.site}/{name}")
            if name.endswith(SCALE):
                scales[name.removesuffix(SCALE)] = self._checked(site, name, torch.bfloat16)
            elif name.endswith((NIBBLES, ODD_NIBBLES)):
                plain = name.removesuffix(NIBBLES).removesuffix(ODD_NIBBLES)
                packed = self._checked(site, name, torch.uint8)
                numbers[plain] = _unpacked_nibbles(packed, odd=name.endswith(ODD_NIBBLES))
            else:
                numbers[name] = self._checked(site, name, _stored_type(tensor))
                if tensor.dtype is torch.int16 and (tensor < 0).any():
                    raise RunError(f"{self.path}: indices of {site.site}/{name} are below zero")
        self._check_scales(site, numbers, scales)
        return StoredFactors(site.number_bits, numbers, scales)

    def _check_scales(
        self, site: SitePlan, numbers: Mapping[str, Tensor], scales: Mapping[str, Tensor]
    ) -> None:
        """Matrices of few bits have a scale for each row, and nothing else has one."""
        whole = site.number_bits is NumberBits.HALF
        scaled = {name for name, each in numbers.items() if each.ndim == 2 and not whole}
        for name in sorted(numbers.keys() | scales.keys()):
            rows = (len(numbers[name]),) if name in scaled else None
            got = tuple(scales[name].shape) if name in scales else None
            if got != rows or (name in scaled) != (numbers[name].dtype is torch.int8):
                raise RunError(
                    f"{self.path}: the scales of {site.site}/{name} are {got}, expected {rows} "
                    f"beside {'int8' if name in scaled else '16 bit'} numbers; compress again"
                )
        if any(not (scale > 0).all() for scale in scales.values()):
            raise RunError(f"{self.path}: a scale of {site.site} is not above zero; compress again")

    def _constant(self, site: SitePlan, name: str) -> Tensor:
        dtype = _real_type(self._tensor(f"{site.site}/{name}"))
        return self._checked(site, name, dtype, (site.components,)).float()

    def _read_tables(self) -> NetworkTables:
        entries = self._plain("tables/entries", torch.int16).long()
        first = self._plain("tables/first", torch.int16).long()
        last = self._plain("tables/last", torch.int16).long()
        columns = self._plain("tables/range", torch.int16).tolist()
        table_of = self._tensor("tables/table_of")
        if first.shape != last.shape:
            raise RunError(
                f"{self.path}: tables/last is of {len(last)} code tables, expected {len(first)}; "
                f"compress again"
            )
        sizes = last - first + 1
        fits = (
            1 <= len(first) <= MOST_TABLES
            and bool((sizes >= 1).all())
            and int(sizes.sum()) == len(entries)
            and len(columns) == 2
            and columns[0] <= int(first.min()) <= int(last.max()) <= columns[1]
            and columns[1] - columns[0] < MOST_LEVELS
            and table_of.dtype == torch.uint8
            and table_of.ndim == 2
            and 1 <= len(table_of) <= MOST_TABLES
            and table_of.shape[1] == CONTEXTS
            and bool((table_of < len(first)).all())
            and bool((entries >= 0).all())
        )
        if not fits:
            raise RunError(f"{self.path}: the code tables are out of bounds; compress again")
        lowest, highest = columns
        frequencies = torch.zeros(len(first), highest - lowest + 1, dtype=torch.int64)
        for row, low, part in zip(
            frequencies, first - lowest, entries.split(sizes.tolist()), strict=True
        ):
            row[low : low + len(part)] = part
        if (frequencies.sum(1) >= 1 << PRECISION).any():
            raise RunError(f"{self.path}: a code table leaves nothing for escapes; compress again")
        return NetworkTables(frequencies, lowest, table_of)

    def _plain(self, key: str, dtype: torch.dtype) -> Tensor:
        tensor = self._tensor(key)
        if tensor.dtype != dtype or tensor.ndim != 1 or not len(tensor):
            raise RunError(
                f"{self.path}: {key} is {tensor.dtype} {tuple(tensor.shape)}, expected a row of "
                f"{dtype}; compress again"
            )
        return tensor

    def _of(
        self, site: SitePlan, name: str, dtype: torch.dtype, shape: tuple[int, ...] | None = None
    ) -> Tensor:
        return self._checked(site, name, dtype, shape)

    def _checked(
        self, site: SitePlan, name: str, dtype: torch.dtype, shape: tuple[int, ...] | None = None
    ) -> Tensor:
        tensor = self._tensor(f"{site.site}/{name}")
        if tensor.dtype != dtype or shape not in (None, tuple(tensor.shape)):
            raise RunError(
                f"{self.path}: {site.site}/{name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"expected {dtype}{'' if shape is None else f' {shape}'}; compress again"
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise RunError(f"{self.path}: {site.site}/{name} is not finite; compress again")
        return tensor

    def _tensor(self, key: str) -> Tensor:
        if key not in self.tensors:
            raise RunError(
                f"{self.path} lacks the tensor {key}; it is damaged, of another plan, or of an "
                f"earlier actpress; compress again"
            )
        return self.tensors[key]


def _stored_type(tensor: Tensor) -> torch.dtype:
    """The type that such numbers of a transform are stored in."""
    if tensor.dtype is torch.int8 and tensor.ndim == 2:
        return torch.int8
    if tensor.dtype is torch.int16 and tensor.ndim == 1:
        return torch.int16
    return _real_type(tensor)


def _real_type(tensor: Tensor) -> torch.dtype:
    """The type that real numbers are stored in: half precision, or float32 where one is beyond."""
    if tensor.is_floating_point() and tensor.dtype.itemsize > 1:
        return as_stored(tensor.float()).dtype
    return torch.float16


def _alike(site: SitePlan) -> bool:
    return site.is_identity and not site.groups


def _packed_nibbles(numbers: Tensor) -> Tensor:
    """Numbers of -8..7, shape (r, s), as two a byte, shape (r, ceil(s / 2)), uint8."""
    odd = numbers.shape[1] % 2
    padded = torch.nn.functional.pad(numbers, (0, odd)).to(torch.uint8) & 15
    return padded[:, ::2] << 4 | padded[:, 1::2]


def _unpacked_nibbles(packed: Tensor, *, odd: bool) -> Tensor:
    """The inverse of `_packed_nibbles`, int8."""
    both = torch.stack([packed >> 4, packed & 15], dim=-1).flatten(1).to(torch.int8)
    signed = torch.where(both > 7, both - 16, both)
    return signed[:, :-1] if odd else signed
