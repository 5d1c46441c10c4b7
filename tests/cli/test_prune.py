"""`accelsim prune`: options to pattern, files out, messages."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelsim.cli.prune
from accelsim.cli import main
from accelsim.config.patterns import PATTERNS
from accelsim.pruning.packed_files import read_packed
from accelsim.pruning.recorded import read_masks

TENSORS = {
    "a": np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32),
    "b": np.random.default_rng(1).normal(size=(48, 64)).astype(np.float32),
    "bias": np.ones(48, np.float32),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("w.npz", **TENSORS)


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The document of a command line."""
    assert main(["prune", "w.npz", *words, "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    document: dict[str, Any] = json.loads(captured.out)
    return document


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["prune", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize("kind", PATTERNS)
def test_every_pattern(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    tiled = "granularity" in PATTERNS[kind].model_fields
    document = asked(
        capsys, "--pattern", kind, *(["--granularity", "16"] if tiled else []), "--out", "out", "--no-pictures"
    )
    assert document["schema_version"] == 1
    assert document["file"] == "w.npz"
    assert document["pattern"]["kind"] == kind
    assert document["skipped"] == ["bias"]
    assert [layer["name"] for layer in document["layers"]] == ["a", "b"]
    assert (document["rows_per_tile_histogram"] is not None) == tiled
    total = sum(layer["kept"] for layer in document["layers"])
    assert document["sparsity"] == pytest.approx(1 - total / (2 * 64 * 48))
    assert json.loads(Path("out/report.json").read_text()) == document
    masks = read_masks("out/masks.npz")
    with np.load("out/weights.npz", allow_pickle=False) as weights:
        for name in ("a", "b"):
            np.testing.assert_array_equal(weights[name], np.where(masks[name], TENSORS[name], 0))
    assert set(read_packed("out/packed.npz")) == {"a", "b"}


def test_every_option_reaches_the_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--sparsity", "0.6", "--granularity", "8", "--stages", "2", "--threshold", "global", "--per-dimension"]
    words += ["--apriori-blocks", "2", "--apriori-width", "16", "--gradients", "w.npz"]
    document = asked(capsys, "--pattern", "tile_wise", *words)
    assert document["pattern"] == {
        "kind": "tile_wise", "score": "taylor", "sparsity": 0.6, "threshold": "global", "granularity": 8, "stages": 2,
        "sparsity_of": "per_dimension", "apriori_blocks": 2, "apriori_width": 16,
    }  # fmt: skip
    assert document["asked_sparsity"] == pytest.approx(0.84)
    block = asked(capsys, "--pattern", "block_wise", "--block", "8x4")["pattern"]
    assert (block["block_rows"], block["block_columns"]) == (8, 4)
    square = asked(capsys, "--pattern", "block_wise", "--block", "8")["pattern"]
    assert (square["block_rows"], square["block_columns"]) == (8, 8)
    assert asked(capsys, "--pattern", "n_m", "--nm", "1:8")["sparsity"] == pytest.approx(7 / 8)
    vectors = asked(capsys, "--pattern", "vector_wise", "--vector", "8", "--sparsity", "0.5", "--only", "a")
    assert vectors["pattern"]["vector"] == 8
    assert [layer["name"] for layer in vectors["layers"]] == ["a"]
    delta = ["--delta", "0.1", "--granularity", "8"]
    assert asked(capsys, "--pattern", "tile_element_wise", *delta)["pattern"]["delta"] == 0.1


def test_orientation(capsys: pytest.CaptureFixture[str]) -> None:
    document = asked(capsys, "--pattern", "element_wise", "--orientation", "out_in", "-o", "out", "--no-pictures")
    assert [(layer["k"], layer["n"]) for layer in document["layers"]] == [(48, 64), (64, 48)]
    assert read_masks("out/masks.npz")["a"].shape == (48, 64)
    with np.load("out/weights.npz") as weights:
        assert weights["a"].shape == (64, 48)
    assert not list(Path("out").glob("*.png"))


def test_stages_of_a_schedule(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    original = accelsim.cli.prune._stages
    monkeypatch.setattr(accelsim.cli.prune, "_stages", lambda *given: seen.append(original(*given)) or seen[-1])
    words = ["--pattern", "element_wise", "--sparsity", "0.55", "--schedule", "vgg16_stages"]
    assert asked(capsys, *words)["sparsity"] == pytest.approx(0.55, abs=0.001)
    assert seen == [[0.25, 0.4, 0.5, 0.55]]


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "w.npz", "--pattern", "tile_wise", "--granularity", "10", "-o", "out"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "saved out\n"
    for text in ("w.npz, tile_wise: ", "64 x 48", "retained norm", "mean", "left alone, being no matrix: bias"):
        assert text in captured.out
    assert "asked for 75 %" in captured.out  # a last tile of 4 columns keeps more rows than the others
    assert {path.name for path in Path("out").glob("*.png")} == {"masks.png", "rows_per_tile.png"}
    assert main(["prune", "w.npz", "--pattern", "element_wise", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_equal_input_gives_equal_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("one", "other"):
        asked(capsys, "--pattern", "block_wise", "-o", folder)
    for path in Path("one").iterdir():
        assert path.read_bytes() == (Path("other") / path.name).read_bytes()


def test_masks_of_another_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    asked(capsys, "--pattern", "element_wise", "-o", "out", "--no-pictures")
    again = asked(capsys, "--pattern", "element_wise", "--masks", "out/masks.npz")
    assert again["masks_from_file"]
    message = refused(capsys, "w.npz", "--pattern", "block_wise", "--masks", "out/masks.npz")
    assert message.startswith("error: out/masks.npz: mask a: not block-wise: the 32 x 32 block around row 0, column 0")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pattern", "tile_wise", "--sparsity", "75"], "--sparsity: pattern.sparsity: must be less than 1.0, not 75"),
        (["--pattern", "tile_wise"], "a: granularity 128 exceeds its 48 columns (n)"),
        (["--pattern", "n_m", "--nm", "5:4"], "5:4 keeps more weights than a group has"),
        (["--pattern", "n_m", "--nm", "2"], "--nm 2: is not of the form 2:4"),
        (["--pattern", "block_wise", "--block", "8by8"], "--block 8by8: is not of the form 32x32"),
        (["--pattern", "wise"], "unknown pattern 'wise'"),
        (
            ["--pattern", "element_wise", "--delta", "0.1"],
            "--delta has no meaning for element_wise; allowed: --gradients, --sparsity, --threshold",
        ),
        (
            ["--pattern", "n_m", "--block", "8"],
            "--block has no meaning for n_m; allowed: --nm, --gradients, --sparsity",
        ),
        (["--pattern", "element_wise", "--only", "c"], "w.npz: no tensor 'c'"),
        (["--pattern", "element_wise", "--orientation", "kn"], "--orientation kn: allowed: in_out, out_in"),
        (["--pattern", "element_wise", "--schedule", "none"], "unknown name 'none'"),
        (["--pattern", "element_wise", "-o", "w.npz/out"], "is a file; results need a folder"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(capsys, "w.npz", *words)


@pytest.mark.parametrize(("sparsity", "told"), [("0.9", "a whole number of weights, which makes 93.8 %"), ("0.75", "")])
def test_rounding_to_whole_vectors_is_pointed_out(sparsity: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "w.npz", "--pattern", "vector_wise", "--sparsity", sparsity]) == 0
    printed = capsys.readouterr().out
    assert told in printed
    assert bool(told) == ("whole number" in printed)


def test_files_with_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("nan.npz", q=np.array([[1.0, np.nan]]))
    assert "q[0, 1] is nan" in refused(capsys, "nan.npz", "--pattern", "element_wise")
    assert "none.npz: no such file" in refused(capsys, "none.npz", "--pattern", "element_wise")
    Path("other").mkdir()
    Path("other/mine.txt").write_text("")
    assert "holds something else" in refused(capsys, "w.npz", "--pattern", "element_wise", "-o", "other")


def test_an_interrupt_leaves_what_was_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(capsys, "--pattern", "element_wise", "-o", "out", "--no-pictures")
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    write = Path.write_bytes

    def interrupted(path: Path, content: bytes) -> int:
        if path.name == "weights.npz":
            raise KeyboardInterrupt
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    assert main(["prune", "w.npz", "--pattern", "block_wise", "-o", "out", "--no-pictures"]) == 130
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["out", "w.npz"]
