"""`accelsim workload list` and `accelsim workload show`."""

import json as jsonlib
from typing import TYPE_CHECKING

import typer

from accelsim.cli import options, output
from accelsim.cli.group import SuggestingGroup
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.model.graph import Network, Operation

app = typer.Typer(
    cls=SuggestingGroup, no_args_is_help=True, rich_markup_mode=None, help="Workloads that can be simulated."
)


@app.command("list")
def list_(json: options.Json = False) -> None:
    """List the workloads: kind, format, multiply-accumulates and what they are."""
    from accelsim.config.loader import available

    others = {name for folder in ("sweeps", "schedules", "tunes") for name in available(f"workloads/{folder}")}
    names = sorted(set(available("workloads")) - others)
    entries = [_entry(name) for name in names]
    if json:
        output.document(jsonlib.dumps({"workloads": entries}, indent=2, ensure_ascii=False))
        return
    columns = [output.Column("name"), output.Column("kind"), output.Column("format"), output.Column("MACs", True)]
    rows = [
        [str(e["name"]), str(e["kind"]), str(e["dtype"]), output.count(e["macs"]), str(e["description"])]
        for e in entries
    ]
    output.table("Workloads", [*columns, output.Column("description")], rows)


@app.command("show")
def show(
    name: options.Workload,
    set_: options.Sets = None,
    json: options.Json = False,
) -> None:
    """Show a workload's operations in order of execution."""
    from accelsim.config.loader import load_workload
    from accelsim.model.build import build_network

    spec = load_workload(name, tuple(set_ or ()))
    network = build_network(spec)
    operations = [_operation(operation) for operation in network.operations]
    if json:
        document = {"name": network.name, "kind": spec.kind, "macs": network.macs, "items": network.items}
        output.document(jsonlib.dumps({**document, "operations": operations}, indent=2, ensure_ascii=False))
        return
    _table(network, operations)


def _entry(name: str) -> dict[str, object]:
    """A workload's line of the list; a file that cannot be loaded says why and does not hide the others."""
    from accelsim.config.loader import load_workload
    from accelsim.model.build import build_network

    try:
        spec = load_workload(name)
        macs = build_network(spec).macs
    except UserError as error:
        return {"name": name, "kind": "unusable", "dtype": "", "macs": None, "description": str(error)}
    text = " ".join(spec.description.split())
    return {"name": name, "kind": spec.kind, "dtype": spec.dtype, "macs": macs, "description": text}


def _operation(operation: "Operation") -> dict[str, object]:
    from accelsim.model.graph import Attention, Gemm

    if isinstance(operation, Gemm):
        shape = f"{operation.m} x {operation.n} x {operation.k}"
        shape = shape if operation.batch == 1 else f"{operation.batch} x ({shape})"
        return {"name": operation.name, "kind": "gemm", "shape": shape, "macs": operation.macs}
    if isinstance(operation, Attention):
        shape = f"{operation.batch} x {operation.heads} heads x {operation.sequence} x {operation.head_dim}"
        return {"name": operation.name, "kind": "attention", "shape": shape, "macs": operation.macs}
    return {"name": operation.name, "kind": operation.function, "shape": f"{operation.elements} elements", "macs": 0}


def _table(network: "Network", operations: list[dict[str, object]]) -> None:
    columns = [output.Column("operation"), output.Column("kind"), output.Column("m x n x k", True)]
    columns += [output.Column("MACs", True), output.Column("share", True)]
    rows = []
    for entry in operations:
        macs = int(str(entry["macs"]))
        share = output.percent(macs / network.macs) if network.macs else "-"
        rows.append([str(entry["name"]), str(entry["kind"]), str(entry["shape"]), output.count(macs), share])
    output.table(f"{network.name}: {network.macs:,} MACs for {network.items} item(s)", columns, rows)
