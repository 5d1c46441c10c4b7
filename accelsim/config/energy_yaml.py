"""A table of energies as YAML."""

import io

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from accelsim.config.hardware import EnergyTable


def energy_yaml(table: EnergyTable, comment: str) -> str:
    """Text of a table's YAML file.

    Parameters
    ----------
    table : EnergyTable
        Without a meter, which only a table fitted to measured power has.
    comment : str
        Above it.
    """
    document = CommentedMap(
        {
            "kind": "energy",
            "name": table.name,
            "description": table.description,
            "process_node": f"{table.process_node:g} nm",
            "actions": {action: f"{energy:.15g} pJ" for action, energy in table.actions.items()},
            "static_power": {part: f"{watt:.15g} W" for part, watt in table.static_power.items()},
            "sources": dict(table.sources),
        }
    )
    document.yaml_set_start_comment(comment)
    yaml = YAML()
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()
