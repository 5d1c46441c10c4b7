"""Single layers lowered to products: linear, convolution by im2col, LSTM gates, attention."""

from accelsim.config.workload import AttentionLayer, Conv2dLayer, LinearLayer, LstmLayer, NetworkWorkload
from accelsim.errors import ConfigError
from accelsim.model.graph import Network
from accelsim.model.parts import NetworkBuilder

LSTM_CELL_FLOPS = 36
"""For each hidden unit: three sigmoids of 6, two hyperbolic tangents of 7, three products and a sum."""


def build_layers(workload: NetworkWorkload) -> Network:
    """Independent layers, one after another, each on inputs of its own; the last one's output stands as the output."""
    builder = NetworkBuilder(workload.dtype)
    output = ""
    for index, layer in enumerate(workload.layers):
        name = f"layers.{index}"
        match layer:
            case LinearLayer():
                output = _linear(builder, name, layer)
            case Conv2dLayer():
                output = _conv2d(builder, name, layer)
            case LstmLayer():
                output = _lstm(builder, name, layer)
            case AttentionLayer():
                output = _attention(builder, name, layer)
    return builder.finish(workload.name or "network", output)


def _linear(builder: NetworkBuilder, name: str, layer: LinearLayer) -> str:
    x = builder.input(f"{name}.input", layer.rows, layer.inputs)
    return builder.linear(f"{name}.linear", x, layer.outputs)


def _conv2d(builder: NetworkBuilder, name: str, layer: Conv2dLayer) -> str:
    """Pixels are rows [batch * height * width, channels] (channels last). im2col is explicit: it writes its matrix.

    A 1x1 convolution without stride and padding needs none, because its matrix is the input.
    """
    height, width = convolved_size(layer)
    if height < 1 or width < 1:
        raise ConfigError(
            f"workload.{name}: kernel {layer.kernel} is larger than the padded input "
            f"({layer.height + 2 * layer.padding} x {layer.width + 2 * layer.padding})"
        )
    x = builder.input(f"{name}.input", layer.batch * layer.height * layer.width, layer.channels)
    if (layer.kernel, layer.stride, layer.padding) != (1, 1, 0):
        sizes = ("batch", "height", "width", "channels", "kernel", "stride", "padding")
        x = builder.elementwise(
            f"{name}.im2col",
            "im2col",
            (x,),
            (layer.batch * height * width, layer.kernel**2 * layer.channels),
            flops=0,
            attributes={size: getattr(layer, size) for size in sizes},
        )
    return builder.linear(f"{name}.conv2d", x, layer.filters)


def convolved_size(layer: Conv2dLayer) -> tuple[int, int]:
    """Height and width of a convolution's output."""
    height, width = (
        (extent + 2 * layer.padding - layer.kernel) // layer.stride + 1 for extent in (layer.height, layer.width)
    )
    return height, width


def _lstm(builder: NetworkBuilder, name: str, layer: LstmLayer) -> str:
    """For each step gates = [x, h] W + b, then the cell.

    The cell writes [x of the next step | h | c] into one state tensor, and the next product reads [x | h] as a view.
    The state before the first step comes from outside (its columns of x hold the first x), the other x as
    [(steps - 1) * batch, inputs], step after step. The last state is [h | c].
    """
    hidden, depth = layer.hidden, layer.inputs + layer.hidden
    state = builder.input(f"{name}.state", layer.batch, depth + hidden)
    x = None
    if layer.steps > 1:
        x = builder.input(f"{name}.input", (layer.steps - 1) * layer.batch, layer.inputs)
    for step in range(layer.steps):
        at = f"{name}.step.{step}"
        operand = builder.columns(f"{at}.operand", state, 0, depth)
        gates = builder.gemm(f"{at}.gates", operand, 4 * hidden, weight=f"{name}.weight", bias=f"{name}.bias")
        last = step == layer.steps - 1
        more = 0 if x is None or last else layer.inputs
        columns = more + 2 * hidden
        state = builder.elementwise(
            f"{at}.cell",
            "lstm_cell",
            (gates, state) if x is None or last else (gates, state, x),
            (layer.batch, columns),
            flops=-(-LSTM_CELL_FLOPS * hidden // columns),
            read=layer.batch * (4 * hidden + hidden + more),
            attributes={"step": step, "hidden": hidden},
        )
    return state


def _attention(builder: NetworkBuilder, name: str, layer: AttentionLayer) -> str:
    shape = (layer.batch * layer.sequence, layer.heads * layer.head_dim)
    query, key, value = (builder.input(f"{name}.{role}", *shape) for role in ("query", "key", "value"))
    return builder.attention(f"{name}.attention", query, key, value, batch=layer.batch, heads=layer.heads)
