"""Where files are run to be verified: onnxruntime, and QONNX's own execution."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from actpress.deploy.onnx.network import INPUT, OUTPUT, OnnxNetwork
from actpress.deploy.onnx.verification import Execute, Tensors


def onnxruntime_session(network: OnnxNetwork) -> Execute:
    """Run in onnxruntime as the file says: without optimisations, on one thread."""
    import onnxruntime  # noqa: PLC0415  takes a second

    names = [OUTPUT, *symbol_tensors(network)]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        _with_outputs(network).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def execute(images: NDArray[np.float32]) -> Tensors:
        return dict(zip(names, session.run(names, {INPUT: images}), strict=True))

    return execute


def qonnx_execution(network: OnnxNetwork) -> Execute:
    """Run node by node, `Quant` in numpy as QONNX defines it; one image at a time."""
    from qonnx.core.modelwrapper import ModelWrapper  # noqa: PLC0415  takes seconds
    from qonnx.core.onnx_exec import execute_onnx  # noqa: PLC0415
    from qonnx.transformation.infer_shapes import InferShapes  # noqa: PLC0415

    model = ModelWrapper(network.model).transform(InferShapes())
    names = [OUTPUT, *symbol_tensors(network)]

    def execute(images: NDArray[np.float32]) -> Tensors:
        runs = [
            execute_onnx(model, {INPUT: image[None]}, return_full_exec_context=True)
            for image in images
        ]
        return {name: np.concatenate([run[name] for run in runs]) for name in names}

    return execute


def symbol_tensors(network: OnnxNetwork) -> list[str]:
    """Names of the tensors in which symbols are."""
    return [part.name for site in network.sites.values() for part in site.symbols]


def _with_outputs(network: OnnxNetwork) -> onnx.ModelProto:
    """The model that returns the tensors of symbols, too."""
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    for name in symbol_tensors(network):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return model
