"""The operators that have an ONNX form, by the names of `actpress.graph`."""

from actpress.deploy.onnx import layers, pointwise, shapes
from actpress.deploy.onnx.pointwise import Form

FORMS: dict[str, Form] = {
    "conv1d": layers.convolution,
    "conv2d": layers.convolution,
    "linear": layers.linear,
    "batch_norm": layers.batch_norm,
    "max_pool2d": layers.max_pool,
    "maxpool2d": layers.max_pool,
    "avg_pool2d": layers.average_pool,
    "avgpool2d": layers.average_pool,
    "adaptive_avg_pool2d": layers.adaptive_average_pool,
    "adaptiveavgpool2d": layers.adaptive_average_pool,
    "relu": pointwise.plain("Relu"),
    "relu6": pointwise.relu6,
    "hardtanh": pointwise.clamp,
    "clamp": pointwise.clamp,
    "clip": pointwise.clamp,
    "sigmoid": pointwise.plain("Sigmoid"),
    "tanh": pointwise.plain("Tanh"),
    "hardsigmoid": pointwise.hard_sigmoid,
    "hardswish": pointwise.plain("HardSwish"),
    "silu": pointwise.silu,
    "gelu": pointwise.gelu,
    "mish": pointwise.plain("Mish"),
    "softsign": pointwise.plain("Softsign"),
    "prelu": pointwise.prelu,
    "leaky_relu": pointwise.with_setting("LeakyRelu", "negative_slope", "alpha", 0.01),
    "elu": pointwise.with_setting("Elu", "alpha", "alpha", 1.0),
    "add": pointwise.arithmetic("Add"),
    "sub": pointwise.arithmetic("Sub"),
    "mul": pointwise.arithmetic("Mul"),
    "div": pointwise.arithmetic("Div"),
    "truediv": pointwise.arithmetic("Div"),
    "mean": shapes.mean,
    "pad": shapes.pad,
    **dict.fromkeys(("cat", "concat", "concatenate"), shapes.concatenate),
    **dict.fromkeys(("permute", "transpose", "swapaxes", "swapdims"), shapes.permute),
    **dict.fromkeys(
        ("flatten", "view", "reshape", "unflatten", "squeeze", "unsqueeze"), shapes.reshape
    ),
    **dict.fromkeys(
        (
            "identity",
            "dropout",
            "dropout1d",
            "dropout2d",
            "alpha_dropout",
            "contiguous",
            "clone",
            "in_layout",
        ),
        shapes.unchanged,
    ),
}
