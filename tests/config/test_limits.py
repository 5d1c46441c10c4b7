"""Values that no machine has are refused by name, before they become a division by zero or an overflow."""

import pytest
from pydantic import ValidationError

from accelsim.config.hardware import Library
from accelsim.config.loader import load_config, load_hardware, load_library
from accelsim.config.quantity import LIMITS, UNITS, parse_quantity
from accelsim.errors import ConfigError


@pytest.mark.parametrize(
    "setting",
    [
        "gpu.clock=0 Hz",
        "gpu.clock=1e30 GHz",
        "gpu.dram.bandwidth=0 GB/s",
        "gpu.l2.port=0 B/cycle",
        "gpu.load_latency=1e12 cycles",
        "gpu.launch.host=1e6 s",
        "attention_unit.dram_bandwidth=0 B/s",
        "link.bandwidth=0 B/s",
    ],
)
def test_quantities_out_of_range_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"is out of range; allowed: .* to "):
        load_hardware("edge_hdp", [f"hardware.{setting}"])


def test_every_dimension_has_limits() -> None:
    assert set(LIMITS) == set(UNITS)
    for dimension, (low, high) in LIMITS.items():
        assert 0 <= parse_quantity(low, dimension) < parse_quantity(high, dimension)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("hardware.gpu.dram.interleave=0 B", "hardware.gpu.dram.interleave: must be greater than 0"),
        ("hardware.gpu.max_blocks_per_sm=100000", "hardware.gpu.max_blocks_per_sm: must be at most 1024"),
        ("hardware.gpu.tensor_efficiency=1e-300", "hardware.gpu.tensor_efficiency: must be at least 0.001"),
        ("hardware.attention_unit.cores=1000000", "hardware.attention_unit.cores: must be at most 4096"),
        ("mapping.split_k=1000000000", "mapping.split_k: must be at most 1024"),
        ("hdp.scale=1e-300", "hdp.scale: must be at least 0.0009765625"),
        ("hdp.scale=1e300", "hdp.scale: must be at most 1024"),
        ("workload.m=99999999999999999999999", "workload.m: must be at most 10000000"),
    ],
)
def test_options_out_of_range_are_refused(setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config("edge_hdp", "gemm_1024", sets=[setting])


def test_a_matrix_vector_kernel_has_one_row() -> None:
    menu = load_library("cublas_ampere").model_dump()
    menu["gemv"][0]["tile_m"] = 2
    with pytest.raises(ValidationError, match=r"gemv\.0\.tile_m must be 1"):
        Library(**menu)
