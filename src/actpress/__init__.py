"""Compress the activations of trained CNNs.

```python
import actpress
from actpress.zoo import resnet18_fashion_mnist

data = actpress.load_dataset("fashion-mnist-subset")
result = actpress.compress(resnet18_fashion_mnist(), data, method="cap", budget="1.3bits")
result.save("runs/first")
```
"""

from importlib import import_module
from typing import TYPE_CHECKING

from actpress._version import __version__

if TYPE_CHECKING:
    from actpress import tasks as tasks
    from actpress.api import compress, inspect
    from actpress.budget import Budget, View
    from actpress.calibration import Statistics, calibrate
    from actpress.codec import SiteCodec
    from actpress.cost import EnergyModel
    from actpress.data import Dataset, Split, load_dataset
    from actpress.deploy.fold import fold
    from actpress.deploy.freeze import freeze
    from actpress.errors import ActpressError
    from actpress.evaluation import Metrics, evaluate
    from actpress.graph import Graph, Site, capture
    from actpress.methods import Settings
    from actpress.plan import Placement, Plan, SitePlan, Transform
    from actpress.pressing import CompressedModel, fit_tables, press
    from actpress.result import Result
    from actpress.rules import Rule
    from actpress.run import load_head, load_run, load_tail
    from actpress.settings import TuneSettings
    from actpress.splitting import split
    from actpress.stream import Decoder, Encoder
    from actpress.sweeping import Sweep, sweep

__all__ = [
    "ActpressError",
    "Budget",
    "CompressedModel",
    "Dataset",
    "Decoder",
    "Encoder",
    "EnergyModel",
    "Graph",
    "Metrics",
    "Placement",
    "Plan",
    "Result",
    "Rule",
    "Settings",
    "Site",
    "SiteCodec",
    "SitePlan",
    "Split",
    "Statistics",
    "Sweep",
    "Transform",
    "TuneSettings",
    "View",
    "__version__",
    "calibrate",
    "capture",
    "compress",
    "evaluate",
    "fit_tables",
    "fold",
    "freeze",
    "inspect",
    "load_dataset",
    "load_head",
    "load_run",
    "load_tail",
    "press",
    "split",
    "sweep",
]

_HOMES = {
    "actpress.api": ("compress", "inspect"),
    "actpress.budget": ("Budget", "View"),
    "actpress.calibration": ("Statistics", "calibrate"),
    "actpress.codec": ("SiteCodec",),
    "actpress.cost": ("EnergyModel",),
    "actpress.data": ("Dataset", "Split", "load_dataset"),
    "actpress.deploy.fold": ("fold",),
    "actpress.deploy.freeze": ("freeze",),
    "actpress.errors": ("ActpressError",),
    "actpress.evaluation": ("Metrics", "evaluate"),
    "actpress.graph": ("Graph", "Site", "capture"),
    "actpress.methods": ("Settings",),
    "actpress.plan": ("Placement", "Plan", "SitePlan", "Transform"),
    "actpress.pressing": ("CompressedModel", "fit_tables", "press"),
    "actpress.result": ("Result",),
    "actpress.run": ("load_head", "load_run", "load_tail"),
    "actpress.splitting": ("split",),
    "actpress.stream": ("Decoder", "Encoder"),
    "actpress.sweeping": ("Sweep", "sweep"),
    "actpress.rules": ("Rule",),
    "actpress.settings": ("TuneSettings",),
}
"""Where public names live: torch takes seconds to load, so a name is imported on first use."""


_MODULES = ("tasks",)
"""Modules that are public as a whole."""


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"actpress.{name}")
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
