"""Axes of sweeps: the points that they span, and mistakes in a sweep's file."""

import itertools
from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import ConfigError
from accelsim.explore.sweep import Sweep, SweepSpec, make_point, read_sweep
from tests.explore.sweep_cases import HEAD, written


def test_zip_goes_in_step(tmp_path: Path) -> None:
    text = HEAD + "grid: {seed: [1, 2]}\nzip:\n  mapping.tile_m: [64, 128]\n  mapping.tile_n: [128, 64]\n"
    found = [tuple(point.values()) for point in read_sweep(written(tmp_path, text)).settings()]
    assert found == [(1, 64, 128), (1, 128, 64), (2, 64, 128), (2, 128, 64)]


PATHS = ("mapping.a", "hardware.gpu.clock", "workload.m", "hardware.gpu.dram.bandwidth")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 4), min_size=0, max_size=4), st.integers(0, 3), st.booleans())
def test_points_are_numbered_and_run_once(lengths: list[int], steps: int, timed: bool) -> None:
    grid = {path: list(range(length)) for path, length in zip(PATHS, lengths, strict=False)}
    names = ("hardware.gpu.launch.graph", "hardware.link.latency") if timed else ("mapping.x", "mapping.y")
    zipped = {name: list(range(steps)) for name in names} if steps else {}
    sweep = Sweep(SweepSpec(kind="sweep", hardware="a", workload="b", grid=grid, zip=zipped), None)
    found = [tuple(point.items()) for point in sweep.settings()]
    assert len(found) == len(set(found)) == len(sweep)
    order = list(sweep.run_order())
    assert sorted(order) == list(range(len(sweep)))
    # What is no axis of timing stands still for as long as it can.
    held = [tuple(value for axis, value in found[position] if not axis.startswith("hardware")) for position in order]
    changes = sum(left != right for left, right in itertools.pairwise(held))
    assert changes == len(set(held)) - 1
    with pytest.raises(IndexError):
        sweep.at(len(sweep))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("grid: {mapping.tile_mm: [1]}\n", r"tiles.yaml:5: grid.mapping.tile_mm: unknown key 'tile_mm'; did you mean"),
        ("grid: {maping.tile_m: [1]}\n", r"tiles.yaml:5: grid.maping.tile_m: unknown axis"),
        ("grid: {mapping: [1]}\n", r"unknown axis 'mapping'"),
        ("grid:\n  mapping.tile_m: []\n", r"tiles.yaml:6: grid.mapping.tile_m: is empty"),
        ("grid:\n  mapping.tile_m: 3\n", r"tiles.yaml:6: .*needs a list"),
        ("grid:\n  mapping.tile_m: [1, [2]]\n", r"tiles.yaml:6: .*numbers, texts"),
        ("grid:\n  mapping.tile_m: [1, 2, 1]\n", r"tiles.yaml:6: .*1 stands twice"),
        ("grid:\n  mapping.tile_m: [1]\n  mapping.tile_m: [2]\n", r"tiles.yaml:7: key given twice"),
        ("grid:\n  mapping.tile_m: {log: [1, 4], points: 9}\n", r"tiles.yaml:6: .*9 points fall together"),
        (
            "grid:\n  hardware.clock: [1 GHz]\n  hardware.gpu.clock: [1 GHz]\n",
            r"tiles.yaml:7: .*the same as axis",
        ),
        ("grid:\n  sparsity: [0.5]\n  tile_wise.sparsity: [0.5]\n", r"tiles.yaml:7: .*is what axis sparsity is short"),
        ("zip:\n  mapping.tile_m: [1]\n  mapping.tile_n: [1, 2]\n", r"tiles.yaml:5: zip: lists must be of one length"),
        (
            "zip:\n  mapping.tile_m: [1, 1]\n  mapping.tile_n: [2, 2]\n",
            r"tiles.yaml:6: zip: step 1 \(1, 2\) stands twi",
        ),
        ("grid: {seed: [1]}\nzip: {seed: [1]}\n", r"tiles.yaml:6: zip.seed: stands in grid too"),
        ("seed: 3\n", r"has no axis"),
        ("gird: {}\n", r"tiles.yaml:5: .*unknown key 'gird'; did you mean 'grid'"),
        ("scheme: dens\ngrid: {seed: [1]}\n", r"tiles.yaml:5: .*did you mean 'dense'"),
        ("grid: {scheme: [dense, hpd]}\n", r"tiles.yaml:5: unknown scheme 'hpd'; did you mean 'hdp'"),
        ("grid: {hardware: [v100_pcie, v100]}\n", r"tiles.yaml:5: unknown name 'v100'; did you mean"),
        ("grid: {workload.m.x: [1]}\n", r"stands below a single value"),
        ("grid: {hardware.gpu.clok: [1 GHz]}\n", r"unknown key 'clok'; did you mean 'clock'"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_sweep(written(tmp_path, HEAD + text))


def test_too_many_points(tmp_path: Path) -> None:
    values = "{linear: [1, 1001], points: 1001}"
    file = written(tmp_path, HEAD + f"grid:\n  mapping.tile_m: {values}\n  workload.m: {values}\n")
    with pytest.raises(ConfigError, match=r"tiles.yaml:5: sweep: 1002001 points; .*unless --yes"):
        read_sweep(file)
    assert len(read_sweep(file, many=True)) == 1001**2


@pytest.mark.parametrize(
    ("axis", "path", "value"),
    [
        ("hardware.clock: [1 GHz]", "hardware.gpu.clock", 1e9),
        ("hardware.gpu.tensor_core.fp16: [512]", "hardware.gpu.tensor_core", 512),
        ("workload.m: [7]", "workload.m", 7),
        ("hdp.rho_b: [0.1]", "hdp.rho_b", 0.1),
    ],
)
def test_axes_are_paths_of_the_config(tmp_path: Path, axis: str, path: str, value: float) -> None:
    sweep = read_sweep(written(tmp_path, HEAD + f"grid: {{{axis}}}\n"))
    found = attrgetter(path)(make_point(sweep, sweep.at(0)).config())
    assert (found["fp16"] if isinstance(found, dict) else found) == value


def test_names_are_axes_too(tmp_path: Path) -> None:
    text = HEAD + "zip:\n  hardware: [t4, a100_hdp]\n  scheme: [tile_wise, hdp]\n  workload: [gemm_1024, bert_tiny]\n"
    axes = read_sweep(written(tmp_path, text))
    configs = [make_point(axes, values).config() for values in axes.settings()]
    assert [(c.hardware.name, c.scheme, c.workload.name) for c in configs] == [
        ("t4", "tile_wise", "gemm_1024"),
        ("a100_hdp", "hdp", "bert_tiny"),
    ]


@pytest.mark.parametrize("part", ["grid", "zip"])
def test_what_is_an_axis_need_not_be_said_twice(tmp_path: Path, part: str) -> None:
    text = f"kind: sweep\nvalues: false\n{part}:\n  hardware: [t4, v100_pcie]\n  workload: [gemm_4096, gemm_1024]\n"
    axes = read_sweep(written(tmp_path, text))
    found = [make_point(axes, values).config() for values in axes.settings()]
    assert {config.hardware.name for config in found} == {"t4", "v100_pcie"}
    assert {config.workload.name for config in found} == {"gemm_4096", "gemm_1024"}


def test_what_no_axis_names_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing key 'workload'"):
        read_sweep(written(tmp_path, "kind: sweep\ngrid: {hardware: [t4]}\n"))
    with pytest.raises(ConfigError, match=r"tiles.yaml:3: grid.hardware: is empty"):
        read_sweep(written(tmp_path, "kind: sweep\nworkload: gemm_1024\ngrid: {hardware: []}\nhardware: t4\n"))


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    written(tmp_path / "sub", "kind: gemm\nm: 3\nn: 4\nk: 5\n", "mine.yaml")
    text = HEAD.replace("gemm_1024", "./mine.yaml") + "grid: {seed: [0]}\n"
    axes = read_sweep(written(tmp_path / "sub", text))
    assert make_point(axes, {"seed": 0}).config().workload.name == "mine"
