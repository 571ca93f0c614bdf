"""What QONNX's own tools read of a file."""

import tempfile
from math import prod
from pathlib import Path

from actpress.deploy.onnx.network import OnnxNetwork
from actpress.deploy.onnx.quant import quant_name
from actpress.errors import ExportError


def check_bits(network: OnnxNetwork) -> None:
    """Compare the stored bits that `qonnx-inference-cost` infers with those that are stated.

    The tool's total of activations counts what convolutions give before a `Quant`, as floats; the
    types that it infers for what each `Quant` gives are in the model that it saves.

    Raises:
        ExportError: they differ; names the site.
    """
    bits = bits_read(network)
    for name, site in network.sites.items():
        found = sum(bits[quant_name(name, part.group)] for part in site.symbols)
        if found != site.stated_bits:
            raise ExportError(
                f"site {name}: qonnx-inference-cost reads {found} bits for an image, expected "
                f"{site.stated_bits}; nothing was written; please report this"
            )


def bits_read(network: OnnxNetwork) -> dict[str, int]:
    """Bits of one image after each `Quant` node, by the types that QONNX infers."""
    from qonnx.core.modelwrapper import ModelWrapper  # noqa: PLC0415  takes seconds
    from qonnx.util.inference_cost import inference_cost  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "inferred.onnx")
        inference_cost(ModelWrapper(network.model, make_deepcopy=True), output_onnx=path)
        inferred = ModelWrapper(path)
    return {
        node.doc_string: inferred.get_tensor_datatype(node.output[0]).bitwidth()
        * prod(inferred.get_tensor_shape(node.output[0]))
        for node in inferred.get_nodes_by_op_type("Quant")
    }
