"""The network in integers: what every back end computes, bit for bit (docs/integer.md)."""

from actpress.deploy.integer.convert import integer_network
from actpress.deploy.integer.execute import Executor
from actpress.deploy.integer.heads import head_of
from actpress.deploy.integer.network import (
    Addend,
    AnyRescale,
    Convolution,
    FloatRescale,
    Input,
    IntegerMap,
    IntegerNetwork,
    Matrix,
    Pool,
    Reading,
    Rescale,
    Stage,
    Table,
    Weights,
    Window,
)
from actpress.deploy.integer.score import IntegerScore, integer_score

__all__ = [
    "Addend",
    "AnyRescale",
    "Convolution",
    "Executor",
    "FloatRescale",
    "Input",
    "IntegerMap",
    "IntegerNetwork",
    "IntegerScore",
    "Matrix",
    "Pool",
    "Reading",
    "Rescale",
    "Stage",
    "Table",
    "Weights",
    "Window",
    "head_of",
    "integer_network",
    "integer_score",
]
