#!/usr/bin/env bash
# torch.export's run_decompositions({}) moves a split into the modules that read it, once for each.
#
# Version: torch 2.13.0.
# Expected: an empty table decomposes nothing, and only in-place operations become others. What
#     `nn_module_stack` says of a node, which tools group an exported graph by, stays true: a split in
#     the forward of the network belongs to the network, and runs once.
# Seen: behind an in-place activation, the one split of the network becomes two, each said to lie
#     within the convolution that reads a half of it. A tool that takes a module's nodes for the module
#     finds convolutions that take 8 channels and hold a split. Without the in-place operation nothing moves.
# Output:
#     in place, exported: split in (root)
#     in place, run_decompositions({}): split in left, split in right
#     not in place, run_decompositions({}): split in (root)
# Exit status: 0 while this holds, 1 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy

"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from torch import nn


class Halves(nn.Module):
    """Each half of the channels goes through a convolution of its own."""

    def __init__(self, inplace):
        super().__init__()
        self.activation = nn.SiLU(inplace=inplace)
        self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        first, second = torch.split(self.activation(x), 4, dim=1)
        return self.left(first) + self.right(second)


def splits(program):
    """The module that every split of a program is said to lie in."""
    owners = []
    for node in program.graph.nodes:
        if "aten.split" in str(node.target):
            path, _ = list(node.meta["nn_module_stack"].values())[-1]
            owners.append(path or "(root)")
    return owners


example = (torch.randn(1, 8, 3, 3),)
inplace = torch.export.export(Halves(inplace=True).eval(), example)
plain = torch.export.export(Halves(inplace=False).eval(), example)
found = {
    "in place, exported": splits(inplace),
    "in place, run_decompositions({})": splits(inplace.run_decompositions({})),
    "not in place, run_decompositions({})": splits(plain.run_decompositions({})),
}
for title, owners in found.items():
    print(f"{title}: {', '.join(f'split in {owner}' for owner in owners)}")
sys.exit(list(found.values()) != [["(root)"], ["left", "right"], ["(root)"]])
PYTHON
