"""Exports one small network with aidge-export-cpp: a script for a Python that has aidge.

    python peers_aidge.py NETWORK.npz FOLDER

NETWORK.npz holds `weight0`, `bias0`, ... of convolutions and of the linear layer at the end,
`strides` and `bits` of the convolutions, and `images` (n, c, h, w), float32. Writes three projects
into FOLDER: `plain` as it comes, `packed` with the packed types of its kernels and room for packed
maps, and `wrapped`, the same with maps that wrap around. The last line on stdout holds the bytes
that each plans, as JSON.
"""

import functools
import json
import sys
from pathlib import Path
from typing import Any

import aidge_backend_cpu  # noqa: F401  registers what aidge_core calls
import aidge_core
import aidge_export_cpp  # noqa: F401  the same
import aidge_quantization
import numpy as np
from aidge_core.export_utils.config import ExportConfig
from aidge_core.export_utils.export import prepare_export, write_export
from aidge_core.export_utils.scheduler_export import scheduler_export
from aidge_core.mem_info import generate_optimized_memory_info

DTYPE = aidge_core.dtype
SMALL = {4: DTYPE.int4, 2: DTYPE.int2}
PACKED = {4: DTYPE.dual_int4, 2: DTYPE.quad_int2}
CONVOLUTION = "PadConvAct"


def network_of(arrays: Any) -> Any:
    """Convolutions of 3x3 with ReLU, the global mean and a linear layer, in float32."""
    layers: list[Any] = []
    for index, stride in enumerate(arrays["strides"]):
        out, into = arrays[f"weight{index}"].shape[:2]
        layers.append(
            aidge_core.PaddedConv2D(
                *(int(into), int(out), [3, 3]),
                stride_dims=[int(stride)] * 2,
                padding_dims=[1, 1, 1, 1],
                name=f"layer{index}",
            )
        )
        layers.append(aidge_core.ReLU(name=f"relu{index}"))
    last = len(arrays["strides"])
    out, into = arrays[f"weight{last}"].shape
    layers += [aidge_core.GlobalAveragePooling(name="mean")]
    layers += [aidge_core.FC(int(into), int(out), name=f"layer{last}")]
    network = aidge_core.sequential(layers)
    network.set_dataformat(aidge_core.dformat.nchw)
    network.set_datatype(DTYPE.float32)
    network.set_backend("cpu")
    for node in network.get_nodes():
        if node.type() == "Producer":
            layer, kind = node.name().rsplit("_", 1)
            key = {"w": "weight", "b": "bias"}[kind] + layer.removeprefix("layer")
            tensor = aidge_core.Tensor(np.ascontiguousarray(arrays[key]))
            tensor.to_backend("cpu")
            node.get_operator().set_output(0, tensor)
    return network


def tensor_of(image: Any) -> Any:
    """One image (c, h, w)."""
    tensor = aidge_core.Tensor(np.ascontiguousarray(image[None]))
    tensor.set_data_format(aidge_core.dformat.nchw)
    tensor.to_backend("cpu")
    return tensor


def quantized(arrays: Any) -> tuple[Any, Any]:
    """The network in integers, its maps in 8 bits of 4-bit range, and an image as it takes it."""
    network = network_of(arrays)
    images = [tensor_of(image) for image in arrays["images"]]
    aidge_core.expand_metaops(network, name_format="{0}_{1}_{2}")
    network.forward_dims([images[0].dims])
    aidge_quantization.auto_assign_node_precision(
        graphview=network,
        act_precision=DTYPE.int4,
        weight_precision=DTYPE.int8,
        bias_precision=DTYPE.int32,
    )
    aidge_quantization.quantize_network(
        network=network,
        calibration_set=images,
        clipping_mode=aidge_quantization.Clipping.MAX,
        single_shift=True,
    )
    codes = aidge_core.Tensor(np.round(arrays["images"][:1] * 7).astype(np.int8))
    codes.set_data_format(aidge_core.dformat.nchw)
    codes.to_dtype(DTYPE.int4)
    return network, codes


def prepared(arrays: Any, folder: Path) -> Any:
    """The quantized network, adapted to the C++ export."""
    network, codes = quantized(arrays)
    config = ExportConfig(
        target="host",
        export_folder=str(folder),
        dtype="int8",
        legacy=True,
        compile=False,
        cuda=False,
    )
    return prepare_export(network, config, input_tensors=[codes])


def plain(arrays: Any, folder: Path) -> int:
    """As it comes: bytes of its memory block."""
    return _block(write_export(prepared(arrays, folder)), folder)


def packed(arrays: Any, folder: Path, *, wrapping: bool) -> int:
    """With packed types, and planned by packed sizes: bytes of its memory block."""
    ready = prepared(arrays, folder)
    nodes = ready.scheduler.get_sequential_static_scheduling()
    convolutions = [node for node in nodes if node.type() == CONVOLUTION]
    assert len(convolutions) == len(arrays["bits"])
    for node, bits in zip(convolutions, arrays["bits"], strict=True):
        node.get_operator().get_output(0).set_datatype(PACKED[int(bits)])
    planned = functools.partial(
        by_packed_sizes, convolutions=convolutions, bits=arrays["bits"], wrapping=wrapping
    )
    peaks = scheduler_export(ready.scheduler, str(folder), memory_manager=planned)
    return _block(peaks, folder)


def by_packed_sizes(scheduler: Any, *, convolutions: Any, bits: Any, wrapping: bool) -> Any:
    """Aidge's own planner, which is shown maps of as many values as they have packed bytes."""
    outputs = [node.get_operator().get_output(0) for node in convolutions]
    shapes = [list(output.dims) for output in outputs]
    for output, shape, each in zip(outputs, shapes, bits, strict=True):
        values = 8 // int(each)
        output.resize([*shape[:-1], -(-shape[-1] // values)])
    found = generate_optimized_memory_info(scheduler, multiple_mems=False, wrapping=wrapping)
    for output, shape in zip(outputs, shapes, strict=True):
        output.resize(shape)
    return found


def _block(_: Any, folder: Path) -> int:
    """As the generated code declares it."""
    (line,) = [
        line
        for line in (folder / "dnn" / "src" / "forward.cpp").read_text().splitlines()
        if "unsigned char mem_0[" in line
    ]
    return int(line.split("[")[1].split("]")[0])


def main() -> None:
    """Write all three."""
    arrays, folder = np.load(sys.argv[1]), Path(sys.argv[2])
    aidge_core.Log.set_console_level(aidge_core.Level.Fatal)
    found = {
        "plain": plain(arrays, folder / "plain"),
        "packed": packed(arrays, folder / "packed", wrapping=False),
        "wrapped": packed(arrays, folder / "wrapped", wrapping=True),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
