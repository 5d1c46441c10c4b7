"""Names, paths, extends, references, options, and the errors that name file, line, key and what is allowed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from accelsim.config.hardware import Gpu, HdpUnit, Library, System
from accelsim.config.loader import (
    available,
    load_config,
    load_energy,
    load_hardware,
    load_library,
    load_spec,
    load_workload,
)
from accelsim.config.names import folder
from accelsim.config.sources import figures
from accelsim.config.workload import AttentionWorkload, EncoderWorkload, GemmWorkload, NetworkWorkload, VisionWorkload
from accelsim.errors import ConfigError

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def gemm_file(write: Write, extra: str = "") -> Path:
    return write("gemm.yaml", f"kind: gemm\nm: 8\nn: 16\nk: 32\n{extra}")


def message(error: pytest.ExceptionInfo[ConfigError]) -> str:
    return str(error.value)


def test_a_gpu_becomes_a_system_of_its_own() -> None:
    system = load_hardware("t4")
    assert system.name == "t4"
    assert system.gpu.sm_count == 40
    assert system.attention_unit is None


def test_a_system_joins_its_parts_by_name() -> None:
    system = load_hardware("a100_hdp")
    assert system.gpu == load_spec("a100_sxm4_80gb")
    assert system.attention_unit == load_spec("hdp_server")
    assert system.link is not None


def test_names_work_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = load_config("a100_hdp", "bert_base_layer")
    monkeypatch.chdir(tmp_path)
    assert load_config("a100_hdp", "bert_base_layer") == here
    assert load_workload("gemm/gemm_1024") == load_workload("gemm_1024")


def test_names_are_unique_and_listed() -> None:
    for kind in ("hwconfigs", "workloads"):
        names = available(kind)
        assert names == sorted(set(names))
        assert len(names) == len([*folder(kind).rglob("*.yaml")])
    assert "t4" in available("hwconfigs/gpus")
    assert available("gpus") == available("hwconfigs/gpus")
    assert "t4" not in available("attention")
    with pytest.raises(ConfigError, match="did you mean 'gpus'"):
        available("gpu")


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(ConfigError) as error:
        load_hardware("a100_sxm4_80g")
    assert "did you mean 'a100_sxm4_80gb'" in message(error)
    assert "a100_hdp" in message(error)
    with pytest.raises(ConfigError, match=r"unknown name 'a100'.* or 'a100_sxm4_80gb'"):  # all that begin so
        load_hardware("a100")
    with pytest.raises(ConfigError, match=r"no file 'nowhere/t4.yaml'; did you mean 't4'"):
        load_hardware("nowhere/t4.yaml")
    with pytest.raises(ConfigError, match="unknown name 'gemm_1025'"):
        load_workload("gemm_1025")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        load_hardware(tmp_path)


@pytest.mark.parametrize("wrong", [3, None, [1]])
def test_other_types_are_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="needs a name"):
        load_hardware(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs a name"):
        load_workload(wrong)  # type: ignore[arg-type]


def test_the_wrong_kind_is_refused(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"hdp_server\.yaml:\d+: hardware\.kind: 'attention_unit' is not allowed"):
        load_hardware("hdp_server")
    with pytest.raises(ConfigError, match="missing key 'kind'; allowed: gemm"):
        load_workload(write("w.yaml", "m: 1\n"))
    with pytest.raises(ConfigError, match="did you mean 'gemm'"):
        load_workload(write("w.yaml", "kind: gem\n"))
    with pytest.raises(ConfigError, match="is not allowed; allowed: library"):
        load_library("t4")
    with pytest.raises(ConfigError, match="is not allowed; allowed: energy"):
        load_energy("t4")


def test_specs_of_every_kind_load() -> None:
    assert isinstance(load_spec("a100_hdp"), System)
    assert isinstance(load_spec("t4"), Gpu)
    assert isinstance(load_spec("hdp_edge"), HdpUnit)
    assert isinstance(load_spec("cublas_ampere"), Library)
    assert load_spec("gpu_7nm") == load_energy("gpu_7nm")


def test_every_workload_kind_loads(write: Write) -> None:
    assert isinstance(load_workload(gemm_file(write)), GemmWorkload)
    attention = load_workload(write("a.yaml", "kind: attention\nheads: 2\nsequence: 8\nhead_dim: 4\n"))
    assert isinstance(attention, AttentionWorkload)
    assert attention.name == "a"
    assert isinstance(load_workload("bert_tiny"), EncoderWorkload)
    network = write("n.yaml", "kind: network\nlayers:\n  - {type: linear, rows: 1, inputs: 2, outputs: 3}\n")
    assert isinstance(load_workload(network), NetworkWorkload)


def vision_file(write: Write) -> Path:
    return write(
        "models/vit.yaml",
        "kind: vision\nlayers: 1\nsequence: 4\nhidden: 8\nheads: 2\nffn: 16\npatch: 1\nclasses: 2\n"
        "weights: vit.npz\ndata: ../images.npz\n",
    )


def test_files_of_a_workload_are_relative_to_its_yaml(write: Write, tmp_path: Path) -> None:
    path = vision_file(write)
    with pytest.raises(ConfigError, match=r"vit\.yaml:9: workload\.weights: no file 'vit\.npz' \(looked for /"):
        load_workload(path)
    write("models/vit.npz", "")
    write("images.npz", "")
    workload = load_workload(path)
    assert isinstance(workload, VisionWorkload)
    assert workload.weights == str(tmp_path / "models" / "vit.npz")
    assert workload.data == str(tmp_path / "images.npz")
    # An heir in another folder keeps its parent's files.
    heir = load_workload(write("heir.yaml", "extends: models/vit.yaml\nimages: 3\n"))
    assert isinstance(heir, VisionWorkload)
    assert heir.weights == workload.weights
    # An option's path is relative to the working directory.
    with pytest.raises(ConfigError, match=r"^--set workload.weights=other.npz: workload.weights: no file"):
        load_workload(path, ["workload.weights=other.npz"])


def test_extends_merges_deeply_and_sources_follow(write: Write) -> None:
    path = write(
        "mine.yaml",
        "extends: a100_sxm4_80gb\nclock: 1.1 GHz\ndram:\n  bandwidth: 1 TB/s\nblock_setup: 99 cycles\n"
        "sources:\n  dram: my board\n  clock: my clock\n",
    )
    parent, mine = load_hardware("a100_sxm4_80gb").gpu, load_hardware(path).gpu
    assert (mine.name, mine.description) == ("mine", "")
    assert (mine.clock, mine.dram.bandwidth, mine.block_setup) == (1.1e9, 1e12, 99)
    assert mine.dram.channels == parent.dram.channels
    assert mine.l2 == parent.l2
    sources = {figure.path: figure.source for figure in figures(mine)}
    assert sources["clock"] == "my clock"
    assert sources["block_setup"] == "default: set in mine without a source"
    assert sources["load_latency"] == parent.sources["load_latency"]


def test_extends_chains_and_names_the_circle(write: Write) -> None:
    write("a.yaml", "extends: t4\nsm_count: 7\n")
    assert load_hardware(write("b.yaml", "extends: a.yaml\nclock: 1 GHz\n")).gpu.sm_count == 7
    write("a.yaml", "extends: ./b.yaml\n")
    with pytest.raises(ConfigError, match=r"extends itself \(.*b\.yaml -> .*a\.yaml -> .*b\.yaml\)"):
        load_hardware(write("b.yaml", "extends: ./a.yaml\n"))
    with pytest.raises(ConfigError, match=r"c\.yaml:2: extends: unknown name 't5'; did you mean 't4'"):
        load_hardware(write("c.yaml", "# heir\nextends: t5\n"))
    with pytest.raises(ConfigError, match=r"d\.yaml:1: extends: needs a name or a path, not 3"):
        load_hardware(write("d.yaml", "extends: 3\n"))


def test_parts_may_be_inline_or_paths(write: Write) -> None:
    link = "link: {bandwidth: 1 GB/s, latency: 1 us, energy_per_byte: 1 pJ, sources: {}}\n"
    write("parts/gpu.yaml", "extends: t4\nsm_count: 9\n")
    path = write(
        "system.yaml",
        f"kind: system\ngpu: parts/gpu.yaml\nattention_unit:\n  extends: hdp_edge\n  cores: 3\n{link}",
    )
    system = load_hardware(path)
    assert system.gpu.sm_count == 9
    assert system.attention_unit is not None
    assert system.attention_unit.cores == 3
    assert system.name == "system"
    with pytest.raises(ConfigError, match=r"system\.yaml:2: hardware\.gpu: unknown name 'hpd'"):
        load_hardware(write("system.yaml", "kind: system\ngpu: hpd\n"))
    with pytest.raises(ConfigError, match=r"system\.yaml:2: hardware\.gpu: .*'attention_unit' is not allowed"):
        load_hardware(write("system.yaml", "kind: system\ngpu: hdp_edge\n"))
    with pytest.raises(ConfigError, match="belong together"):
        load_hardware(write("system.yaml", "kind: system\ngpu: t4\nattention_unit: hdp_edge\n"))


def test_tables_of_a_gpu_may_be_paths(write: Write, tmp_path: Path) -> None:
    write("table.yaml", "extends: gpu_12nm\n")
    path = write("mine.yaml", "extends: t4\nenergy: ./table.yaml\n")
    assert load_hardware(path).gpu.energy == str(tmp_path / "table.yaml")
    with pytest.raises(ConfigError, match=r"mine\.yaml:2: library: unknown name 'cublas'; did you mean 'cublas_"):
        load_hardware(write("mine.yaml", "extends: t4\nlibrary: cublas\n"))


def test_options_reach_every_part() -> None:
    config = load_config(
        "v100_pcie",
        "bert_tiny",
        scheme="tile_wise",
        sets=[
            "mapping.tile_m=64",
            "mapping.tile_m=128",
            "tile_wise.sparsity=0.5",
            "hdp.rho_b=-0.25",
            "workload.sequence=77",
            "workload.caches.weights=warm",
            "workload.defaults.hdp.tau_h=0.5",
            "hardware.clock=1.2 GHz",
            "hardware.gpu.launch.graph=1 us",
        ],
    )
    assert (config.mapping.tile_m, config.tile_wise.sparsity, config.hdp.rho_b) == (128, 0.5, -0.25)
    assert isinstance(config.workload, EncoderWorkload)
    assert (config.workload.sequence, config.workload.caches.weights) == (77, "warm")
    assert (config.hardware.gpu.clock, config.hardware.gpu.launch.graph) == (1.2e9, 1e-6)
    assert config.hdp.tau_h == 0.5
    assert config.hardware.gpu.sources["clock"] == "set for this run"
    assert config.hardware.gpu.sources["launch.graph"] == "set for this run"


def test_an_option_may_exchange_a_part() -> None:
    assert load_hardware("a100_hdp", ["hardware.gpu=t4", "hardware.gpu.sm_count=3"]).gpu.sm_count == 3
    with pytest.raises(ConfigError, match=r"^--set hardware.gpu=t5: hardware.gpu: unknown name 't5'"):
        load_hardware("a100_hdp", ["hardware.gpu=t5"])


def test_options_reach_into_lists(write: Write) -> None:
    path = write("n.yaml", "kind: network\nlayers:\n  - {type: linear, rows: 1, inputs: 2, outputs: 3}\n")
    network = load_workload(path, ["workload.layers.0.rows=5"])
    assert isinstance(network, NetworkWorkload)
    assert network.layers[0].rows == 5  # type: ignore[union-attr]
    for option in ("workload.layers.1.rows=5", "workload.layers.first=5"):
        with pytest.raises(ConfigError, match="use an index from 0 to 0"):
            load_workload(path, [option])


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("mapping.tile_mm=3", "mapping.tile_mm: unknown key 'tile_mm'; did you mean 'tile_m' or 'tile_n' or"),
        ("mapping.tile_m=0", "mapping.tile_m: must be greater than 0, not 0"),
        ("mapping.tile_m='128'", "mapping.tile_m: needs a whole number, not '128'"),
        ("mapping.tile_m=12.5", "mapping.tile_m: needs a whole number, not 12.5"),
        ("mapping.tile_m=true", "mapping.tile_m: needs a whole number, not True"),
        ("mapping.raster=along_k", "'along_k' is not allowed; did you mean 'along_n' or 'along_m'"),
        ("mapping.tile_m.x=3", "mapping.tile_m: needs a whole number, not a mapping"),
        ("mapping.raster.x=3", "mapping.raster holds 'swizzle' and has no key 'x'"),
        ("mapping.stages=17", "must be at most 16, not 17"),
        ("tile_wise.sparsity=1", "must be less than 1"),
        ("tile_wise.sparsity=.nan", "not nan"),
        ("hdp.scale=.inf", "needs a finite number, not inf"),
        ("hdp.approximation=yes", "hdp.approximation: needs true or false, not 'yes'"),
        ("hdp.fraction_bits=15", "integer_bits + fraction_bits is 19"),
        ("workload.m=-1", "workload.m: must be greater than 0"),
        ("workload.colour=red", "unknown key 'colour'; allowed: name, description"),
        ("workload.m=null", "workload.m: needs a whole number, not None"),
        (
            "hardware.gpu.clock=1410",
            "hardware.gpu.clock: needs a number with a unit (Hz, kHz, MHz, GHz, THz), not 1410",
        ),
        ("hardware.gpu.clock=1.4 GB", "unknown unit 'GB'"),
        ("hardware.gpu.l2.capacity=0.3 B", "is not a whole number of B"),
        ("hardware.gpu.tensor_core.fp17=3", "'fp17' is not allowed; did you mean 'fp16'"),
        ("hardware.gpu.tensor_core.fp16=0", "tensor_core.fp16 must be positive"),
        ("hardware.attention_unit.cores=3", "hardware.attention_unit.clock: missing key 'clock'"),
        ("harware.gpu.clock=1 GHz", "unknown part 'harware'; did you mean 'hardware'"),
        ("mapping=3", "is not of the form path=value"),
        ("mapping.tile_m", "is not of the form path=value"),
        ("mapping..tile_m=3", "is not of the form path=value"),
        ("mapping.tile_m=", "needs a value"),
    ],
)
def test_wrong_options_are_named(option: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config("t4", "gemm_1024", sets=[option])
    assert f"--set {option}" in message(error)
    assert problem in message(error)


def test_one_message_lists_every_problem(write: Write) -> None:
    path = gemm_file(write, "colour: red\ndtype: fp61\ncaches:\n  weight: warm\noperands: 3\n").parent / "gemm.yaml"
    with pytest.raises(ConfigError) as error:
        load_workload(path, ["workload.m=0"])
    lines = message(error).splitlines()
    assert [line.removeprefix(str(path)).split(": ", 2)[:2] for line in lines] == [
        [":6", "workload.dtype"],
        [":8", "workload.caches.weight"],
        [":9", "workload.operands"],
        ["--set workload.m=0", "workload.m"],
        [":5", "workload.colour"],
    ]
    assert "did you mean 'fp16'" in lines[0]
    assert "did you mean 'weights'" in lines[1]
    assert "needs a mapping, not 3" in lines[2]


def test_missing_keys_point_at_what_lacks_them(write: Write) -> None:
    path = write("t.yaml", "extends: t4\ndescription: none\nlaunch: null\nl2:\n  port: null\n")
    with pytest.raises(ConfigError, match=r"t\.yaml:3: hardware\.gpu\.launch: needs a mapping, not None"):
        load_hardware(path)
    with pytest.raises(ConfigError, match=r"w\.yaml:1: workload\.k: missing key 'k'"):
        load_workload(write("w.yaml", "kind: gemm\nm: 1\nn: 1\n"))


def test_problems_inside_a_list_of_layers(write: Write) -> None:
    path = write(
        "n.yaml",
        "kind: network\nlayers:\n  - type: linear\n    rows: 1\n    inputs: 2\n    output: 3\n"
        "  - {type: lienar}\n  - {rows: 1}\n",
    )
    with pytest.raises(ConfigError) as error:
        load_workload(path)
    text = message(error)
    assert "n.yaml:6: workload.layers.0.output: unknown key 'output'; did you mean 'outputs'" in text
    assert "n.yaml:3: workload.layers.0.outputs: missing key 'outputs'" in text
    assert "n.yaml:7: workload.layers.1: 'lienar' is not allowed; did you mean 'linear'" in text
    assert "n.yaml:8: workload.layers.2: missing key 'type'" in text


def test_rules_over_several_keys_name_the_options_that_broke_them() -> None:
    with pytest.raises(
        ConfigError, match=r"\(with --set workload.heads=5\): workload: hidden \(768\) is not a multiple"
    ):
        load_workload("bert_base", ["workload.heads=5"])


def test_defaults_of_a_workload_come_before_options(write: Write) -> None:
    path = gemm_file(write, "defaults:\n  tile_wise: {granularity: 32, sparsity: 0.5}\n  mapping: {tile_m: 64}\n")
    config = load_config("t4", path, sets=["tile_wise.granularity=16"])
    assert (config.tile_wise.granularity, config.tile_wise.sparsity, config.mapping.tile_m) == (16, 0.5, 64)
    assert load_config("t4", load_workload(path)).tile_wise.granularity == 32
    with pytest.raises(ConfigError, match=r"gemm\.yaml:6: workload\.defaults\.hdp\.rho: unknown key 'rho'"):
        load_workload(gemm_file(write, "defaults:\n  hdp: {rho: 1}\n"))


def test_specs_are_taken_and_changed() -> None:
    system, gpu, workload = load_hardware("t4"), load_hardware("t4").gpu, load_workload("gemm_1024")
    assert load_config(system, workload) == load_config(gpu, workload) == load_config("t4", "gemm_1024")
    config = load_config(gpu, workload, sets=["hardware.clock=1 GHz", "workload.m=777"])
    assert config.hardware.gpu.clock == 1e9
    assert config.workload.m == 777  # type: ignore[union-attr]
    assert workload.m == 1024  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"--set hardware.gpu.clok=1 GHz: .*did you mean 'clock'"):
        load_hardware(system, ["hardware.gpu.clok=1 GHz"])


def test_wrong_words_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown scheme 'tilewise'; did you mean 'tile_wise'"):
        load_config("t4", "gemm_1024", scheme="tilewise")
    with pytest.raises(ConfigError, match="unknown engine 'event'; did you mean 'events'"):
        load_config("t4", "gemm_1024", engine="event")
    with pytest.raises(ConfigError, match=r"run\.seed: must be at least 0, not -1"):
        load_config("t4", "gemm_1024", seed=-1)
    with pytest.raises(ConfigError, match=r"operands: no file 'none\.npz'"):
        load_config("t4", "gemm_1024", operands="none.npz")
    with pytest.raises(ConfigError, match="list of path=value"):
        load_config("t4", "gemm_1024", sets="mapping.tile_m=3")
    with pytest.raises(ConfigError, match=r"only workload\.\* can be set here"):
        load_workload("gemm_1024", ["mapping.tile_m=3"])


def test_a_changed_file_is_read_again(write: Write) -> None:
    path = gemm_file(write)
    assert load_workload(path).m == 8  # type: ignore[union-attr]
    path.write_text("kind: gemm\nm: 999\nn: 16\nk: 32\n")
    assert load_workload(path).m == 999  # type: ignore[union-attr]


def test_loading_imports_nothing_heavy() -> None:
    script = (
        "import sys; from accelsim.config.loader import load_config; load_config('a100_hdp', 'bert_base_layer');"
        "print([name for name in ('numba', 'pandas', 'simpy', 'matplotlib', 'numpy') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.strip() == "[]"
