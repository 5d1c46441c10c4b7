"""A user's arrays as the data of an imported graph."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.config.graph_workload import GraphWorkload
from accelsim.errors import OperandError
from accelsim.importers.imported import Array, Imported, sha256, with_fields
from accelsim.model.graph_data import check_answers, checked_data, named_arrays
from accelsim.model.graph_model import network_on
from accelsim.pruning.weight_files import read_tensors

ANSWERS = ("labels", "scores")
_IMAGES = "images"
"""What pixels may be called, whatever the graph calls them."""


def read_data_files(files: Mapping[str, Path], inputs: Collection[str]) -> dict[str, dict[str, Array]]:
    """Arrays of a user's files, by split.

    Parameters
    ----------
    files : mapping of str to Path
        By split.
    inputs : collection of str
        Names of the graph's inputs.

    Raises
    ------
    OperandError
        For a file that cannot be read, or an array of an input, of labels or scores that does not hold numbers.
    """
    found = {}
    for split, file in files.items():
        found[split], others = read_tensors(file)
        wanted = {*inputs, *ANSWERS, _IMAGES}
        unfit = [name for name in others if name in wanted or name.removeprefix(f"{split}_") in wanted]
        if unfit:
            raise OperandError(
                f"{file}: array {unfit[0]} holds something else than real numbers; truth values are written as 0 and 1"
            )
    return found


def with_arrays(
    found: Imported,
    inputs: Mapping[str, str],
    swapped: bool,
    files: Mapping[str, Path],
    arrays: Mapping[str, Mapping[str, Array]],
) -> Imported:
    """An imported graph with data, checked.

    Parameters
    ----------
    found : Imported
    inputs : mapping of str to str
        Names of inputs (and of the mask) in the workload by those in the graph.
    swapped : bool
        Whether items are the second extent of the graph's inputs.
    files : mapping of str to Path
        By split.
    arrays : mapping of str to mapping of str to array
        By split, what the files hold: for each input of the graph an array of its name (with or without the split
        before it, for images also ``images``), of any number of items.

    Raises
    ------
    OperandError
        Naming the array that is missing or does not fit, and the row where one row is at fault.
    """
    spec = found.workload
    assert isinstance(spec, GraphWorkload)
    data: dict[str, Array] = {}
    for split, file in files.items():
        taken = spec.model_copy(update={"split": split})
        stored = _renamed(spec, inputs, split, arrays[split])
        names = named_arrays(taken, str(file), stored)
        ready = {name: (full, _items_first(name, stored[full], spec, swapped)) for name, full in names.items()}
        checked = checked_data(taken, str(file), ready)
        check_answers(network_on(taken, str(file), checked), str(file), checked)
        data |= {f"{split}_{name}": array for name, (_, array) in ready.items()}
    changed: dict[str, Any] = {
        "split": next(iter(files)),
        "sources": spec.sources | {file.name: f"sha256 {sha256(file)}" for file in files.values()},
    }
    return replace(found, workload=with_fields(spec, changed), data=data)


def _renamed(
    spec: GraphWorkload, inputs: Mapping[str, str], split: str, stored: Mapping[str, Array]
) -> dict[str, Array]:
    """Arrays of a file by the workload's names, the split before them."""
    wanted = {**inputs, **dict(zip(ANSWERS, ANSWERS, strict=True))}
    images = [name for name, tensor in spec.inputs.items() if tensor.image is not None]
    if len(images) == 1:
        wanted.setdefault(_IMAGES, images[0])
    found: dict[str, Array] = {}
    for given, ours in wanted.items():
        for name in (f"{split}_{given}", given):
            if name in stored:
                found.setdefault(f"{split}_{ours}", stored[name])
    return found


def _items_first(name: str, array: Array, spec: GraphWorkload, swapped: bool) -> Array:
    return (
        np.ascontiguousarray(np.swapaxes(array, 0, 1)) if swapped and name in spec.inputs and array.ndim > 1 else array
    )
