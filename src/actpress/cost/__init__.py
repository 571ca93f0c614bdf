"""What a device pays: the one place where bits, parameters, tables and arithmetic get a price."""

from actpress.cost.energy import EnergyModel
from actpress.cost.folding import (
    Fold,
    Folds,
    Partners,
    choose_folds,
    folds_of,
    nothing_folds,
    partners_of,
    use_of,
    use_of_plan,
)
from actpress.cost.objective import Kind, Objective
from actpress.cost.site_use import SiteUse, Stored, total_use
from actpress.settings import MEMORY_PJ_PER_BIT

__all__ = [
    "MEMORY_PJ_PER_BIT",
    "EnergyModel",
    "Fold",
    "Folds",
    "Kind",
    "Objective",
    "Partners",
    "SiteUse",
    "Stored",
    "choose_folds",
    "folds_of",
    "nothing_folds",
    "partners_of",
    "total_use",
    "use_of",
    "use_of_plan",
]
