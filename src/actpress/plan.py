"""A `Plan`: everything that was decided about a network's activations, as data without tensors.

A plan is what the search writes and what `press` applies. It can be printed, edited by hand,
carried to another tool, and read back; a JSON file holds nothing else.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from actpress.errors import PlanError
from actpress.settings import MAX_BLOCK, NumberBits

FORMAT_VERSION = 2
MAX_BIT_WIDTH = 16

SHIFTS_PER_OCTAVE = 8

MAX_BLOCK_COMPONENTS = 4096
"""Of a block of more than one pixel: its projection is a dense matrix of this size."""


class Placement(StrEnum):
    """Which value of a site is stored: before its nonlinearity or after it."""

    PRE_ACT = "pre_act"
    POST_ACT = "post_act"


class Transform(StrEnum):
    """Names of the transforms that actpress brings along (`codec/transform/`).

    A plan holds a transform by its name, so that it can hold others too.
    """

    IDENTITY = "identity"
    PCA = "pca"
    FISHER_PCA = "fisher_pca"
    SCALED_PCA = "scaled_pca"
    BLOCK_PCA = "block_pca"
    HAAR_PCA = "haar_pca"
    LEARNED = "learned"
    LEARNED_PCA = "learned_pca"
    DCT = "dct"
    HADAMARD = "hadamard"


class GroupPlan(BaseModel):
    """Components of one site that share a bit-width and a step.

    Attributes:
        components: their positions in the basis of the site's transform, rising.
        bit_width: of their symbols, at most; 0 drops them.
        step: quantization step, in units of the activation.
        between_levels: whether zero lies between two levels instead of on one, which suits few
            levels of a value with both signs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    components: tuple[Annotated[int, Field(ge=0, lt=1 << 20)], ...]
    bit_width: Annotated[int, Field(ge=0, le=MAX_BIT_WIDTH)]
    step: Annotated[float, Field(gt=0, lt=1e30)]
    between_levels: bool = False


class SitePlan(BaseModel):
    """What happens to one site.

    Attributes:
        site: name of the site.
        placement: which of its two values is stored.
        transform: how the values of a block of pixels, `channels` for each, become components.
        channels: c, as a check that the plan belongs to the network.
        block: side of the square block of pixels that is transformed together; 1 is pixel by pixel.
            The site's height and width must be multiples of it.
        rank: k, components of a block kept; 1 <= rank <= components. Without groups, the strongest
            are kept.
        step: quantization step, in units of the activation; with groups, the smallest one.
        step_shifts: eighths of an octave by which the step of each kept component is finer (above
            zero) or coarser; empty where all have one step.
        bit_width: upper bound on the bits of one stored symbol; the range found in calibration
            usually needs fewer.
        groups: with mixed precision, what every component gets; else empty.
        number_bits: of a stored number of the transform's matrices.
        pinned: whether step and width are what a rule asked for, so that no search or training
            changes them; not written where they are not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: str
    placement: Placement
    transform: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$", max_length=40)]
    channels: Annotated[int, Field(ge=1, le=1 << 20)]
    block: Annotated[int, Field(ge=1, le=MAX_BLOCK)] = 1
    rank: Annotated[int, Field(ge=1, le=1 << 20)]
    step: Annotated[float, Field(gt=0, lt=1e30)]
    step_shifts: tuple[Annotated[int, Field(ge=-256, le=256)], ...] = ()
    bit_width: Annotated[int, Field(ge=1, le=MAX_BIT_WIDTH)] = 8
    groups: tuple[GroupPlan, ...] = ()
    number_bits: NumberBits = NumberBits.BYTE
    pinned: bool = False

    @model_serializer(mode="wrap")
    def _without_usual_pinned(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields, without `pinned` where it is not set."""
        fields: dict[str, Any] = handler(self)
        if not self.pinned:
            fields.pop("pinned", None)
        return fields

    @property
    def components(self) -> int:
        """Components of a block before any is dropped: c * block^2."""
        return self.channels * self.block**2

    @model_validator(mode="after")
    def _rank_fits(self) -> Self:
        if self.rank > self.components:
            raise ValueError(
                f"site {self.site}: rank {self.rank} exceeds its {self.components} components"
            )
        return self

    @property
    def is_identity(self) -> bool:
        """Whether channels are components of their own."""
        return self.transform == Transform.IDENTITY

    def steps(self) -> tuple[float, ...]:
        """Of each kept component."""
        if self.groups:
            members = {j: group.step for group in self.kept_groups() for j in group.components}
            return tuple(members[j] for j in self.kept_components())
        shifts = self.step_shifts or (0,) * self.rank
        return tuple(self.step * 2 ** (-shift / SHIFTS_PER_OCTAVE) for shift in shifts)

    @model_validator(mode="after")
    def _block_fits(self) -> Self:
        if self.block > 1 and self.components > MAX_BLOCK_COMPONENTS:
            raise ValueError(
                f"site {self.site}: {self.channels} channels in blocks of side {self.block} are "
                f"{self.components} components, more than {MAX_BLOCK_COMPONENTS}"
            )
        if self.step_shifts and (self.groups or len(self.step_shifts) != self.rank):
            raise ValueError(
                f"site {self.site}: step_shifts holds {len(self.step_shifts)} numbers; expected "
                f"one for each of the {self.rank} components kept, and none beside groups"
            )
        return self

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        if not self.groups:
            return self
        components = [j for group in self.groups for j in group.components]
        whole = len(components) == self.components
        if not whole or sorted(components) != list(range(self.components)):
            raise ValueError(
                f"site {self.site}: its groups must hold each of the {self.components} components "
                f"({self.channels} channels of blocks of side {self.block}) exactly once"
            )
        if len(self.kept_components()) != self.rank:
            raise ValueError(
                f"site {self.site}: its groups keep {len(self.kept_components())} components, but "
                f"its rank is {self.rank}"
            )
        return self

    def kept_components(self) -> tuple[int, ...]:
        """Positions in the basis of the components that are stored, rising."""
        if not self.groups:
            return tuple(range(self.rank))
        return tuple(sorted(j for group in self.kept_groups() for j in group.components))

    def kept_groups(self) -> tuple[GroupPlan, ...]:
        """The groups that are stored; empty without groups."""
        return tuple(group for group in self.groups if group.bit_width > 0)


class Plan(BaseModel):
    """The decisions for a whole network, in the order in which it computes its sites.

    Attributes:
        version: of this format.
        method: the recipe that wrote the plan, for the reader.
        fingerprint: of the captured network; `press` refuses another one.
        sites: one entry per compressed site; sites without an entry stay as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = FORMAT_VERSION
    method: str
    fingerprint: str
    sites: tuple[SitePlan, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [site.site for site in self.sites]
        if len(set(names)) != len(names):
            repeated = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"sites planned twice: {', '.join(repeated)}")
        return self

    def __iter__(self) -> Iterator[SitePlan]:  # type: ignore[override]
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    def with_scaled_steps(self, factors: Mapping[str, float]) -> "Plan":
        """The same ranks and widths, the steps of every site that is not pinned times a factor."""

        def scaled(site: SitePlan) -> SitePlan:
            factor = 1.0 if site.pinned else factors[site.site]
            groups = tuple(
                group.model_copy(update={"step": group.step * factor}) for group in site.groups
            )
            return site.model_copy(update={"step": site.step * factor, "groups": groups})

        return self.model_copy(update={"sites": tuple(map(scaled, self.sites))})

    def to_json(self) -> str:
        """The plan as indented JSON; `from_json` reads it back to an equal plan."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str = "plan") -> "Plan":
        """Read a plan, checking version and bounds before anything else is done with it.

        Raises:
            PlanError: not JSON, another version, or a value out of bounds; names the field.
        """
        try:
            plan = cls.model_validate_json(text)
        except ValidationError as error:
            other = _other_version(text)
            if other is not None:
                raise PlanError(_version_message(source, other)) from error
            raise PlanError(f"{source} is not a valid plan: {first_complaint(error)}") from error
        if plan.version != FORMAT_VERSION:
            raise PlanError(_version_message(source, plan.version))
        return plan

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Read a plan file.

        Raises:
            PlanError: the file cannot be read, or `from_json` refuses it.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"cannot read the plan {path}: {error}") from error
        return cls.from_json(text, source=str(path))


def first_complaint(error: ValidationError) -> str:
    """The first problem of a validation error in one line: where, what, and what was got."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    got = repr(problem.get("input"))
    shown = got if len(got) <= 60 else got[:57] + "..."
    return f"{where}: {problem['msg']} (got {shown})"


class _Version(BaseModel):
    version: int = FORMAT_VERSION


def _other_version(text: str) -> int | None:
    try:
        version = _Version.model_validate_json(text).version
    except ValidationError:
        return None
    return None if version == FORMAT_VERSION else version


def _version_message(source: str, version: int) -> str:
    if version < FORMAT_VERSION:
        return (
            f"{source} has format version {version} of an earlier actpress, whose codecs each had "
            f"code tables of their own; this one reads version {FORMAT_VERSION}; compress again"
        )
    return (
        f"{source} has format version {version}, but this actpress reads version "
        f"{FORMAT_VERSION}; upgrade actpress or write the plan again"
    )
