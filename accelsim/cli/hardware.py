"""`accelsim hw list` and `accelsim hw show`."""

import json as jsonlib
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import carry, complete, options, output, scale
from accelsim.cli.group import SuggestingGroup
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.config.attention_unit import AttentionUnit
    from accelsim.config.hardware import Gpu
    from accelsim.config.loader import HardwareSpec
    from accelsim.config.sources import Figure

app = typer.Typer(
    cls=SuggestingGroup, no_args_is_help=True, rich_markup_mode=None, help="Machines that can be simulated."
)

app.command("carry-over")(carry.carry_over)
app.command("scale-energy")(scale.scale_energy)

_FOLDERS = ("gpus", "attention", "systems")


@app.command("list")
def list_(json: options.Json = False) -> None:
    """List the machines: kind, size, peak rate and memory."""
    from accelsim.config.loader import available, load_spec

    names = [name for folder in _FOLDERS for name in available(f"hwconfigs/{folder}")]
    specs = {name: load_spec(name) for name in names}
    entries = [{"name": name, "kind": spec.kind, "parts": _parts(name, spec)} for name, spec in specs.items()]
    if json:
        output.document(jsonlib.dumps({"hardware": entries}, indent=2, ensure_ascii=False))
        return
    titles = (("name", False), ("kind", False), ("SMs / PEs", True), ("peak (TFLOP/s)", True), ("memory", False))
    rows = []
    for name, spec in specs.items():
        parts = _parts(name, spec)
        peak = " + ".join(output.amount(part["peak_tflops"]) for part in parts)
        size, memory = (" + ".join(str(part[key]) for part in parts) for key in ("size", "memory"))
        rows.append([name, spec.kind.replace("_", " "), size, peak, memory])
    output.table("Hardware", [output.Column(*title) for title in titles], rows)
    output.lines(["Peak: 2 x multiply-accumulates a second, fp16 on tensor cores, 16-bit fixed point on a unit's PEs."])


@app.command("show")
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Name (see: accelsim hw list) or path of a YAML file.",
            autocompletion=complete.one_of(complete.hardware),
        ),
    ],
    json: options.Json = False,
) -> None:
    """Show every figure of a machine, library or energy table, with its unit and source."""
    from accelsim.config.loader import load_spec
    from accelsim.config.sources import figures

    spec = load_spec(name)
    found = figures(spec)
    if json:
        fields = [_field(figure) for figure in found]
        head = {"name": spec.name, "kind": spec.kind, "description": spec.description}
        output.document(jsonlib.dumps({**head, "fields": fields}, indent=2, ensure_ascii=False))
        return
    columns = [output.Column("field"), output.Column("value", True), output.Column("unit"), output.Column("source")]
    rows = []
    for figure in found:
        value, unit = _quantity(figure)
        number = f"{value:.15g}" if isinstance(value, float) else str(value)
        rows.append([figure.path, number, unit or "", figure.source or "default: none given"])
    output.table(f"{spec.name} ({spec.kind.replace('_', ' ')})", columns, rows)
    defaults = sum(figure.is_default for figure in found)
    output.lines([text for text in (" ".join(spec.description.split()),) if text])
    output.lines([f"{defaults} of {len(found)} figures are defaults."])


def _parts(name: str, spec: "HardwareSpec") -> list[dict[str, object]]:
    """What the list tells of a machine, one entry for each of its devices."""
    from accelsim.config.attention_unit import AttentionUnit
    from accelsim.config.hardware import Gpu, System

    if isinstance(spec, Gpu):
        return [_gpu(spec)]
    if isinstance(spec, AttentionUnit):
        return [_unit(spec)]
    if not isinstance(spec, System):
        raise UserError(f"{name} is a {spec.kind}; systems, gpus and attention units are listed")
    return [_gpu(spec.gpu), *([_unit(spec.attention_unit)] if spec.attention_unit else [])]


def _gpu(gpu: "Gpu") -> dict[str, object]:
    from accelsim.config.quantity import format_quantity

    rates = gpu.tensor_core or gpu.cuda_core
    rate = rates.get("fp16") or max(rates.values(), default=0)
    memory = f"{format_quantity(gpu.dram.capacity, 'bytes')}, {format_quantity(gpu.dram.bandwidth, 'bandwidth')}"
    peak = 2 * rate * gpu.sm_count * gpu.clock / 1e12
    return {"size": f"{gpu.sm_count} SMs", "peak_tflops": peak, "memory": memory}


def _unit(unit: "AttentionUnit") -> dict[str, object]:
    """Size by the widest multipliers; narrower ones of a deciding stage do no whole product."""
    from accelsim.config.attention_unit import accelerator_of
    from accelsim.config.quantity import format_quantity

    accelerator = accelerator_of(unit.algorithm)
    kinds = accelerator.multipliers(unit)
    widest = max(kind.bits for kind in kinds)
    multipliers = sum(kind.count for kind in kinds if kind.bits == widest)
    buffers = format_quantity(accelerator.on_chip_bytes(unit), "bytes")
    memory = f"{buffers} on chip, {format_quantity(unit.dram_bandwidth, 'bandwidth')}"
    return {"size": f"{multipliers} PEs", "peak_tflops": 2 * multipliers * unit.clock / 1e12, "memory": memory}


def _field(figure: "Figure") -> dict[str, object]:
    value, unit = _quantity(figure)
    return {"path": figure.path, "value": value, "unit": unit, "source": figure.source, "default": figure.is_default}


def _quantity(figure: "Figure") -> tuple[int | float | str, str | None]:
    """Value and unit of a figure; no unit for a plain number or text."""
    number, _, unit = str(figure.value).partition(" ")
    try:
        return (float(number), unit) if unit else (figure.value, None)
    except ValueError:
        return figure.value, None
