"""What a search writes about its best setting can be run where it says."""

from pathlib import Path

import pytest

from accelsim.config.loader import load_workload
from accelsim.explore.sweep import Record
from accelsim.explore.tune import make_tune, read_tune
from accelsim.explore.tune.written import best_command, best_yaml

SETTINGS: Record = {"mapping.tile_m": 64}
FILE = "kind: tune\nhardware: t4\nworkload: mine.yaml\nspace: {mapping.tile_m: [64, 128]}\n"


@pytest.mark.parametrize("name", ["gemm_1024", "gemm/gemm_1024"])
def test_a_folder_called_as_a_workload_does_not_hide_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("gemm_1024")
    folder.mkdir()
    tune = make_tune("t4", name, {"mapping.tile_m": [64, 128]})
    (folder / "best.yaml").write_text(best_yaml(tune, SETTINGS, folder, "a test", "none"))
    assert load_workload("gemm_1024/best.yaml").name == "gemm_1024_tuned"
    assert best_command(tune, SETTINGS).split()[:4] == ["accelsim", "run", "t4", name]


def test_commands_hold_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.yaml").write_text(FILE)
    (tmp_path / "mine.yaml").write_text("kind: gemm\nm: 8\nn: 8\nk: 8\n")
    (tmp_path / "elsewhere").mkdir()
    for folder, seen in ((tmp_path, "mine.yaml"), (tmp_path / "elsewhere", "../mine.yaml")):
        monkeypatch.chdir(folder)
        words = best_command(read_tune(tmp_path / "t.yaml"), SETTINGS).split()
        assert words[3] == seen
        assert load_workload(words[3]).name == "mine"
