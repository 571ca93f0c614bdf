"""Closed-form decoders: they restore the float network's values, from training images alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from actpress.codec import LinearProjection, SiteCodec, seen_by
from actpress.graph import Graph, site_values, values_before
from actpress.plan import Transform
from actpress.pressing import CompressedModel
from actpress.tune import fit_decoders

Make = Callable[..., CompressedModel]


def errors(pressed: CompressedModel, graph: Graph, images: Tensor) -> dict[str, float]:
    """Squared error of every site against the float network."""
    seen: dict[str, Tensor] = {}

    class Probe:
        def __init__(self, name: str) -> None:
            self.name = name

        def update(self, codec: SiteCodec, x: Tensor, q: Tensor, x_hat: Tensor) -> None:
            seen[self.name] = x_hat

    probes = {codec: Probe(name) for name, codec in pressed.codecs.items()}
    with torch.no_grad(), seen_by(probes):
        pressed(images)
    placements = {site.site: site.placement for site in pressed.plan}
    return {
        name: float((seen[name] - value).square().mean())
        for name, value in site_values(graph, images, placements)
    }


def test_every_site_comes_closer_to_the_float_network(
    graph: Graph, images: Tensor, make_pressed: Make
) -> None:
    pressed = make_pressed(Transform.LEARNED, coarseness=1.5)
    before = errors(pressed, graph, images)
    encoders = {name: codec.projection.encoder.clone() for name, codec in pressed.codecs.items()}
    fit_decoders(pressed, graph, list(images.split(20)))
    after = errors(pressed, graph, images)
    assert after.keys() == before.keys() == {site.name for site in graph.sites}
    ratios = {name: after[name] / before[name] for name in before}
    assert max(ratios.values()) <= 1.005, "decoders are rounded to eight bits"
    assert sum(after.values()) < 0.97 * sum(before.values())
    for name, codec in pressed.codecs.items():
        decoder = codec.projection.decoder.clone()
        assert codec.projection.encoder.equal(encoders[name])
        codec.projection.round_to_stored()
        assert codec.projection.decoder.equal(decoder), "as it is stored"


def test_decoders_that_are_not_free_stay(graph: Graph, images: Tensor, make_pressed: Make) -> None:
    pressed = make_pressed(Transform.PCA, coarseness=1.5)
    before = {name: tensor.clone() for name, tensor in pressed.state_dict().items()}
    fit_decoders(pressed, graph, [images])
    assert all(tensor.equal(before[name]) for name, tensor in pressed.state_dict().items())


def test_batches_do_not_matter(graph: Graph, images: Tensor, make_pressed: Make) -> None:
    whole, parts = (make_pressed(Transform.LEARNED, coarseness=1.5) for _ in range(2))
    start = whole.codecs["relu"].projection.decoder.clone()
    fit_decoders(whole, graph, [images])
    fit_decoders(parts, graph, list(images.split(7)))
    for one, other in zip(whole.codecs.values(), parts.codecs.values(), strict=True):
        assert isinstance(one.projection, LinearProjection)
        torch.testing.assert_close(
            one.projection.decoder, other.projection.decoder, rtol=0.01, atol=0.01
        )
    assert not torch.allclose(whole.codecs["relu"].projection.decoder, start, rtol=0.01, atol=0.01)


def test_a_codec_without_a_projection_stays(
    graph: Graph, images: Tensor, make_pressed: Make
) -> None:
    pressed = make_pressed(Transform.IDENTITY, bit_width=4)
    before = errors(pressed, graph, images)
    fit_decoders(pressed, graph, [images])
    assert errors(pressed, graph, images) == before


def test_a_change_before_a_module_runs_is_seen_by_the_next_one(
    images: Tensor, make_pressed: Make
) -> None:
    pressed = make_pressed(Transform.PCA)
    first, second, *_ = pressed.codecs
    paths = {pressed.network.codec_paths[name]: name for name in (first, second)}
    plain = dict(values_before(pressed.network.eval_module, images[:2], paths))
    changed = {}
    for path, value in values_before(pressed.network.eval_module, images[:2], paths):
        changed[path] = value
        pressed.codecs[paths[path]].projection.offset.data += 1.0
    assert list(changed) == list(paths)
    (before, own), (after, moved) = zip(plain.values(), changed.values(), strict=True)
    assert before.equal(own)
    assert not after.equal(moved)
