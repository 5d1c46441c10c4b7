"""Tables and names are read once, and anew as soon as a file changes."""

import os
import shutil
from pathlib import Path

import pytest

from accelsim.config import loader, names
from accelsim.config.loader import load_energy
from accelsim.config.names import built_in, find
from accelsim.errors import ConfigError

TABLE = "kind: energy\nprocess_node: 7 nm\nactions: {dram_byte: 31 pJ}\nsources: {actions: made up}\n"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that the loader has opened."""
    seen: list[Path] = []
    original = loader.open_document
    monkeypatch.setattr(loader, "open_document", lambda kind, path: seen.append(path) or original(kind, path))
    return seen


def later(path: Path, text: str) -> None:
    """Write a file with a time of change that no earlier one can have."""
    at = path.stat().st_mtime_ns + 10**9 if path.exists() else None
    path.write_text(text)
    if at is not None:
        os.utime(path, ns=(at, at))


def test_a_table_is_read_once(tmp_path: Path, opened: list[Path]) -> None:
    later(tmp_path / "table.yaml", TABLE)
    assert load_energy(tmp_path / "table.yaml") is load_energy(tmp_path / "table.yaml")
    assert opened == [tmp_path / "table.yaml"]


def test_a_changed_table_is_read_again(tmp_path: Path, opened: list[Path]) -> None:
    later(tmp_path / "table.yaml", TABLE)
    before = load_energy(tmp_path / "table.yaml").actions["dram_byte"]
    later(tmp_path / "table.yaml", TABLE.replace("31 pJ", "62 pJ"))
    assert load_energy(tmp_path / "table.yaml").actions["dram_byte"] == 2 * before
    assert len(opened) == 2


def test_so_is_one_whose_parent_changed(tmp_path: Path) -> None:
    later(tmp_path / "table.yaml", TABLE)
    later(tmp_path / "heir.yaml", "kind: energy\nextends: ./table.yaml\n")
    before = load_energy(tmp_path / "heir.yaml").actions["dram_byte"]
    later(tmp_path / "table.yaml", TABLE.replace("31 pJ", "62 pJ"))
    assert load_energy(tmp_path / "heir.yaml").actions["dram_byte"] == 2 * before


def test_a_table_that_is_gone_is_told(tmp_path: Path) -> None:
    later(tmp_path / "table.yaml", TABLE)
    load_energy(tmp_path / "table.yaml")
    (tmp_path / "table.yaml").unlink()
    with pytest.raises(ConfigError, match="no file"):
        load_energy(tmp_path / "table.yaml")


def test_names_follow_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "folder", lambda kind: tmp_path / kind)
    (tmp_path / "hwconfigs/gpus").mkdir(parents=True)
    later(tmp_path / "hwconfigs/gpus/one.yaml", "a: 1\n")
    assert list(built_in("hwconfigs")) == ["one"]
    later(tmp_path / "hwconfigs/gpus/two.yaml", "a: 1\n")
    (tmp_path / "hwconfigs/more").mkdir()
    assert list(built_in("hwconfigs")) == ["one", "two"]
    later(tmp_path / "hwconfigs/more/three.yaml", "a: 1\n")
    assert find("hwconfigs", "three") == tmp_path / "hwconfigs/more/three.yaml"
    (tmp_path / "hwconfigs/gpus/one.yaml").unlink()
    assert list(built_in("hwconfigs")) == ["three", "two"]
    shutil.rmtree(tmp_path / "hwconfigs/more")
    assert list(built_in("hwconfigs")) == ["two"]
