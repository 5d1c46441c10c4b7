"""Options of HDP: presets, thresholds of layers, files of mean keys."""

from pathlib import Path

import numpy as np
import pytest

from accelsim.config.loader import load_config, load_workload
from accelsim.config.options import HDP_PRESETS, Hdp
from accelsim.config.record import config_hash, from_document, to_document
from accelsim.config.scheme import RunConfig
from accelsim.errors import ConfigError, MappingError


def config(*sets: str, workload: str = "digits_vit_16") -> RunConfig:
    return load_config("edge_hdp", workload, scheme="hdp", sets=[f"hdp.{text}" for text in sets])


def test_defaults_are_the_literal_reading() -> None:
    literal = {name: getattr(Hdp(), name) for name in HDP_PRESETS["paper"]}
    assert literal == HDP_PRESETS["paper"]
    assert Hdp(preset="paper").model_copy(update={"preset": "none"}) == Hdp()
    assert Hdp(preset="robust") != Hdp(preset="paper")


def test_a_preset_sets_what_is_not_given_beside_it() -> None:
    robust = Hdp(preset="robust")
    assert {name: getattr(robust, name) for name in HDP_PRESETS["robust"]} == HDP_PRESETS["robust"]
    assert Hdp(preset="robust", importance="signed").importance == "signed"
    assert Hdp.model_validate(robust.model_dump()) == robust


def test_a_preset_on_the_command_line_replaces_what_the_workload_chose() -> None:
    shipped = config().hdp
    assert shipped.center_keys == "dynamic"
    literal = config("preset=paper").hdp
    assert (literal.importance, literal.center_keys, literal.pruned_score) == ("absolute", "none", "excluded")
    assert literal.rho_b == shipped.rho_b
    assert config("preset=paper", "pruned_score=zero").hdp.pruned_score == "zero"
    with pytest.raises(ConfigError, match=r"hdp\.preset: 'best' is not allowed"):
        config("preset=best")


def test_thresholds_of_heads() -> None:
    assert config("tau_h=3").hdp.tau_h == 3.0
    options = config("tau_h=[0.5, 2]").hdp
    assert options.tau_h == [0.5, 2.0]
    assert [options.switches(layer)["tau_h"] for layer in (0, 1)] == [0.5, 2.0]
    with pytest.raises(MappingError, match="lists 2 thresholds; attention layer 2 has none"):
        options.switches(2)
    for text, told in (
        ("tau_h=-1", "must be at least 0, not -1"),
        ("tau_h=[1, -2]", "must be at least 0, not -2"),
        ("tau_h=[]", "needs a number, or a list of one for each attention layer"),
        ("tau_h=high", "needs a number, or a list"),
        ("tau_h=true", "needs a number, or a list"),
        ("tau_h=.inf", "must be at least 0, not inf"),
    ):
        with pytest.raises(ConfigError, match=told) as raised:
            config(text)
        assert "hdp.tau_h" in str(raised.value)


def test_switches_are_the_kernels() -> None:
    assert Hdp(center_keys="first_input").switches(0)["center_keys"] == "static"
    assert "preset" not in Hdp().switches(0)
    assert Hdp().switches(3)["tau_h"] == 0.0


def test_files_of_mean_keys_are_found_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("means.npz", layer=np.zeros((4, 16)))
    found = config("center_keys=static", "key_means=means.npz")
    assert found.hdp.key_means == str(tmp_path / "means.npz")
    assert from_document(to_document(found)) == found
    before = config_hash(found)
    np.savez("means.npz", layer=np.ones((4, 16)))
    assert config_hash(found) != before
    with pytest.raises(ConfigError, match=r"hdp\.key_means: no file 'none\.npz'"):
        config("center_keys=static", "key_means=none.npz")
    with pytest.raises(ConfigError, match="center_keys static needs key_means"):
        config("center_keys=static")
    folder = tmp_path / "below"
    folder.mkdir()
    path = folder / "workload.yaml"
    path.write_text(
        "kind: attention\nname: small\nbatch: 1\nheads: 2\nsequence: 8\nhead_dim: 4\n"
        "defaults:\n  hdp:\n    center_keys: static\n    key_means: ../means.npz\n"
    )
    assert load_workload(path).defaults.hdp.key_means == str(tmp_path / "means.npz")
