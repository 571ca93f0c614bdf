import torch
from torch import nn
from torch.nn import functional as F

from actpress.graph import capture
from actpress.plan import Placement
from actpress.zoo import resnet8


def test_it_has_the_parameters_of_the_reference_model() -> None:
    state = resnet8().state_dict().values()

    assert sum(value.numel() for value in state if value.ndim) == 78_666  # as Keras counts


def test_a_stride_of_two_pads_below_and_right_only() -> None:
    block = resnet8().layer2.eval()
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.bias)
    impulse = torch.zeros(1, 16, 8, 8)
    impulse[0, 0, 0, 0] = 1

    seen = block.conv1(block.pad(impulse))

    # Windows begin at the first pixel: it meets the upper left weight, and no other window.
    assert seen[0, :, 0, 0].allclose(block.conv1.weight[:, 0, 0, 0])
    assert seen[0, :, 1:].abs().max() == seen[0, :, :, 1:].abs().max() == 0
    padded = F.pad(impulse, (0, 1, 0, 1))
    assert seen.equal(F.conv2d(padded, block.conv1.weight, stride=2))


def test_padding_is_no_site_and_decoders_fold_through_it() -> None:
    sites = {site.name: site for site in capture(resnet8().eval(), torch.rand(2, 3, 32, 32)).sites}

    assert [(site.name, site.shape) for site in sites.values()] == [
        ("relu", (16, 32, 32)),
        ("layer1.relu", (16, 32, 32)),
        ("layer1.relu#2", (16, 32, 32)),
        ("layer2.relu", (32, 16, 16)),
        ("layer2.shortcut", (32, 16, 16)),
        ("layer2.relu#2", (32, 16, 16)),
        ("layer3.relu", (64, 8, 8)),
        ("layer3.shortcut", (64, 8, 8)),
        ("layer3.relu#2", (64, 8, 8)),
        ("avgpool", (64, 1, 1)),
    ]
    into = sites["layer1.relu#2"].decoder_folds_into(Placement.POST_ACT)
    assert into == ("layer2.conv1", "layer2.shortcut")
