"""Files of kind tune: mistakes are told with their line, shipped ones can be read."""

from pathlib import Path

import pytest

from accelsim.config.loader import load_hardware, load_library, load_workload
from accelsim.config.names import available
from accelsim.errors import ConfigError
from accelsim.explore.sweep import make_point
from accelsim.explore.tune import make_tune, read_tune
from accelsim.explore.tune.defaults import default_space

HUGE = ("workload.m", "workload.n", "workload.k", "seed")
HEAD = "kind: tune\nhardware: v100_pcie\nworkload: gemm_1024\n"


@pytest.mark.parametrize("name", available("workloads/tunes"))
def test_shipped_searches_can_be_read(name: str) -> None:
    found = read_tune(name)
    assert found.name == name
    assert make_point(found.sweep, found.sweep.at(0)).config().scheme == found.spec.scheme


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.yaml:1: space: has no axis"),
        ("space: {mapping.tile_mm: [64]}\n", r"t.yaml:4: space.mapping.tile_mm: unknown key 'tile_mm'; did you mean"),
        ("space: {mapping.tile_m: []}\n", "t.yaml:4: space.mapping.tile_m: is empty"),
        ("space:\n  mapping.tile_m: [64, 64]\n", "t.yaml:5: space.mapping.tile_m: 64 stands twice"),
        ("space: {tiles: [1, 2]}\n", "t.yaml:4: space.tiles: unknown axis 'tiles'"),
        ("space: {mapping.tile_m: 64}\n", "t.yaml:4: space.mapping.tile_m: needs a list, or a range"),
        ("space: {mapping.tile_m: [64]}\nobjectives: [speed]\n", "t.yaml:5: tune.objectives.0: 'speed' is not allowed"),
        ("space: {mapping.tile_m: [64]}\nobjectives: []\n", "t.yaml:5: tune.objectives: needs at least one entry"),
        ("space: {mapping.tile_m: [64]}\nobjectives: [edp, edp]\n", "t.yaml:5: tune.objectives: edp stands twice"),
        ("space: {mapping.tile_m: [64]}\nlimits: {memory: 3}\n", "t.yaml:5: tune.limits.memory: unknown key"),
        ("space: {mapping.tile_m: [64]}\nlimits: {latency_us: 0}\n", "t.yaml:5: .*must be greater than 0"),
        ("space: {mapping.tile_m: [64]}\nlimits: {max_rel_error: 0.1}\n", "t.yaml:5: .*set values: true"),
        ("space: {mapping.tile_m: [64]}\nlimits: {accuracy_points: 1}\n", "t.yaml:5: .*kind gemm and has no data"),
        ("space: {mapping.tile_m: [64]}\nevaluations: 0\n", "t.yaml:5: tune.evaluations: must be at least 1"),
        ("space: {scheme: [dense, tilewise]}\n", "t.yaml:4: unknown scheme 'tilewise'"),
        (
            "space:\n" + "".join(f"  {axis}: {{linear: [1, 9000], points: 9000}}\n" for axis in HUGE),
            r"t.yaml:4: space: 6.56e\+15 points",
        ),
    ],
)
def test_mistakes_are_told_with_their_line(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.yaml").write_text(HEAD + text)
    with pytest.raises(ConfigError, match=message):
        read_tune("t.yaml")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": {"hardware.gpu.clock": ["1 GHz"]}}, "space.hardware.gpu.clock: under a limit of accuracy"),
        ({"test_split": "calibration"}, "test_split: is calibration, which settings are chosen on"),
        ({"sparsity": 0.5}, "sparsity: does not go with a limit of accuracy"),
        ({"limits": {"accuracy_points": 1.0, "memory_mib": 4.0}}, "memory_mib: does not go with a limit of accuracy"),
    ],
)
def test_what_does_not_go_with_a_limit_of_accuracy(settings: dict[str, object], message: str) -> None:
    given = {"space": {"hdp.rho_b": [0.0]}, "scheme": "hdp", "limits": {"accuracy_points": 1.0}} | settings
    with pytest.raises(ConfigError, match=message):
        make_tune("edge_hdp", "digits_vit_16", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["mapping.tile_m", "=[1]", "mapping.tile_m=[1", "mapping.tile_m=64"])
def test_options_that_name_no_axis(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--vary "):
        make_tune("v100_pcie", "gemm_1024", [text])


def test_an_option_given_twice() -> None:
    with pytest.raises(ConfigError, match=r"axis mapping.stages is given twice"):
        make_tune("v100_pcie", "gemm_1024", ["mapping.stages=[2]", "mapping.stages=[3]"])


def test_default_space_has_the_kernels_of_the_library() -> None:
    gpu = load_hardware("h100_sxm5").gpu
    library = load_library(gpu.library)
    found = default_space(load_workload("gemm_1024"), "dense", gpu, library)
    for key in ("tile_m", "tile_n", "tile_k", "stages"):
        assert {getattr(kernel, key) for kernel in library.tensor_core} <= set(found[f"mapping.{key}"])
        assert None not in found[f"mapping.{key}"]
    assert len(make_tune("a100_sxm4_80gb", "gemm_1024").sweep) == 7500


def test_default_space_leaves_networks_to_their_library_as_well() -> None:
    gpu = load_hardware("a100_sxm4_80gb").gpu
    network = default_space(load_workload("bert_base_layer"), "tile_wise", gpu, load_library(gpu.library))
    assert network["mapping.tile_m"][0] is None
    assert "mapping.tile_n" not in network
