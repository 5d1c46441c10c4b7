"""`accelsim watch`."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli import options, output
from accelsim.cli.progress import Progress

if TYPE_CHECKING:
    from accelsim.explore.accuracy import Watched

Item = Annotated[int, typer.Option("--input", metavar="I", min=0, help="Which input of the workload, from 0.")]
Scheme = Annotated[str, typer.Option(help="hdp or tile_wise+hdp.")]
Layer = Annotated[int | None, typer.Option(min=0, show_default=False, help="Only this attention layer, from 0.")]
Head = Annotated[int | None, typer.Option(min=0, show_default=False, help="Only this head of each layer, from 0.")]


def watch(
    hardware: options.Hardware,
    workload: options.Workload,
    item: Item = 0,
    layer: Layer = None,
    head: Head = None,
    scheme: Scheme = "hdp",
    set_: options.Sets = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """What HDP pruned of one input and why: scores, importance and thresholds, and which head changed the answer."""
    options.check_out(out, whole=True)
    from accelsim.explore.accuracy import watch as run_watch

    with Progress(quiet, "simulating"):
        found = run_watch(
            hardware, workload, item, scheme=scheme, layer=layer, head=head, sets=list(set_ or ()), seed=seed
        )
    if out is not None:
        from accelsim.show.accuracy import watch_files

        drawn = found.heads if layer is not None or head is not None else found.most_changed()
        arrays = {(each.layer, each.head): (each.scores, each.block_kept, each.importance) for each in drawn}
        found.save(out, watch_files(found.heads_frame(), found.rows_frame(), arrays))
    if json:
        output.document(found.to_json())
    elif not quiet:
        _report(found)
    if out is not None and not quiet:
        output.message(f"saved {out}")


_HEADS = (
    output.Column("layer.head"),
    output.Column("importance", True),
    output.Column("tau_h", True),
    output.Column("decision"),
    output.Column("blocks kept", True),
    output.Column("change of output", True),
)
_IF_SPARED = {
    True: (output.Column("margin if spared", True), output.Column("answer if spared", True)),
    False: (output.Column("cosine if spared", True),),
}
"""Last columns, where outputs are classes and where they are not."""
_OUTPUTS = 12
"""Classes that are shown one by one."""


def _report(found: "Watched") -> None:
    title = f"Input {found.item} of {found.workload} under {found.scheme}"
    if found.classifies and len(found.dense) <= _OUTPUTS:
        columns = (output.Column(""), *(output.Column(str(index), True) for index in range(len(found.dense))))
        rows = [
            [name, *(f"{value:.2f}" for value in logits)]
            for name, logits in (("dense", found.dense), ("pruned", found.pruned))
        ]
        output.table(f"{title}: outputs", columns, rows)
    frame = found.heads_frame().sort_values("output_change", ascending=False, kind="stable")
    rows = [_row(row, found.classifies) for row in frame.to_dict(orient="records")]
    output.table("Heads, the most changed first", (*_HEADS, *_IF_SPARED[found.classifies]), rows)
    output.lines(
        [
            _answer(found) if found.classifies else f"{title}: cosine with the dense outputs {found.cosine:.4f}.",
            f"Pruned: {output.percent(found.pairs_pruned)} of the pairs, {output.percent(found.heads_pruned)} of the "
            "heads. If spared: with that head left dense.",
        ]
    )


def _answer(found: "Watched") -> str:
    dense, pruned = int(found.dense.argmax()), int(found.pruned.argmax())
    right = "" if found.label is None else f", right is {found.label}"
    before, after = found.margins
    return (
        f"Answer: dense {dense}, pruned {pruned}{right}. Margin of the dense answer: {before:.2f} dense, "
        f"{after:.2f} pruned."
    )


def _row(head: "dict[Hashable, Any]", classifies: bool) -> list[str]:
    decision = "guarded" if head["guarded"] else "kept" if head["kept"] else "pruned"
    spared = [f"{head['margin_if_spared']:.2f}", str(head["answer_if_spared"])]
    return [
        f"{head['layer']}.{head['head']}",
        output.amount(head["importance"]),
        output.amount(head["threshold"]),
        decision,
        output.percent(head["blocks_kept"]),
        output.percent(head["output_change"]),
        *(spared if classifies else [f"{head['cosine_if_spared']:.4f}"]),
    ]
