"""Networks that a workload lists operation by operation."""

from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.config.graph_workload import (
    AddStep,
    AttentionStep,
    ColumnsStep,
    FunctionStep,
    GraphWorkload,
    LinearStep,
    LookupStep,
    NormStep,
    PoolStep,
    PositionStep,
    Step,
)
from accelsim.errors import ConfigError, OperandError
from accelsim.model.attention import SOFTMAX_FLOPS
from accelsim.model.encoder import add, norm
from accelsim.model.graph import Attention, Network
from accelsim.model.graph_data import GraphData, read_data
from accelsim.model.parts import NetworkBuilder
from accelsim.model.text import NORMALISE_FLOPS

FLOPS = {
    "gelu": 12, "gelu_tanh": 14, "relu": 1, "tanh": 7, "softmax": SOFTMAX_FLOPS, "normalise": NORMALISE_FLOPS,
}  # fmt: skip
"""Of the functions of every element; an exponential counts as 4."""


def build_graph(workload: GraphWorkload) -> Network:
    """Network of a list of operations, on all items of the workload's data as one batch.

    Raises
    ------
    ConfigError
        When a step reads what nothing writes, a name stands twice, or shapes do not go together; the step is named.
    OperandError
        When the data cannot be read, or does not fit.
    """
    if workload.data is None:
        return network_of(workload, workload.items or 1, None)
    return network_on(workload, workload.data, read_data(workload))


def network_on(workload: GraphWorkload, path: str, data: GraphData) -> Network:
    """Network of a list of operations on data.

    Raises
    ------
    OperandError
        When the mask is not as wide as the sequences that it is for.
    """
    network = network_of(workload, data.items, None if data.lengths is None else data.lengths.tolist())
    padded = {step.name for step in workload.steps if isinstance(step, AttentionStep) and step.padded}
    for one in network.operations:
        if (
            data.tokens is not None
            and isinstance(one, Attention)
            and one.name in padded
            and one.sequence != data.tokens
        ):
            raise OperandError(f"{path}: {workload.mask} has {data.tokens} columns, and items {one.sequence} tokens")
    return network


def network_of(
    workload: GraphWorkload, items: int, lengths: Sequence[int] | None, *, keep_padding: bool = False
) -> Network:
    """Network of a list of operations on a number of items.

    Parameters
    ----------
    workload : GraphWorkload
    items : int
    lengths : sequence of int or None
        [items] real tokens of each, where any is padded.
    keep_padding : bool
        Whether an output that has a row for each token keeps those of padding.

    Raises
    ------
    ConfigError
        As of `build_graph`.
    """
    builder = NetworkBuilder(workload.dtype)
    known = set()
    for name, tensor in workload.inputs.items():
        known.add(name)
        if tensor.integers_below is None:
            builder.input(name, items * tensor.rows, tensor.columns)
        else:
            builder.integer_input(name, tensor.integers_below, items * tensor.rows, tensor.columns)
    form = _Form(items, None if lengths is None else tuple(lengths), workload.mask)
    output = ""
    for index, step in enumerate(workload.steps):
        at = f"workload.steps.{index} ({step.op} {step.name})"
        missing = [name for name in step.inputs if name not in known]
        if missing:
            raise ConfigError(f"{at}: reads {missing[0]}, which is no input and no earlier step")
        if step.name in known:
            raise ConfigError(f"{at}: the name stands twice")
        for name in step.inputs:
            if (name in builder.integers) != isinstance(step, LookupStep):
                raise ConfigError(f"{at}: lookup reads whole numbers, and nothing else does; {name} does not fit")
        output = _add(builder, step, form, at)
        known.add(step.name)
    if form.lengths is not None and not keep_padding:
        output = _real_rows(builder, workload, output, form)
    return builder.finish(workload.name or "graph", output, items=items)


@dataclass(frozen=True)
class _Form:
    """What is alike for all steps."""

    items: int
    lengths: tuple[int, ...] | None
    mask: str | None

    def mask_tensor(self, builder: NetworkBuilder, sequence: int) -> str:
        """The input that holds the numbers of real tokens [items, 1]."""
        name = str(self.mask)
        if name not in builder.integers:
            builder.integer_input(name, sequence + 1, self.items, 1)
        return name


def _real_rows(builder: NetworkBuilder, workload: GraphWorkload, output: str, form: _Form) -> str:
    """An output without the rows of padding, where it has a row for every token."""
    assert form.lengths is not None
    rows, columns = builder.shape(output)
    sequence = next((one.sequence for one in builder.operations if isinstance(one, Attention) and one.lengths), 0)
    if rows != form.items * sequence or sequence == 0:
        return output
    shape = (sum(form.lengths), columns)
    mask = form.mask_tensor(builder, sequence)
    return builder.view("real_tokens", "real_tokens", (output, mask), shape, {"sequence": sequence})


def _add(builder: NetworkBuilder, step: Step, form: _Form, at: str) -> str:
    """One step as an operation of the network."""
    shapes = [builder.shape(name) for name in step.inputs]
    rows, columns = shapes[0]
    match step:
        case LinearStep():
            bias = f"{step.name}.bias" if step.bias else None
            weight = f"{step.name}.weight"
            return builder.gemm(
                step.name, step.inputs[0], step.outputs, weight=weight, bias=bias, activation=step.activation
            )
        case AttentionStep():
            return _attention(builder, step, form, at)
        case NormStep():
            return norm(builder, step.name, step.inputs[0], step.epsilon)
        case AddStep():
            if shapes[0] != shapes[1]:
                raise ConfigError(f"{at}: adds shapes {list(shapes[0])} and {list(shapes[1])}, which differ")
            return add(builder, step.name, step.inputs[0], step.inputs[1])
        case FunctionStep():
            return builder.elementwise(step.name, step.op, (step.inputs[0],), (rows, columns), flops=FLOPS[step.op])
        case LookupStep():
            return _lookup(builder, step, rows, columns, at)
        case ColumnsStep():
            if not step.first < step.last <= columns:
                raise ConfigError(f"{at}: takes columns {step.first} to {step.last} of {columns}")
            return builder.columns(step.name, step.inputs[0], step.first, step.last)
        case PositionStep():
            return _position(builder, step, rows, columns, at)
        case PoolStep():
            return _pool(builder, step, form, at)


def _attention(builder: NetworkBuilder, step: AttentionStep, form: _Form, at: str) -> str:
    shapes = [builder.shape(name) for name in step.inputs]
    (rows, columns), batch = shapes[0], step.batch * form.items
    if len(set(shapes)) > 1 or rows % batch or columns % step.heads:
        each = [[count // form.items, width] for count, width in shapes]
        raise ConfigError(
            f"{at}: needs Q, K and V of one shape, its rows a multiple of batch ({step.batch}), its columns of "
            f"heads ({step.heads}); found {', '.join(str(shape) for shape in each)}"
        )
    lengths = form.lengths if step.padded else None
    if lengths is not None and (step.batch > 1 or max(lengths) > rows // batch):
        raise ConfigError(f"{at}: is padded, which needs batch 1 and as many rows as the mask has columns")
    return builder.attention(step.name, *step.inputs, batch=batch, heads=step.heads, lengths=lengths)


def _position(builder: NetworkBuilder, step: PositionStep, rows: int, columns: int, at: str) -> str:
    before = step.sequence - step.class_token
    if before == 0 or rows % before:
        raise ConfigError(f"{at}: {rows} rows are no whole number of sequences of {before}")
    attributes = {"position": builder.parameter(f"{step.name}.position", step.sequence, columns)}
    if step.class_token:
        attributes["class_token"] = builder.parameter(f"{step.name}.class_token", columns)
    shape = (rows // before * step.sequence, columns)
    read = (rows + step.sequence + step.class_token) * columns
    return builder.elementwise(step.name, "embed", (step.inputs[0],), shape, flops=1, read=read, attributes=attributes)


def _pool(builder: NetworkBuilder, step: PoolStep, form: _Form, at: str) -> str:
    rows, columns = builder.shape(step.inputs[0])
    if rows % step.sequence:
        raise ConfigError(f"{at}: {rows} rows are no whole number of sequences of {step.sequence}")
    shape, sequence = (rows // step.sequence, columns), {"sequence": step.sequence}
    if step.op == "first_token":
        return builder.view(step.name, "first_token", (step.inputs[0],), shape, sequence)
    hidden = step.padded and form.lengths is not None
    if hidden and shape[0] != form.items:
        raise ConfigError(f"{at}: is padded, which needs one sequence for each item; found {shape[0] // form.items}")
    given = (form.mask_tensor(builder, step.sequence),) if hidden else ()
    return builder.elementwise(
        step.name, "mean_tokens", (step.inputs[0], *given), shape, flops=step.sequence, attributes=sequence
    )


def _lookup(builder: NetworkBuilder, step: LookupStep, rows: int, columns: int, at: str) -> str:
    bound = builder.integers[step.inputs[0]]
    if columns != 1 or bound > step.size:
        raise ConfigError(
            f"{at}: looks up one number a row, each below the {step.size} rows of its table; {step.inputs[0]} has "
            f"{columns} columns of numbers below {bound}"
        )
    word = {"word": builder.parameter(f"{step.name}.table", step.size, step.columns)}
    read = rows * step.columns
    return builder.elementwise(
        step.name,
        "lookup",
        (step.inputs[0],),
        (rows, step.columns),
        flops=0,
        read=rows + read,
        attributes=word,
        cold=read,
    )
