#!/usr/bin/env bash
# aidge plans a byte for every value of a 4-bit map: quantized to int4, a network needs the RAM of int8.
#
# Version: aidge-core, aidge-backend-cpu, aidge-quantization and aidge-export-cpp 0.10.1.
# Expected: half the bytes. `dtype_bit_width` says 4 for int4, the generated code has a type
#     `packed_bitint<2, 4>` for two values in a byte, and kernels that read and write it.
# Seen: the exported code holds 4-bit maps as `bitint<4>`, a byte each, and its block of memory is as
#     large as with int8. Set to dual_int4 by hand, maps become `packed_bitint<2, 4>`, which are written
#     at half the bytes of every pixel, while the planner still keeps a byte for every value.
# Output:
#     int8: int8_t maps, block of 32768 bytes
#     int4: bitint<4> maps, block of 32768 bytes
#     dual_int4: packed_bitint<2, 4> maps, block of 32768 bytes
# Exit status: 0 while this holds, 1 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet aidge-core==0.10.1 aidge-backend-cpu==0.10.1 \
    aidge-quantization==0.10.1 aidge-export-cpp==0.10.1

cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import re
import sys
from pathlib import Path

import aidge_backend_cpu
import aidge_core
import aidge_export_cpp
import aidge_quantization
import numpy as np
from aidge_core.export_utils.config import ExportConfig
from aidge_core.export_utils.export import prepare_export, write_export

aidge_core.Log.set_console_level(aidge_core.Level.Fatal)
DTYPE = aidge_core.dtype


def image():
    tensor = aidge_core.Tensor(np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype("f"))
    tensor.set_data_format(aidge_core.dformat.nchw)
    tensor.to_backend("cpu")
    return tensor


def look(name, precision, packed=None):
    """Two convolutions, 3 to 16 to 16 channels at 32x32, with maps of a precision."""
    layers = []
    for index, channels in enumerate((3, 16)):
        layers.append(
            aidge_core.PaddedConv2D(
                channels, 16, [3, 3], padding_dims=[1, 1, 1, 1], name=f"layer{index}"
            )
        )
        layers.append(aidge_core.ReLU(name=f"relu{index}"))
    network = aidge_core.sequential(layers)
    network.set_dataformat(aidge_core.dformat.nchw)
    network.set_datatype(DTYPE.float32)
    network.set_backend("cpu")
    for node in network.get_nodes():
        if node.type() == "Producer":
            shape = node.get_operator().get_output(0).dims
            tensor = aidge_core.Tensor(np.full(shape, 0.01, np.float32))
            tensor.to_backend("cpu")
            node.get_operator().set_output(0, tensor)
    aidge_core.expand_metaops(network, name_format="{0}_{1}_{2}")
    network.forward_dims([[1, 3, 32, 32]])
    aidge_quantization.auto_assign_node_precision(
        graphview=network,
        act_precision=precision,
        weight_precision=DTYPE.int8,
        bias_precision=DTYPE.int32,
    )
    aidge_quantization.quantize_network(
        network=network, calibration_set=[image()], single_shift=True
    )
    codes = aidge_core.Tensor(np.zeros((1, 3, 32, 32), np.int8))
    codes.set_data_format(aidge_core.dformat.nchw)
    codes.to_dtype(precision)
    config = ExportConfig(
        target="host", export_folder=name, dtype="int8", legacy=True, compile=False, cuda=False
    )
    ready = prepare_export(network, config, input_tensors=[codes])
    if packed is not None:
        for node in ready.scheduler.get_sequential_static_scheduling():
            if node.type() == "PadConvAct":
                node.get_operator().get_output(0).set_datatype(packed)
    write_export(ready)
    code = (Path(name) / "dnn" / "src" / "forward.cpp").read_text()
    block = int(re.search(r"unsigned char mem_0\[(\d+)\]", code).group(1))
    (kind,) = set(re.findall(r"^ *(\S.*)\* \w+_output_0 = \(", code, re.MULTILINE))
    print(f"{name}: {kind} maps, block of {block} bytes")
    return kind, block


found = [
    look("int8", DTYPE.int8),
    look("int4", DTYPE.int4),
    look("dual_int4", DTYPE.int4, DTYPE.dual_int4),
]
expected = [("int8_t", 32768), ("bitint<4>", 32768), ("packed_bitint<2, 4>", 32768)]
sys.exit(found != expected)
PYTHON
