"""Compress the activations of trained CNNs.

```python
import actpress
from actpress.zoo import resnet18_fashion_mnist

data = actpress.load_dataset("fashion-mnist-subset")
result = actpress.compress(resnet18_fashion_mnist(), data, method="cap", budget="1.3bits")
result.save("runs/first")
```
"""

from actpress._version import __version__
from actpress.api import Result, compress, inspect
from actpress.budget import Budget, View
from actpress.calibration import Statistics, calibrate
from actpress.codec import SiteCodec
from actpress.cost import EnergyModel
from actpress.data import Dataset, Split, load_dataset
from actpress.errors import ActpressError
from actpress.evaluation import Metrics, evaluate
from actpress.graph import Graph, Site, capture
from actpress.methods import Settings
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press
from actpress.run import load_head, load_run, load_tail
from actpress.splitting import split
from actpress.stream import Decoder, Encoder
from actpress.sweeping import Sweep, sweep
from actpress.tune import TuneSettings

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
    "inspect",
    "load_dataset",
    "load_head",
    "load_run",
    "load_tail",
    "press",
    "split",
    "sweep",
]
