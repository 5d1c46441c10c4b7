"""The shipped vision transformers, run as a user runs them, against what their log says."""

import re
from pathlib import Path

import pytest

import accelsim

MODELS = Path(__file__).parents[2] / "workloads" / "models"
LOG = (MODELS / "digits_vit.md").read_text()

NAMES = ("digits_vit", "digits_vit_16")
SCHEMES = ("dense", "tile_wise", "hdp", "tile_wise+hdp")

LITERAL = (
    "hdp.importance=absolute",
    "hdp.center_keys=none",
    "hdp.pruned_score=excluded",
    "hdp.scale=1",
    "hdp.integer_bits=4",
    "hdp.fraction_bits=12",
    "hdp.rho_b=0",
)


def recorded(name: str, scheme: str) -> tuple[str, int]:
    """Share of blocks pruned and number of test images right in the table of the choice."""
    section = LOG.partition(f"<!-- begin {name}:")[2].partition(f"<!-- end {name} -->")[0]
    row = re.search(rf"^\| {re.escape(scheme)} \| (\S+%) .*\*\*(\d+) of 500\*\* \|$", section, re.MULTILINE)
    assert row is not None
    return row[1], int(row[2])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_the_recorded_one(name: str, scheme: str) -> None:
    summary = accelsim.run("edge_hdp", name, scheme=scheme, engine="estimate").summary
    blocks, right = recorded(name, scheme)
    assert summary["accuracy"] == right / 500
    assert f"{summary['block_ratio'] or 0:.1%}" == blocks


@pytest.mark.parametrize("name", NAMES)
def test_literal_reading_is_recorded_too(name: str) -> None:
    summary = accelsim.run("edge_hdp", name, scheme="hdp", sets=LITERAL, engine="estimate").summary
    assert (f"{summary['block_ratio']:.1%}", summary["accuracy"] * 500) == recorded(name, "hdp, the literal reading")


@pytest.mark.parametrize("name", NAMES)
def test_dense_accuracy_is_the_trained_one(name: str) -> None:
    trained = re.search(rf"^\| `{name}\.npz` .*\*\*(\d+) of 500\*\*", LOG, re.MULTILINE)
    assert trained is not None
    assert recorded(name, "dense") == ("0.0%", int(trained[1]))


@pytest.mark.parametrize("name", NAMES)
def test_options_are_those_that_the_tables_mark(name: str) -> None:
    defaults = accelsim.load_workload(name).defaults
    section = LOG.partition(f"<!-- begin {name}:")[2].partition("The choice, and its one run")[0]
    chosen = {
        (row.split("|")[1].strip(), column)
        for table in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
        for head, _, *rows in [table.splitlines()]
        for row in rows
        for column, cell in zip(head.split("|")[2:-1], row.split("|")[2:-1], strict=True)
        if "**" in cell
    }
    hdp, tile_wise = defaults.hdp, defaults.tile_wise
    variant = f"{hdp.importance}, {hdp.center_keys}, {hdp.pruned_score}, {hdp.scale}"
    assert {(row, float(column)) for row, column in chosen} == {
        (variant, hdp.rho_b),
        (str(hdp.rho_b), hdp.tau_h),
        (f"{tile_wise.granularity}, {tile_wise.threshold}", tile_wise.sparsity),
    }
