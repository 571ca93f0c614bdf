"""Golden images: what the reference computes of them, as C constants."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from actpress.deploy.c.arrays import literal, wrapped
from actpress.deploy.c.network import template
from actpress.deploy.integer import Executor, IntegerNetwork
from actpress.deploy.integer.arithmetic import Array, Values
from actpress.deploy.integer.execute import image_codes
from actpress.deploy.memory import MemoryPlan, packed

FNV_START, FNV_PRIME, MASK = 2166136261, 16777619, (1 << 32) - 1


def golden_files(
    network: IntegerNetwork, plan: MemoryPlan, images: NDArray[np.float32]
) -> dict[str, str]:
    """golden.h and golden.c for images (n, c, h, w)."""
    image = image_codes(network.input, images)
    logits, codes = Executor(network, plan.kept).run(image)
    stored = [chain.last.target.name for chain in plan.chains if chain.last.target is not None]
    outputs = logits
    if network.sent:
        outputs = np.array([list(message(network, plan, codes, at)) for at in range(len(images))])
    hashes = [
        [fnv(packed(codes[name][at], plan.layouts[name])) for name in stored]
        for at in range(len(images))
    ]
    body = '#include "golden.h"\n\n' + "\n".join(
        (
            _table("uint8_t", "golden_images", "NET_INPUT_BYTES", image.reshape(len(images), -1)),
            _table("net_output", "golden_outputs", "NET_OUTPUTS", outputs),
            _table("uint32_t", "golden_hashes", "NET_MAPS", np.array(hashes), suffix="u"),
        )
    )
    return {"golden.h": template("golden.h", IMAGES=len(images)), "golden.c": body}


def message(
    network: IntegerNetwork, plan: MemoryPlan, codes: Mapping[str, Array], at: int
) -> bytes:
    """What the head of a network sends for an image, of codes (n, h, w, c) by map."""
    return b"".join(packed(codes[name][at], plan.layouts[name]) for name in network.sent)


def fnv(data: bytes) -> int:
    """FNV-1a, 32 bits."""
    found = FNV_START
    for byte in data:
        found = (found ^ byte) * FNV_PRIME & MASK
    return found


def _table(kind: str, name: str, columns: str, values: Values, suffix: str = "") -> str:
    rows = [
        "    {\n" + wrapped(f"{literal(each)}{suffix}" for each in row) + "    },\n"
        for row in values
    ]
    return f"const {kind} {name}[GOLDEN_IMAGES][{columns}] = {{\n{''.join(rows)}}};\n"
