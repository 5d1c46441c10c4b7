"""Completion: what shells ask for and get, for names of commands, machines, workloads and schemes."""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from accelsim.cli import complete, main
from accelsim.config.names import available
from tests.cli.test_commands import HEAVY


def _offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str) -> list[str]:
    """What bash is told for a line whose last word is being typed."""
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    monkeypatch.setenv("_ACCELSIM_COMPLETE", "complete_bash")
    with contextlib.suppress(SystemExit):
        main([])
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("accelsim bre", ["breakeven"]),
        ("accelsim hw sh", ["show"]),
        ("accelsim run v100_p", ["v100_pcie"]),
        ("accelsim run a100_hdp bert_base_l", ["bert_base_layer"]),
        ("accelsim run t4 gemm_1024 --scheme tile_w", ["tile_wise", "tile_wise+hdp"]),
        ("accelsim compare t4 gemm_1024 --schemes dense,hd", ["dense,hdp"]),
        ("accelsim compare t4 gemm_1024 --schemes hdp,hd", []),
        ("accelsim run t4 gemm_1024 --engine e", ["events", "estimate"]),
        ("accelsim hw show cublas_v", ["cublas_volta"]),
        ("accelsim run cublas_v", []),
        ("accelsim run t4 tile_size", []),
        ("accelsim sweep tile_size", ["tile_sizes"]),
        ("accelsim tune tune_g", ["tune_gemm"]),
        ("accelsim attention compare --units a3,dense_a", ["a3,dense_array"]),
        ("accelsim attention crossover a100_h", ["a100_hdp"]),
        ("accelsim prune w.npz --pattern vec", ["vector_wise"]),
        ("accelsim calibrate digits_vit_16_seed1 --out x.yaml --hw edge_h", ["edge_hdp"]),
        ("accelsim run my_gpu.ya", []),
    ],
)
def test_bash_is_told_what_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, offered: list[str]
) -> None:
    assert _offered(monkeypatch, capsys, line) == offered


def test_every_name_is_offered_where_it_is_understood() -> None:
    assert set(available("gpus")) < set(complete.machines())
    assert not set(complete.workloads()) & {*available("sweeps"), *available("tunes"), *available("schedules")}
    assert set(complete.units()) < set(complete.hardware())
    assert complete.several_of(complete.gpus)("t4,v100_pcie,t") == []


@pytest.mark.parametrize(("shell", "variable"), [("zsh", "_TYPER_COMPLETE_ARGS"), ("fish", "_TYPER_COMPLETE_ARGS")])
def test_other_shells_are_told_too(shell: str, variable: str) -> None:
    asked = {variable: "accelsim run v100_p", "_ACCELSIM_COMPLETE": f"complete_{shell}"}
    words = [sys.executable, "-m", "accelsim"]
    environment = {**os.environ, **asked, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "v100_pcie" in subprocess.run(words, capture_output=True, text=True, env=environment, check=True).stdout


def test_a_key_press_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom accelsim.cli import main\ntry:\n    main([])\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', *sorted({set(HEAVY) - {'pydantic'}!r} & set(sys.modules)))"
    )
    asked = {"COMP_WORDS": "accelsim run v100_p", "COMP_CWORD": "2", "_ACCELSIM_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **asked}, check=True
    )
    assert done.stdout.splitlines() == ["v100_pcie", "heavy:"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_for_bash_works_in_bash(tmp_path: os.PathLike[str]) -> None:
    launcher = os.path.join(tmp_path, "accelsim")
    with open(launcher, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec "{sys.executable}" -m accelsim "$@"\n')
    os.chmod(launcher, 0o755)
    from typer.completion import get_completion_script

    script = get_completion_script(prog_name="accelsim", complete_var="_ACCELSIM_COMPLETE", shell="bash")
    asked = 'COMP_WORDS=(accelsim run v100_p); COMP_CWORD=2; _accelsim_completion accelsim; echo "${COMPREPLY[@]}"'
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split() == ["v100_pcie"]
