"""What a user can set, and the choices there are; loads without torch, for the command line."""

from actpress.settings.choices import (
    CALIBRATION_IMAGES,
    MAX_BLOCK,
    MAX_IMAGES,
    MAX_MIB,
    MEETING_RAM,
    MEMORY_PJ_PER_BIT,
    METHOD_NAMES,
    PROJECTING,
    SEARCH_IMAGES,
    SEARCHED,
    TRAINING,
    WITHOUT_BUDGET,
    WORKING_MIB,
    Capture,
    EngineName,
    NumberBits,
    way_of,
)
from actpress.settings.tuning import Trainable, TuneSettings
from actpress.settings.widths import ALL_WIDTHS, WidthSettings

__all__ = [
    "ALL_WIDTHS",
    "CALIBRATION_IMAGES",
    "MAX_BLOCK",
    "MAX_IMAGES",
    "MAX_MIB",
    "MEETING_RAM",
    "MEMORY_PJ_PER_BIT",
    "METHOD_NAMES",
    "PROJECTING",
    "SEARCHED",
    "SEARCH_IMAGES",
    "TRAINING",
    "WITHOUT_BUDGET",
    "WORKING_MIB",
    "Capture",
    "EngineName",
    "NumberBits",
    "Trainable",
    "TuneSettings",
    "WidthSettings",
    "way_of",
]
