"""Names to choose from, and numbers that hold where a user gives none."""

from enum import IntEnum, StrEnum

from actpress.errors import ActpressError

METHOD_NAMES = (
    "best",
    "int8",
    "transform_coding",
    "gdr",
    "cap",
    "codesign",
    "lsq",
    "layerwise_ilp",
    "layerwise_search",
    "entropy_training",
)

PROJECTING = ("best", "transform_coding", "gdr", "cap", "codesign")
"""Methods that project, and so take blocks of pixels."""

WITHOUT_BUDGET = ("int8",)
"""Methods that run once, whatever the budgets."""

MEETING_RAM = ("gdr", "cap")
"""Methods that meet a budget of peak RAM."""

TRAINING = tuple(name for name in METHOD_NAMES if name not in {"int8", "transform_coding", "gdr"})
"""Methods with optimizer steps."""

SEARCHED = (
    "identity",
    "hadamard",
    "pca",
    "scaled_pca",
    "fisher_pca",
    "block_pca",
    "haar_pca",
)
"""Transforms that a search tries unless told otherwise."""

MEMORY_PJ_PER_BIT = {
    "lpddr4": 8.0,  # Accelergy's public table, like the next three
    "ddr3": 70.0,
    "hbm2": 3.9,
    "gddr5": 14.0,
    "sram_45nm": 5.0 / 32,  # Han et al. 2015, arXiv 1506.02626, per 32-bit access
    "dram_45nm": 640.0 / 32,
}

CALIBRATION_IMAGES = 1000
SEARCH_IMAGES = 128

WORKING_MIB = 1024
"""For the values of images while a network is searched and pressed."""

MAX_IMAGES = 256
"""Of a frame of a stream that is decoded."""

MAX_MIB = 256
"""That decoding a frame may need."""

MAX_BLOCK = 8
"""Side of a block of pixels, at most."""


class NumberBits(IntEnum):
    """Bits of a stored number of a projection; 4 and 8 have a scale per row."""

    HALF = 16
    BYTE = 8
    NIBBLE = 4


class EngineName(StrEnum):
    """Where the runs of a sweep are made: one after the other here, or several on a Ray cluster."""

    HERE = "here"
    RAY = "ray"


class Capture(StrEnum):
    """How the operations of a network are found: `auto` exports what torch.fx cannot trace."""

    AUTO = "auto"
    FX = "fx"
    EXPORT = "export"


def way_of(capture: str) -> Capture:
    """The way to capture that a user named.

    Raises:
        ActpressError: there is none.
    """
    if capture not in list(Capture):
        raise ActpressError(f"there is no capture {capture!r}; expected {', '.join(Capture)}")
    return Capture(capture)
