"""Text encoders as networks: embeddings of token numbers, encoder layers that hide padding, pooling, classifier."""

from accelsim.config.workload import TextWorkload
from accelsim.errors import ConfigError
from accelsim.model.encoder import EncoderForm, encoder_layers, mean_tokens, norm
from accelsim.model.graph import Network
from accelsim.model.parts import NetworkBuilder
from accelsim.model.text_data import read_texts

NORMALISE_FLOPS = 3
"""Square and its sum, division by the length."""


def build_text(workload: TextWorkload) -> Network:
    """Text encoder on token numbers [items * sequence, 1].

    All texts of the split (or the first `items` of them) are one batch, padded to `sequence`. Padding takes part in
    every product, as on a GPU without packing, but no query sees it, and pooling leaves it out.

    Raises
    ------
    ConfigError
        When `batch` contradicts the number of texts.
    OperandError
        When the data cannot be read.
    """
    items, lengths, typed = _items(workload)
    builder = NetworkBuilder(workload.dtype)
    x = _embed(builder, workload, items, typed)
    form = EncoderForm(items, workload.epsilon, workload.activation, lengths=lengths)
    x = encoder_layers(builder, workload, x, form)
    given = () if lengths is None else (builder.integer_input("lengths", workload.sequence + 1, items, 1),)
    x = _pool(builder, workload, x, items, given, lengths)
    if workload.classes is not None:
        x = builder.linear("classifier", x, workload.classes)
    return builder.finish(workload.name or "text", x, items=items)


def _items(workload: TextWorkload) -> tuple[int, tuple[int, ...] | None, bool]:
    """Number of texts, their lengths where any is padded, and whether they have types of their own."""
    if workload.data is None:
        return workload.batch, None, False
    texts = read_texts(workload)
    items = len(texts.lengths)
    if workload.batch not in (1, items):
        raise ConfigError(
            f"workload.batch is {workload.batch}, but a text workload takes its {items} texts as one batch; "
            "leave batch out and set workload.items"
        )
    padded = bool((texts.lengths < workload.sequence).any())
    return items, tuple(texts.lengths.tolist()) if padded else None, texts.types is not None


def _embed(builder: NetworkBuilder, workload: TextWorkload, items: int, typed: bool) -> str:
    """Rows of the tables of words, positions and types, added up in one kernel, and their LayerNorm."""
    hidden, rows = workload.hidden, items * workload.sequence
    inputs = [builder.integer_input("tokens", workload.vocabulary, rows, 1)]
    tables = {
        "word": (workload.vocabulary, hidden),
        "position": (workload.positions or workload.sequence, hidden),
    }
    if workload.token_types:
        tables["type"] = (workload.token_types, hidden)
        if typed:
            inputs.append(builder.integer_input("types", workload.token_types, rows, 1))
    # Rows of words are looked up in a table that nothing has just written; the other tables are small.
    looked_up = rows * hidden
    small = (workload.sequence + (min(workload.token_types, 2) if typed else bool(workload.token_types))) * hidden
    x = builder.elementwise(
        "embedding",
        "embed_tokens",
        tuple(inputs),
        (rows, hidden),
        flops=len(tables) - 1,
        read=len(inputs) * rows + looked_up + small,
        parameters=tables,
        attributes={"sequence": workload.sequence},
        cold=looked_up,
    )
    return norm(builder, "embedding_norm", x, workload.epsilon)


def _pool(
    builder: NetworkBuilder,
    workload: TextWorkload,
    x: str,
    items: int,
    given: tuple[str, ...],
    lengths: tuple[int, ...] | None,
) -> str:
    sequence = {"sequence": workload.sequence}
    if workload.pooling == "none":
        if lengths is None:
            return x
        return builder.view("real_tokens", "real_tokens", (x, *given), (sum(lengths), workload.hidden), sequence)
    if workload.pooling == "mean":
        x = mean_tokens(builder, workload, x, items, *given)
    else:
        x = builder.view("first_token", "first_token", (x,), (items, workload.hidden), sequence)
    if workload.pooling == "pooler":
        x = builder.linear("pooler", x, workload.hidden, activation=workload.pooler_activation)
    if workload.normalise:
        x = builder.elementwise("normalise", "normalise", (x,), builder.shape(x), flops=NORMALISE_FLOPS)
    return x
