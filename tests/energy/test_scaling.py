"""Energies at other process nodes."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.cli.entry import main
from accelsim.config.hardware import EnergyTable
from accelsim.config.loader import load_energy
from accelsim.energy.scaling import NODES, OFF_CHIP, energy_factor, scaled_table
from accelsim.errors import UserError

nodes = st.floats(7, 130)


def test_the_authors_example() -> None:
    # Corrigendum: 1 pJ at 65 nm and 1.3 V is 0.1755 pJ at 32 nm and 0.9 V.
    assert energy_factor(65, 32, from_volt=1.3, to_volt=0.9) == pytest.approx(0.1755, abs=1e-4)


@settings(deadline=None, max_examples=60)
@given(first=nodes, second=nodes, third=nodes)
def test_steps_multiply_and_finer_nodes_cost_less(first: float, second: float, third: float) -> None:
    assert energy_factor(first, first) == pytest.approx(1)
    there = energy_factor(first, second)
    assert there * energy_factor(second, third) == pytest.approx(energy_factor(first, third))
    if first > second:
        assert there <= 1


def test_between_two_nodes_it_lies_between_them() -> None:
    assert energy_factor(14, 32) < energy_factor(14, 40) < energy_factor(14, 45)
    assert energy_factor(14, 44.999) == pytest.approx(energy_factor(14, 45), rel=1e-3)


@pytest.mark.parametrize("node", NODES)
def test_less_voltage_costs_less(node: float) -> None:
    supply = NODES[node].volt
    assert energy_factor(node, node, to_volt=0.9 * supply) < 1 < energy_factor(node, node, to_volt=1.1 * supply)


def test_nodes_and_voltages_outside_the_rule_are_the_users_mistake() -> None:
    with pytest.raises(UserError, match="no rule for energies at 3 nm; the rule has 130, 90, 65, 45"):
        energy_factor(14, 3)
    with pytest.raises(UserError, match="no rule for energies at 180 nm"):
        energy_factor(180, 14)
    with pytest.raises(UserError, match=r"9 V is outside what the rule for 14 nm covers; allowed: 0\.50 to 1\.29 V"):
        energy_factor(14, 7, from_volt=9)


@pytest.mark.parametrize("node", [40, 65])
def test_shipped_tables_are_what_the_rule_gives(node: int) -> None:
    shipped = load_energy(f"attention_{node}nm")
    made = scaled_table(load_energy("attention_14nm"), node, name=shipped.name, from_volt=0.8)
    assert shipped == made
    assert shipped.process_node == node
    assert shipped.actions["dram_byte"] == load_energy("attention_14nm").actions["dram_byte"]


def test_what_lies_off_the_chip_and_leakage_stay() -> None:
    base = EnergyTable(
        kind="energy", name="small", process_node="65 nm", actions={"buffer_byte": "2 pJ", "dram_byte": "30 pJ"},
        static_power={"leakage": "3 W"}, sources={"actions": "a paper", "actions.dram_byte": "a datasheet"},
    )  # fmt: skip
    made = scaled_table(base, 32)
    assert made.name == "small_32nm"
    assert made.actions["buffer_byte"] == pytest.approx(2 * energy_factor(65, 32), rel=1e-3)
    assert made.actions["dram_byte"] == 30
    assert made.static_power == base.static_power
    assert made.sources["actions.dram_byte"] == "a datasheet"
    assert "65 nm to 32 nm" in made.sources["actions.buffer_byte"]
    assert set(OFF_CHIP) >= {"dram_byte"}


def test_the_command_writes_what_the_function_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine.yaml"
    assert main(["hw", "scale-energy", "attention_14nm", "--to", "28", "-o", str(out)]) == 0
    assert "on-chip energies times" in capsys.readouterr().err
    assert load_energy(out) == scaled_table(load_energy("attention_14nm"), 28, name="mine")
    assert main(["hw", "scale-energy", "attention_14nm", "--to", "3", "-o", str(out)]) == 2
    assert "no rule for energies at 3 nm" in capsys.readouterr().err
    assert main(["hw", "scale-energy", "attention_14m", "--to", "28", "-o", str(out)]) == 2
