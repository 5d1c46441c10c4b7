"""Training under HDP: torch decides as the simulator does, and thresholds are chosen for the share that is asked."""

import importlib
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelsim.config.options import Hdp
from accelsim.explore.accuracy.forward import load_model, run_model
from accelsim.explore.accuracy.quality import Quality
from accelsim.kernels.hdp import hdp_attention

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("sklearn", reason="training needs scikit-learn")

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "workloads" / "models"
FORMATS: dict[str, dict[str, float]] = {
    "scale 1": {"scale": 1.0, "integer_bits": 4, "fraction_bits": 12},
    "scale 2": {"scale": 2.0, "integer_bits": 5, "fraction_bits": 11},
}
HDP = Hdp(importance="signed", center_keys="dynamic", pruned_score="zero_in_denominator", **FORMATS["scale 2"])


def module(name: str) -> Any:
    """A script of training/, imported as its own siblings import it."""
    folder = str(ROOT / "training")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


digits_hdp, recover_hdp, network, layer_thresholds = (
    module(name) for name in ("digits_hdp", "recover_hdp", "digits_network", "layer_thresholds")
)


def operands(seed: int, images: int = 3) -> list[np.ndarray]:
    """Query, key and value [images, heads, tokens, head_dim]; keys have a mean to be taken from them."""
    rng = np.random.default_rng(seed)
    query, key, value = (rng.normal(size=(images, 4, 16, 8)).astype(np.float32) for _ in range(3))
    return [query, key + rng.normal(size=(images, 4, 1, 8)).astype(np.float32), value]


@pytest.mark.parametrize("rho_b", [-1.0, -0.4, 0.0, 0.3, 0.9])
@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("center_keys", ["none", "dynamic"])
@pytest.mark.parametrize("importance", ["absolute", "signed"])
def test_torch_keeps_the_blocks_that_the_simulator_keeps(
    importance: str, center_keys: str, number_format: str, rho_b: float
) -> None:
    switches = {"importance": importance, "center_keys": center_keys, **FORMATS[number_format]}
    attention = digits_hdp.PrunedAttention(Hdp(**switches))
    query, key, value = operands(0)
    attention.rho_b = torch.full((len(query),), rho_b, dtype=torch.float64)
    kept = attention.decide(torch.from_numpy(query), attention.centred(torch.from_numpy(key)))[0].numpy()
    wanted = [hdp_attention(*item, rho_b=rho_b, **switches).block_kept for item in zip(query, key, value, strict=True)]
    np.testing.assert_array_equal(kept, np.stack(wanted))
    assert kept.all() == (rho_b == -1)


@pytest.mark.parametrize("approximation", [True, False])
@pytest.mark.parametrize("pruned_score", ["excluded", "zero", "zero_in_denominator"])
def test_torch_attends_as_the_simulator_does_with_a_threshold_for_each_image(
    pruned_score: str, approximation: bool
) -> None:
    switches = {"importance": "signed", "center_keys": "dynamic", "pruned_score": pruned_score}
    switches |= {"approximation": approximation, "exponential": "exact"}
    attention = digits_hdp.PrunedAttention(Hdp(**switches))
    query, key, value = operands(1)
    attention.rho_b = torch.tensor([-0.5, 0.1, 0.6], dtype=torch.float64)
    found = attention(*(torch.from_numpy(operand) for operand in (query, key, value))).numpy()
    for item, rho_b in enumerate((-0.5, 0.1, 0.6)):
        wanted = hdp_attention(query[item], key[item], value[item], rho_b=rho_b, **switches)
        np.testing.assert_allclose(found[item], wanted.output, atol=2e-3)


def test_gradients_pass_as_if_scores_were_exact() -> None:
    options = Hdp(importance="signed", pruned_score="excluded")
    attention = digits_hdp.PrunedAttention(options)
    attention.rho_b = torch.full((3,), -1.0)
    exact, rounded = ([torch.from_numpy(array).requires_grad_() for array in operands(2)] for _ in range(2))
    query, key, value = exact
    kept, dropped = attention.decide(query, key)
    assert kept.all()
    scores = (query @ key.transpose(-1, -2) - dropped) / 8**0.5
    (torch.softmax(scores, dim=-1) @ value).square().sum().backward()
    attention(*rounded).square().sum().backward()
    for one, other in zip(exact, rounded, strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-5)
        assert one.grad.abs().max() > 0.1


@pytest.mark.parametrize("switch", [{"selection": "top_k"}, {"center_keys": "first_input"}, {"rounding": "floor"}])
def test_switches_that_training_does_not_know_are_refused(switch: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="training knows"):
        digits_hdp.PrunedAttention(Hdp(**switch))


def arguments(**changes: float) -> Namespace:
    """Those of the command line, for a moment of training."""
    brief = recover_hdp.parse_arguments(["--steps", "12", "--batch", "16", "--learning-rate", "1e-3", "--warp", "0"])
    return Namespace(**(vars(brief) | changes))


def test_training_brings_pruned_answers_nearer_to_the_dense_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover_hdp, "COPIES", 1)
    # Thresholds that do much harm, so that a few steps are seen to undo some of it.
    subject = recover_hdp.DynamicRecovery(MODELS / "digits_vit.npz", 0, HDP, arguments(low=0.65, high=0.75))
    images, shares = (part[:100] for part in subject.pool[0])

    def loss() -> float:
        with torch.no_grad():
            logits = subject.logits(images, torch.full((len(images),), 0.7))
            return float(torch.nn.functional.cross_entropy(logits, shares))

    before = loss()
    model = subject.run()
    after_dense = model(images).argmax(dim=1)
    assert loss() < 0.9 * before
    assert (after_dense == shares.argmax(dim=1)).float().mean() > 0.95


def test_a_share_of_each_batch_stays_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover_hdp, "COPIES", 1)
    recovery = recover_hdp.DynamicRecovery(MODELS / "digits_vit.npz", 0, HDP, arguments(dense=0.25))
    images = recovery.pool[0][0][:8]
    seen = []
    monkeypatch.setattr(recovery, "logits", lambda part, rho_b=None: seen.append(rho_b) or torch.zeros(len(part), 10))
    assert len(recovery._outputs(images)) == 8
    dense, pruned = seen
    assert dense is None
    assert len(pruned) == 6
    assert 0.3 <= pruned.min() < pruned.max() <= 0.5


def test_thresholds_reach_the_share_and_those_of_layers_change_margins_no_more() -> None:
    model = load_model("digits_vit_16", ["workload.split=calibration", "workload.images=60"])
    chooser = layer_thresholds.Chooser(model, Quality.of(model, run_model(model).output))
    shared, layers = chooser.shared(HDP, 0.6), chooser.by_layer(HDP, 0.6)
    for found in (shared, layers):
        assert 0.6 <= found.pruned < 0.63
        assert chooser.found(found.options) == found
    assert layers.change <= shared.change
    with pytest.raises(RuntimeError, match="no row threshold prunes 99"):
        chooser.shared(HDP, 0.99)


@pytest.mark.slow
def test_training_on_again_bears_as_much_as_what_is_shipped(tmp_path: Path) -> None:
    """Seed 0; another processor or version may end in other weights."""
    log = (MODELS / "digits_vit.md").read_text()
    logged = re.search(r"^\| `digits_vit_hdp\.npz` \| [^|]*\| (\d+) of 300 ", log, re.MULTILINE)
    assert logged is not None
    script, saved = ROOT / "training" / "recover_hdp.py", str(tmp_path / "after{seed}.npz")
    command = [sys.executable, str(script), "--seeds", "0", "--save", saved]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    before, after = (
        re.search(rf"{title}, rho_b .*: (\S+)% of blocks pruned, (\d+) wrong", printed) for title in ("before", "after")
    )
    assert before is not None
    assert after is not None
    assert float(after[1]) >= 86
    assert 300 - int(after[2]) >= int(logged[1]) - 3
    assert int(after[2]) <= int(before[2])
