"""The law of the codec on the bundled networks, whose convolutions choose memory layouts."""

import io

import pytest
import torch
from torch import Tensor, nn

from actpress.budget import Budget
from actpress.codec import CodecOutput
from actpress.data import load_fashion_mnist_subset
from actpress.graph import capture
from actpress.methods import Job, Settings
from actpress.methods.principal_components import plan_at
from actpress.plan import Placement
from actpress.stream import Decoder, Encoder
from actpress.zoo import reference


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "mobilenet_v2"])
def test_bytes_restore_what_the_network_went_on_with(name: str) -> None:
    data = load_fashion_mnist_subset()
    graph = capture(reference.load(name), next(data.train.batches(2))[0])
    job = Job(graph, data, Budget.parse("2bits"), Settings(calibration_images=32))
    observed = job.calibrate(Placement.PRE_ACT)
    pressed = job.press(plan_at(job, observed, 15.0), observed).eval()
    (x, _) = next(data.test.batches(16))
    went_on: dict[str, Tensor] = {}

    def keep(name: str) -> object:
        def hook(_codec: nn.Module, _given: object, output: CodecOutput) -> None:
            went_on[name] = output.x_hat

        return hook

    for site, codec in pressed.codecs.items():
        codec.register_forward_hook(keep(site))
    with torch.no_grad():
        logits = pressed(x)
    expected = dict(went_on)
    file = io.BytesIO()
    with Encoder(pressed, file) as encoder:
        assert encoder.encode(x).equal(logits)
    file.seek(0)
    (restored,) = Decoder(pressed, file)
    assert [site for site in expected if not restored[site].equal(expected[site])] == []
