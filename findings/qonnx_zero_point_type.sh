#!/usr/bin/env bash
# qonnx takes what an IntQuant node with a zero point gives for FLOAT32, without a word.
#
# Version: qonnx 1.0.0, with onnx 1.23.2 and onnxruntime 1.32.0.
# Expected: SCALEDINT<8> for 8 bits, whatever the zero point: the operator's description allows any, and
#     the change that brought scaled integers says that a "nonzero zero-point or non-unit scale" gives
#     them "instead of defaulting to FLOAT32" (github.com/fastmachinelearning/qonnx/pull/53).
# Seen: a scale alone gives SCALEDINT<8>, a zero point besides gives FLOAT32. The assertion "Only
#     zero_point=0 IntQuant nodes supported for now" is caught where it is raised, so that neither an error
#     nor a warning tells of it, and `inference_cost` counts four times the bit operations.
# Output:
#     zero point 0: SCALEDINT<8>, 128 values of 256, bit operations 8192, warnings 0
#     zero point 128: FLOAT32, 256 values of 256, bit operations 32768, warnings 0
# Exit status: 0 while this holds, 1 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet qonnx==1.0.0 onnx==1.23.2 onnxruntime==1.32.0

"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.inference_cost import inference_cost

DOMAIN = "qonnx.custom_op.general"
SHAPE = [1, 1, 16, 16]


def quant(values, scale, zero, bits, signed, output):
    return helper.make_node(
        "IntQuant",
        [values, scale, zero, bits],
        [output],
        domain=DOMAIN,
        signed=signed,
        narrow=0,
        rounding_mode="ROUND",
    )


def quantized(zero_point):
    """A map of 8 bits, unsigned, and a convolution of one weight of 4 bits."""
    numbers = {"step": 0.5, "one": 1, "zero": 0, "offset": zero_point, "eight": 8, "four": 4}
    constants = {name: np.array(number, np.float32) for name, number in numbers.items()}
    constants["weights"] = np.full((1, 1, 1, 1), 3, np.float32)
    nodes = [
        quant("image", "step", "offset", "eight", 0, "stored"),
        quant("weights", "one", "zero", "four", 1, "rounded"),
        helper.make_node("Conv", ["stored", "rounded"], ["output"], kernel_shape=[1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    checker.check_model(model)
    return ModelWrapper(model).transform(InferShapes())


def look(zero_point):
    model = quantized(zero_point)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model = model.transform(InferDataTypes(allow_scaledint_dtypes=True))
    image = (np.arange(256, dtype=np.float32).reshape(SHAPE) - 128) / 2
    tensors = execute_onnx(model, {"image": image}, return_full_exec_context=True)
    values = len(np.unique(tensors["stored"]))
    name = model.get_tensor_datatype("stored").name
    operations = int(inference_cost(model)["total_cost"]["total_bops"])
    print(
        f"zero point {zero_point}: {name}, {values} values of 256, bit operations {operations}, "
        f"warnings {len(heard)}"
    )
    return name, values, operations, len(heard)


found = [look(0), look(128)]
sys.exit(found != [("SCALEDINT<8>", 128, 8192, 0), ("FLOAT32", 256, 32768, 0)])
PYTHON
