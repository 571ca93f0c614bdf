#!/usr/bin/env bash
# qonnx gives a Concat the datatype of its first operand alone, so a UINT2 tensor holds a 7.
#
# Version: qonnx 1.0.0, with onnx 1.23.2 and onnxruntime 1.32.0.
# Expected: `InferDataTypes` "infers DataType info [...] based on inputs and node type": UINT2 joined
#     with UINT3 holds 0 to 7, so UINT3, and the order of the operands makes no difference to the type.
# Seen: the type is that of the first operand. qonnx's own execution gives 7, which its own
#     UINT2 does not allow, and `inference_cost` counts the convolution behind it at 2 bits instead of 3.
#     Inference says nothing; execution warns that the values "will be rounded" to UINT2, and keeps the 7.
# Output:
#     narrow first: Concat is UINT2, greatest value 7, allowed False, bit operations 1024
#     wide first: Concat is UINT3, greatest value 7, allowed True, bit operations 1536
# Exit status: 0 while this holds, 1 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet qonnx==1.0.0 onnx==1.23.2 onnxruntime==1.32.0

"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.inference_cost import inference_cost

DOMAIN = "qonnx.custom_op.general"
SHAPE = [1, 2, 4, 4]


def quant(values, bits, signed, output):
    return helper.make_node(
        "IntQuant",
        [values, "one", "zero", bits],
        [output],
        domain=DOMAIN,
        signed=signed,
        narrow=0,
        rounding_mode="ROUND",
    )


def joined(first, second):
    """Two maps of 2 and 3 bits, joined in this order, and a convolution with weights of 4 bits."""
    numbers = {"one": 1, "zero": 0, "two": 2, "three": 3, "four": 4}
    constants = {name: np.array(number, np.float32) for name, number in numbers.items()}
    constants["weights"] = np.full((2, 4, 1, 1), 3, np.float32)
    nodes = [
        quant("image", "two", 0, "narrow"),
        quant("image", "three", 0, "wide"),
        quant("weights", "four", 1, "rounded"),
        helper.make_node("Concat", [first, second], ["both"], axis=1),
        helper.make_node("Conv", ["both", "rounded"], ["output"], kernel_shape=[1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "joined",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    checker.check_model(model)
    return ModelWrapper(model).transform(InferShapes()).transform(InferDataTypes())


def look(title, first, second):
    model = joined(first, second)
    image = np.full(SHAPE, 7, np.float32)
    tensors = execute_onnx(model, {"image": image}, return_full_exec_context=True)
    greatest = int(tensors["both"].max())
    name = model.get_tensor_datatype("both").name
    allowed = DataType[name].allowed(greatest)
    operations = int(inference_cost(model)["total_cost"]["total_bops"])
    print(
        f"{title}: Concat is {name}, greatest value {greatest}, allowed {allowed}, "
        f"bit operations {operations}"
    )
    return name, greatest, allowed, operations


found = [look("narrow first", "narrow", "wide"), look("wide first", "wide", "narrow")]
sys.exit(found != [("UINT2", 7, False, 1024), ("UINT3", 7, True, 1536)])
PYTHON
