"""Normalisation as part of the convolution before it, where weights stay as they are."""

import copy
from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from actpress.graph.fold import NORM_TYPES, is_plain
from actpress.graph.merge import set_module

CONVOLUTIONS = frozenset({nn.Conv1d, nn.Conv2d, nn.Conv3d})


def with_merged_norms(network: fx.GraphModule) -> fx.GraphModule:
    """The same network in eval mode, up to rounding, for as long as its own weights stay.

    What normalisation computes is affine, channel by channel: weights and biases of the convolution
    that alone it reads take it in. All other modules are shared with the network, such as codecs,
    which may change.

    Args:
        network: in eval mode; stays as it is.
    """
    merged = fx.GraphModule(network, copy.deepcopy(network.graph))
    modules = dict(network.named_modules())
    calls = Counter(str(node.target) for node in merged.graph.nodes if node.op == "call_module")
    for norm in [node for node in merged.graph.nodes if node.op == "call_module"]:
        before = norm.all_input_nodes[0]
        if before.op != "call_module" or len(before.users) > 1:
            continue
        paths = str(before.target), str(norm.target)
        pair = [modules[path] for path in paths]
        if _merge(*pair) and all(calls[path] == 1 for path in paths):
            set_module(merged, paths[0], fuse_conv_bn_eval(*pair))
            norm.replace_all_uses_with(before)
            merged.graph.erase_node(norm)
    merged.delete_all_unused_submodules()
    merged.recompile()
    return merged.eval()


def _merge(convolution: nn.Module, norm: nn.Module) -> bool:
    known = type(convolution) in CONVOLUTIONS and type(norm) in NORM_TYPES
    plain = known and is_plain(convolution) and is_plain(norm)
    return plain and not norm.training and norm.running_mean is not None
