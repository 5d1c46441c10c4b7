"""The YAML that ships: it loads, every figure has a source, and figures agree with each other."""

import numpy as np
import pytest

from accelsim.config.actions import ACTIONS, STATIC
from accelsim.config.attention_unit import accelerator_of
from accelsim.config.hardware import EnergyTable, Gpu, Library
from accelsim.config.loader import (
    available,
    load_attention_unit,
    load_energy,
    load_hardware,
    load_library,
    load_spec,
    load_workload,
)
from accelsim.config.names import built_in
from accelsim.config.sources import figures
from accelsim.machine.attention.accelerator import Operands

GPUS = available("hwconfigs/gpus")
PEAK_TFLOPS = {
    "v100_sxm2": 125,
    "v100_pcie": 112,
    "t4": 65,
    "a100_sxm4_80gb": 312,
    "a100_pcie_40gb": 312,
    "h100_sxm5": 989.4 * 1.98 / 1.83,  # quoted at 1.83 GHz
    "rtx3090": 71,
    "h200_sxm": 989.4 * 1.98 / 1.83,  # as the H100
    "a100_pcie_80gb": 312,
    "a40": 149.7,
    "l40s": 362,
    "rtx4090": 165.2,
}
"""Datasheets, dense fp16 with fp32 accumulation."""


def test_what_the_project_promises_is_there() -> None:
    assert {*PEAK_TFLOPS, "edge_array", "hdp_edge", "hdp_server", "a100_hdp", "edge_hdp"} <= set(available("hwconfigs"))
    promised = {"gemm_1024", "gemm_4096", "bert_base", "bert_base_layer", "bert_tiny", "digits_vit", "tile_sizes"}
    assert promised <= set(available("workloads"))


@pytest.mark.parametrize("name", available("hwconfigs"))
def test_every_figure_has_a_source(name: str) -> None:
    assert [figure.path for figure in figures(load_spec(name)) if not figure.source] == []


@pytest.mark.parametrize("name", available("hwconfigs"))
def test_every_source_stands_for_a_figure(name: str) -> None:
    spec = load_spec(name)
    paths = [figure.path for figure in figures(spec)]
    for source in spec.sources:
        assert any(path == source or path.startswith(f"{source}.") for path in paths), source


@pytest.mark.parametrize("folder", ["hwconfigs", "workloads"])
def test_names_are_those_of_the_files_and_every_file_has_a_head(folder: str) -> None:
    for name, path in built_in(folder).items():
        text = path.read_text()
        assert f"name: {name}\n" in text
        assert text.startswith("# ")


@pytest.mark.parametrize(("name", "peak"), PEAK_TFLOPS.items())
def test_rates_give_the_peak_of_the_datasheet(name: str, peak: float) -> None:
    gpu = load_hardware(name).gpu
    assert 2 * gpu.tensor_core["fp16"] * gpu.sm_count * gpu.clock / 1e12 == pytest.approx(peak, rel=0.01)


@pytest.mark.parametrize(
    ("name", "capacity", "bandwidth", "l2_mib", "watt"),
    [
        ("h200_sxm", 141, 4800, 50, 700),
        ("a100_pcie_80gb", 80, 1935, 40, 300),
        ("a40", 48, 696, 6, 300),
        ("l40s", 48, 864, 96, 350),
        ("rtx4090", 24, 1008, 72, 450),
    ],
)
def test_memories_and_power_are_those_of_the_datasheet(
    name: str, capacity: int, bandwidth: int, l2_mib: int, watt: int
) -> None:
    gpu = load_hardware(name).gpu
    assert gpu.dram.capacity == capacity * 10**9
    assert gpu.dram.bandwidth == pytest.approx(bandwidth * 1e9)
    assert gpu.l2.capacity == l2_mib * 2**20
    assert gpu.power is not None
    assert gpu.power.limit == watt


@pytest.mark.parametrize("name", GPUS)
def test_a_gpu_has_its_tables_and_kernels_that_fit(name: str) -> None:
    gpu = load_spec(name)
    assert isinstance(gpu, Gpu)
    table, library = load_energy(gpu.energy), load_library(gpu.library)
    needed = {f"tensor_mac_{dtype}" for dtype in gpu.tensor_core} | {"cuda_mac_fp32", "cuda_flop"}
    assert needed | {"shared_byte", "l2_byte", "dram_byte"} <= set(table.actions)
    menus = [(library.tensor_core, 2), (library.cuda_core, 4)]
    if gpu.sparse_library is not None:
        assert gpu.sparse_tensor_core
        menus.append((load_library(gpu.sparse_library).sparse_tensor_core, 2))
    if library.gemv:
        menus.append((library.gemv, 2))
        assert {f"cuda_mac_{dtype}" for dtype in gpu.cuda_core} <= set(table.actions)
    for kernels, element_bytes in menus:
        fitting = [
            kernel
            for kernel in kernels
            if kernel.stages * (kernel.tile_m + kernel.tile_n) * kernel.tile_k * element_bytes
            <= gpu.shared_memory.per_block
            and kernel.threads * kernel.registers_per_thread <= gpu.registers_per_sm
            and kernel.threads <= gpu.max_threads_per_sm
        ]
        assert fitting


@pytest.mark.parametrize("name", available("hwconfigs/libraries"))
def test_accumulators_fit_in_registers(name: str) -> None:
    library = load_spec(name)
    assert isinstance(library, Library)
    for kernel in [*library.tensor_core, *library.cuda_core, *library.gemv]:
        assert kernel.tile_m * kernel.tile_n < kernel.threads * kernel.registers_per_thread
    assert library.split_k[0] == 1
    assert library.split_k == sorted(set(library.split_k))


@pytest.mark.parametrize("name", available("hwconfigs/energy"))
def test_energy_tables_use_known_names(name: str) -> None:
    table = load_spec(name)
    assert isinstance(table, EnergyTable)
    assert set(table.actions) <= set(ACTIONS)
    assert set(table.static_power) <= set(STATIC)


def test_energy_tables_have_what_attention_units_count() -> None:
    operands = Operands(*np.random.default_rng(0).standard_normal((3, 2, 12, 8)).astype(np.float32))
    for name in available("hwconfigs/attention"):
        unit = load_attention_unit(name)
        accelerator = accelerator_of(unit.algorithm)
        (work,) = accelerator.execute(unit, [operands])
        table = load_energy(unit.energy)
        counted = {action for action, count in accelerator.simulate(unit, work).actions.items() if count}
        assert counted <= set(table.actions), name
        assert "leakage" in table.static_power, name


def test_workloads_have_the_shapes_of_their_papers() -> None:
    base, layer, tiny = (load_workload(name) for name in ("bert_base", "bert_base_layer", "bert_tiny"))
    shape = ("layers", "batch", "sequence", "hidden", "heads", "ffn")
    assert [getattr(base, key) for key in shape] == [12, 1, 128, 768, 12, 3072]
    assert [getattr(layer, key) for key in shape] == [1, 1, 128, 768, 12, 3072]
    assert [getattr(tiny, key) for key in shape] == [2, 1, 128, 128, 2, 512]
