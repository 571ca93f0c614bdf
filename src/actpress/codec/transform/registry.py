"""All families by name. The identity is none of them: it mixes nothing and stores nothing."""

from actpress.codec.transform.block_pca import BLOCK_PCA
from actpress.codec.transform.family import Family
from actpress.codec.transform.formula import DCT, HADAMARD
from actpress.codec.transform.haar import HAAR_PCA
from actpress.codec.transform.pca import FISHER_PCA, LEARNED, LEARNED_PCA, PCA, SCALED_PCA
from actpress.errors import PlanError
from actpress.plan import Transform

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        HADAMARD,
        DCT,
        PCA,
        SCALED_PCA,
        FISHER_PCA,
        BLOCK_PCA,
        HAAR_PCA,
        LEARNED,
        LEARNED_PCA,
    )
}


def family_of(transform: str) -> Family:
    """The family of a transform's name.

    Raises:
        PlanError: there is none.
    """
    if transform not in FAMILIES:
        known = ", ".join((Transform.IDENTITY, *FAMILIES))
        raise PlanError(f"there is no transform {transform!r}; expected one of {known}")
    return FAMILIES[transform]


def check_transform(transform: str, channels: int, block: int) -> None:
    """Refuse a transform that a site cannot take.

    Raises:
        PlanError: it takes other blocks, or another number of channels, or there is none.
    """
    if transform == Transform.IDENTITY:
        why = "takes single pixels" if block > 1 else None
    else:
        why = family_of(transform).refuses(channels, block)
    if why is not None:
        raise PlanError(
            f"the transform {transform} {why}; the plan has {channels} channels in blocks of side "
            f"{block}"
        )
