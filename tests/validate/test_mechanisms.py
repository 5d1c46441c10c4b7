"""Mechanisms: each can be switched off alone, does what it says, and `--set` does the same."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.cli import main
from accelsim.config.loader import load_config, load_hardware, load_library
from accelsim.config.options import Mapping
from accelsim.config.workload import Caches
from accelsim.errors import UserError
from accelsim.validate import Prediction, predict, read_rows, validate
from accelsim.validate.mechanisms import MECHANISMS, Switches, mechanisms
from accelsim.validate.parameters import with_values
from accelsim.validate.predict import ValidationEngine
from tests.validate.tables import dense, write

FASTER = {
    *("load_latency", "miss_latency", "block_setup", "epilogue", "tensor_efficiency", "shared_memory", "l2_bandwidth"),
    *("dram_efficiency", "dram", "copies", "l2_capacity", "power", "reduce_gap", "launch"),
    *("strided_rows", "few_blocks", "whole_waves"),
}
"""Mechanisms that cost time: without them nothing takes longer."""

CASES = {
    "split_k": (64, 256, 16384, ""),
    "few_blocks": (64, 64, 64, ""),
    "whole_waves": (4096, 4224, 4096, ""),
    "matrix_vector": (1, 1024, 128, ""),
    "tensor_efficiency": (4096, 4096, 4096, ""),
    "dram_efficiency": (64, 8192, 8192, ""),
    "strided_rows": (64, 8192, 5120, "opB=T"),
    "dram": (64, 8192, 8192, ""),
    "copies": (64, 4096, 4096, "copies=6"),
    "warm_start": (2048, 64, 2048, ""),
    "l2_capacity": (64, 4096, 4096, "copies=6"),
    "l2_reuse": (2048, 64, 2048, ""),
    "power": (16384, 16384, 16384, ""),
    "reduce_gap": (64, 256, 16384, ""),
}
"""Shapes and notes on which a mechanism matters; others matter for any."""


def _predicted(folder: Path, name: str, engine: ValidationEngine, without: tuple[str, ...]) -> Prediction:
    m, n, k, notes = CASES.get(name, (512, 1024, 1024, ""))
    rows = read_rows(write(folder, dense(m, n, k, 10.0, notes=notes)))
    assert rows[0].conditions.unknown == ()
    gpu = load_hardware("a100_sxm4_80gb").gpu
    if name == "strided_rows":
        gpu = with_values(gpu, {"dram.strided_efficiency": 0.5})
    return predict(rows, gpu, engine, switches=Switches(mechanisms(without)))[0]


@pytest.mark.parametrize("name", MECHANISMS)
def test_each_matters_where_it_should(tmp_path: Path, name: str) -> None:
    full, off = (_predicted(tmp_path, name, "estimate", without) for without in ((), (name,)))
    assert full.latency_us is not None
    assert off.latency_us is not None
    assert off.latency_us != pytest.approx(full.latency_us, rel=1e-3)
    assert (off.latency_us < full.latency_us) == (name in FASTER)


@pytest.mark.parametrize(
    "name", ["load_latency", "strided_rows", "epilogue", "dram", "l2_reuse", "launch", "split_k", "warm_start"]
)
def test_events_obey_too(tmp_path: Path, name: str) -> None:
    full, off = (_predicted(tmp_path, name, "events", without) for without in ((), (name,)))
    assert full.latency_us is not None
    assert off.latency_us is not None
    assert (off.latency_us < full.latency_us) == (name in FASTER)


@given(st.sets(st.sampled_from(sorted(MECHANISMS))), st.sampled_from(["a100_sxm4_80gb", "h100_sxm5", "t4"]))
@settings(deadline=None, max_examples=20)
def test_switches_are_pure_and_idempotent(names: set[str], hardware: str) -> None:
    gpu = load_hardware(hardware).gpu
    library, before = load_library(gpu.library), gpu.model_dump_json()
    switches = Switches(mechanisms(names))
    assert switches.gpu(switches.gpu(gpu)) == switches.gpu(gpu)
    assert switches.library(switches.library(library)) == switches.library(library)
    assert gpu.model_dump_json() == before
    assert Switches().gpu(gpu) == gpu
    assert switches.caches(Caches()) == switches.caches(switches.caches(Caches()))


@pytest.mark.parametrize("name", MECHANISMS)
def test_set_does_the_same_in_a_run(name: str) -> None:
    mechanism = MECHANISMS[name]
    gpu = load_hardware("a100_sxm4_80gb").gpu
    sets = mechanism.sets(gpu)
    assert bool(sets) != bool(mechanism.library or mechanism.estimate)
    config = load_config("a100_sxm4_80gb", "gemm_1024", sets=sets)
    switches = Switches((mechanism,))
    expected, found = (one.model_dump(exclude={"sources"}) for one in (switches.gpu(gpu), config.hardware.gpu))
    assert found == expected
    assert config.mapping == switches.mapping(Mapping())
    plain = load_config("a100_sxm4_80gb", "gemm_1024").workload.caches
    assert config.workload.caches == switches.caches(plain)


def test_events_cannot_do_without_whole_waves(tmp_path: Path) -> None:
    for options in ({"engine": "events"}, {"as_run": True}):
        with pytest.raises(UserError, match="closed form only"):
            predict(
                read_rows(write(tmp_path, dense(64, 64, 64, 10.0))),
                load_hardware("a100_sxm4_80gb").gpu,
                switches=Switches(mechanisms(["whole_waves"])),
                **options,  # type: ignore[arg-type]
            )


def test_the_command_names_what_is_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, dense(64, 256, 16384, 10.0))
    words = ["validate", str(path), "--hw", "a100_sxm4_80gb", "--json"]
    assert main([*words, "--without", "split_k,power", "--without", "launch"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [text.partition(":")[0] for text in document["remarks"]] == [
        *("Without split_k", "Without power", "Without launch"),
    ]
    assert "split-K" not in document["rows"][0]["kernel"]
    assert validate(path, ["a100_sxm4_80gb"]).summary()["remarks"] == []


def test_a_mistyped_name_is_told_the_near_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, dense(64, 64, 64, 10.0))
    assert main(["validate", str(path), "--hw", "a100_sxm4_80gb", "--without", "split-k"]) == 2
    captured = capsys.readouterr()
    assert "unknown mechanism 'split-k'; did you mean 'split_k'?" in captured.err
    assert captured.out == ""
    with pytest.raises(UserError, match="allowed: kernel_choice"):
        mechanisms(["nothing like it"])
