"""`accelsim hw scale-energy`."""

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.written import check_yaml

Volt = Annotated[float | None, typer.Option(show_default=False, help="Supply; left out, the usual one of the node.")]


def scale_energy(
    table: Annotated[
        str,
        typer.Argument(
            help="Table of energies: a name such as attention_14nm, or a path.",
            autocompletion=complete.one_of(complete.energy_tables),
        ),
    ],
    to: Annotated[float, typer.Option(metavar="NM", help="Process node, in nanometres, between 130 and 7.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.yaml", help="Where the new table is written.")],
    from_volt: Volt = None,
    to_volt: Volt = None,
    quiet: options.Quiet = False,
) -> None:
    """Scale a table of energies to another process node, by the rule of Stillmaker and Baas (2017).

    Energies of on-chip actions are scaled; those of DRAM and links, and static power, stay as they are.
    """
    check_yaml(out, "a table of energies")
    from accelsim.config.energy_yaml import energy_yaml
    from accelsim.config.loader import load_energy
    from accelsim.energy.scaling import CITATION, energy_factor, scaled_table
    from accelsim.validate.fitted_yaml import write_yaml

    base = load_energy(table)
    found = scaled_table(base, to, name=out.stem, from_volt=from_volt, to_volt=to_volt)
    factor = energy_factor(base.process_node, to, from_volt=from_volt, to_volt=to_volt)
    comment = f"{base.name} at {to:g} nm by {CITATION}: on-chip energies times {factor:.4g}.\n"
    write_yaml(energy_yaml(found, comment + "Made by accelsim hw scale-energy."), out)
    if not quiet:
        output.message(f"on-chip energies times {factor:.4g}; saved {out}")
