"""What a traced operation does to the values that pass it: one name and one kind per node."""

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.padding import (
    _CircularPadNd,
    _ConstantPadNd,
    _ReflectionPadNd,
    _ReplicationPadNd,
)


class Kind(StrEnum):
    """How an operation takes part in a fused group; docs/design.md has the rules."""

    DENSE = "dense"
    NORM = "norm"
    ACTIVATION = "activation"
    ELEMENTWISE = "elementwise"
    IDENTITY = "identity"
    RESHAPE = "reshape"
    REARRANGE = "rearrange"
    SOURCE = "source"
    OTHER = "other"


@dataclass(frozen=True)
class Operator:
    """The canonical name of an operation (`relu`, `conv2d`, `add`) and its kind."""

    name: str
    kind: Kind

    @property
    def is_view(self) -> bool:
        """It stores nothing: its readers read the values it was made from."""
        return self.kind in (Kind.IDENTITY, Kind.RESHAPE, Kind.REARRANGE)

    @property
    def may_alias(self) -> bool:
        """Its result may share memory with its operand."""
        return self.is_view and self.name not in COPYING_VIEWS

    @property
    def is_elementwise(self) -> bool:
        """It can be computed while its operand is being written."""
        return self.kind in (Kind.NORM, Kind.ACTIVATION, Kind.ELEMENTWISE)


COPYING_VIEWS = frozenset(
    {"clone", "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack"}
    | {"index_select", "pad", "repeat", "tile", "roll", "flip", "slice_scatter", "select_scatter"}
)

NAMES_BY_KIND: dict[Kind, str] = {
    Kind.DENSE: (
        "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d bilinear"
    ),
    Kind.NORM: "batch_norm layer_norm group_norm instance_norm local_response_norm rms_norm",
    Kind.ACTIVATION: (
        "relu relu6 silu hardswish gelu leaky_relu sigmoid tanh hardsigmoid prelu rrelu elu selu "
        "celu mish softplus softsign hardtanh hardshrink softshrink tanhshrink logsigmoid "
        "threshold clamp clip clamp_min clamp_max"
    ),
    Kind.ELEMENTWISE: (
        "add sub rsub mul div truediv floordiv true_divide subtract multiply divide mod remainder "
        "pow square sqrt rsqrt exp log abs neg negative floor ceil round reciprocal sign "
        "maximum minimum where lerp addcmul addcdiv masked_fill"
    ),
    Kind.IDENTITY: (
        "identity dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout "
        "feature_alpha_dropout stochastic_depth stochasticdepth drop_path droppath "
        "contiguous clone detach to type type_as float half double bfloat16 "
        "cpu cuda requires_grad positive"
    ),
    Kind.RESHAPE: (
        "flatten view reshape unflatten squeeze unsqueeze permute transpose movedim moveaxis "
        "swapaxes swapdims t pixel_shuffle pixel_unshuffle channel_shuffle reshape_as view_as"
    ),
    Kind.REARRANGE: (
        "cat concat concatenate stack hstack vstack dstack chunk split split_with_sizes "
        "tensor_split unbind getitem getattr narrow select index_select pad expand expand_as "
        "repeat tile roll flip slice_scatter select_scatter"
    ),
    Kind.SOURCE: (
        "rand rand_like randn randn_like randint randint_like zeros zeros_like ones ones_like "
        "full full_like fill empty empty_like new_zeros new_ones new_full new_empty new_tensor "
        "arange"
    ),
}

KINDS: dict[str, Kind] = {
    name: kind for kind, names in NAMES_BY_KIND.items() for name in names.split()
}

# Looked up along a module's base classes, nearest first.
MODULE_NAMES: dict[type, str] = {
    nn.Linear: "linear",
    nn.Bilinear: "bilinear",
    nn.Conv1d: "conv1d",
    nn.Conv2d: "conv2d",
    nn.Conv3d: "conv3d",
    nn.ConvTranspose1d: "conv_transpose1d",
    nn.ConvTranspose2d: "conv_transpose2d",
    nn.ConvTranspose3d: "conv_transpose3d",
    _BatchNorm: "batch_norm",
    _InstanceNorm: "instance_norm",
    nn.LayerNorm: "layer_norm",
    nn.GroupNorm: "group_norm",
    nn.LocalResponseNorm: "local_response_norm",
    nn.RMSNorm: "rms_norm",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.SiLU: "silu",
    nn.Hardswish: "hardswish",
    nn.GELU: "gelu",
    nn.LeakyReLU: "leaky_relu",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.Hardsigmoid: "hardsigmoid",
    nn.PReLU: "prelu",
    nn.RReLU: "rrelu",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.CELU: "celu",
    nn.Mish: "mish",
    nn.Softplus: "softplus",
    nn.Softsign: "softsign",
    nn.Hardtanh: "hardtanh",
    nn.Hardshrink: "hardshrink",
    nn.Softshrink: "softshrink",
    nn.Tanhshrink: "tanhshrink",
    nn.LogSigmoid: "logsigmoid",
    nn.Threshold: "threshold",
    nn.Identity: "identity",
    _DropoutNd: "dropout",
    nn.Flatten: "flatten",
    nn.Unflatten: "unflatten",
    nn.PixelShuffle: "pixel_shuffle",
    nn.PixelUnshuffle: "pixel_unshuffle",
    nn.ChannelShuffle: "channel_shuffle",
    _ConstantPadNd: "pad",
    _ReflectionPadNd: "pad",
    _ReplicationPadNd: "pad",
    _CircularPadNd: "pad",
}

LIBRARIES = ("torch", "_operator", "math", "builtins")

DENSE_MODULES = (nn.Linear, _ConvNd)


def operator_of(node: fx.Node, root: nn.Module) -> Operator:
    """Name and kind of the operation of a `call_*` node; others are of kind OTHER."""
    name = _name(node, root)
    return Operator(name, KINDS.get(name, Kind.OTHER))


def _name(node: fx.Node, root: nn.Module) -> str:
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        known = (MODULE_NAMES[base] for base in type(module).__mro__ if base in MODULE_NAMES)
        return next(known, type(module).__name__.lower())
    if node.op == "call_function":
        return _function_name(node.target).rstrip("_")
    return str(node.target).rstrip("_") if node.op == "call_method" else node.op


def _function_name(function: object) -> str:
    """`add` for `torch.add`, and for `aten.add.Tensor`, whose own name has that of its form."""
    if isinstance(function, torch._ops.OpOverload):  # noqa: SLF001 no public name
        function = function.overloadpacket
    return str(getattr(function, "__name__", function))


def is_library(call: fx.Node) -> bool:
    """Whether a `call_function` node calls PyTorch or Python itself, and not a wrapped function."""
    return str(getattr(call.target, "__module__", "")).partition(".")[0] in LIBRARIES


def human_name(node: fx.Node, root: nn.Module) -> str:
    """Where the user finds the operation: a module path, or `<enclosing module path>.<op>`."""
    if node.op in ("call_module", "placeholder", "get_attr"):
        return str(node.target)
    stack: dict[str, tuple[str, object]] = node.meta.get("nn_module_stack") or {}
    enclosing = next((path for path, _ in reversed(stack.values())), "")
    name = operator_of(node, root).name
    return f"{enclosing}.{name}" if enclosing else name
