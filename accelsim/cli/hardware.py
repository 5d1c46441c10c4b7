"""`accelsim hw list` and `accelsim hw show`."""

import json as jsonlib
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import options, output
from accelsim.cli.group import SuggestingGroup
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.config.hardware import AttentionUnit, Gpu
    from accelsim.config.loader import HardwareSpec
    from accelsim.config.sources import Figure

app = typer.Typer(
    cls=SuggestingGroup, no_args_is_help=True, rich_markup_mode=None, help="Machines that can be simulated."
)

_FOLDERS = ("gpus", "attention", "systems")


@app.command("list")
def list_(json: options.Json = False) -> None:
    """List the machines: kind, size, peak rate and memory."""
    from accelsim.config.loader import available, load_spec

    entries = [_entry(name, load_spec(name)) for folder in _FOLDERS for name in available(f"hwconfigs/{folder}")]
    if json:
        output.document(jsonlib.dumps({"hardware": entries}, indent=2, ensure_ascii=False))
        return
    titles = (("name", False), ("kind", False), ("SMs / PEs", True), ("peak (TFLOP/s)", True), ("memory", False))
    rows = [
        [
            str(entry["name"]),
            str(entry["kind"]).replace("_", " "),
            str(entry["size"]),
            output.amount(entry["peak_tflops"]),
            str(entry["memory"]),
        ]
        for entry in entries
    ]
    output.table("Hardware", [output.Column(*title) for title in titles], rows)
    output.lines(["Peak: 2 x multiply-accumulates a second, fp16 on tensor cores, 16-bit fixed point on a unit's PEs."])


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name (see: accelsim hw list) or path of a YAML file.")],
    json: options.Json = False,
) -> None:
    """Show every figure of a machine, library or energy table, with its unit and source."""
    from accelsim.config.loader import load_spec
    from accelsim.config.sources import figures

    spec = load_spec(name)
    found = figures(spec)
    if json:
        fields = [{"path": f.path, **_quantity(f), "source": f.source, "default": f.is_default} for f in found]
        head = {"name": spec.name, "kind": spec.kind, "description": spec.description}
        output.document(jsonlib.dumps({**head, "fields": fields}, indent=2, ensure_ascii=False))
        return
    columns = [output.Column("field"), output.Column("value", True), output.Column("unit"), output.Column("source")]
    rows = []
    for figure in found:
        value, unit = _readable(figure)
        rows.append([figure.path, value, unit, figure.source or "default: none given"])
    output.table(f"{spec.name} ({spec.kind.replace('_', ' ')})", columns, rows)
    defaults = sum(figure.is_default for figure in found)
    output.lines([text for text in (" ".join(spec.description.split()),) if text])
    output.lines([f"{defaults} of {len(found)} figures are defaults."])


def _entry(name: str, spec: "HardwareSpec") -> dict[str, object]:
    """A machine's line of the list."""
    from accelsim.config.hardware import AttentionUnit, Gpu, System

    entry: dict[str, object] = {"name": name, "kind": spec.kind}
    if isinstance(spec, Gpu):
        return entry | _gpu(spec)
    if isinstance(spec, AttentionUnit):
        return entry | _unit(spec)
    if not isinstance(spec, System):
        raise UserError(f"{name} is a {spec.kind}; systems, gpus and attention units are listed")
    parts = [_gpu(spec.gpu), *([_unit(spec.attention_unit)] if spec.attention_unit else [])]
    return entry | {
        "size": " + ".join(str(part["size"]) for part in parts),
        "peak_tflops": sum(float(str(part["peak_tflops"])) for part in parts),
        "memory": " + ".join(str(part["memory"]) for part in parts),
    }


def _gpu(gpu: "Gpu") -> dict[str, object]:
    rates = gpu.tensor_core or gpu.cuda_core
    rate = rates.get("fp16") or max(rates.values(), default=0)
    return {
        "size": f"{gpu.sm_count} SMs",
        "peak_tflops": 2 * rate * gpu.sm_count * gpu.clock / 1e12,
        "memory": f"{_scaled(gpu.dram.capacity, 'bytes')}, {_scaled(gpu.dram.bandwidth, 'bandwidth')}",
    }


def _unit(unit: "AttentionUnit") -> dict[str, object]:
    elements = unit.cores * unit.pe_rows * unit.pe_columns
    return {
        "size": f"{elements} PEs",
        "peak_tflops": 2 * elements * unit.clock / 1e12,
        "memory": f"{_scaled(unit.cores * unit.buffer, 'bytes')} on chip, {_scaled(unit.dram_bandwidth, 'bandwidth')}",
    }


def _scaled(value: float, dimension: str) -> str:
    return " ".join(_in_unit(value, dimension))


def _in_unit(value: float, dimension: str) -> tuple[str, str]:
    """A quantity in the largest unit in which it is at least 1; bytes in binary units where they are whole."""
    from accelsim.config.quantity import CANONICAL, UNITS

    units = {unit: size for unit, size in UNITS[dimension].items() if unit != "cycles"}
    binary = {unit: size for unit, size in units.items() if "i" in unit}
    whole = any(value >= size and (8 * value / size).is_integer() for size in binary.values()) and dimension == "bytes"
    pool = binary if whole else {unit: size for unit, size in units.items() if unit not in binary}
    fitting = [(size, unit) for unit, size in pool.items() if value >= size]
    size, unit = max(fitting, default=(1.0, CANONICAL[dimension]))
    return output.amount(value / size, 5), unit


def _quantity(figure: "Figure") -> dict[str, object]:
    """Value and canonical unit of a figure; no unit for a plain number or text."""
    number, _, unit = str(figure.value).partition(" ")
    if isinstance(figure.value, str) and unit:
        try:
            return {"value": float(number), "unit": unit}
        except ValueError:
            pass
    return {"value": figure.value, "unit": None}


def _readable(figure: "Figure") -> tuple[str, str]:
    from accelsim.config.quantity import CANONICAL

    quantity = _quantity(figure)
    value, unit = quantity["value"], quantity["unit"]
    dimension = next((name for name, canonical in CANONICAL.items() if canonical == unit), None)
    if dimension is None or not isinstance(value, float):
        return output.amount(value, 6), ""
    return _in_unit(value, dimension)
