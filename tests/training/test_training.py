"""The scripts that train the shipped transformers: their parts, and (slow) whether they still reach what is shipped."""

import importlib
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("sklearn", reason="training needs scikit-learn")

from accelsim.config.loader import load_workload  # noqa: E402
from accelsim.model.build import build_network  # noqa: E402
from accelsim.model.operand_set import OperandSet  # noqa: E402
from accelsim.model.reference import reference_output  # noqa: E402
from accelsim.model.vision import cut_patches  # noqa: E402

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "workloads" / "models"


def module(name: str) -> Any:
    """A script of training/, imported as its own siblings import it."""
    folder = str(ROOT / "training")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


digits, network, training, recovery = (
    module(name) for name in ("digits", "digits_network", "train_digits_vit", "recover")
)


def generator(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


def test_no_image_is_in_two_splits_and_those_that_are_shipped_are_of_this_split() -> None:
    split = digits.split_digits()
    with np.load(MODELS / "digits_images.npz") as shipped:
        for name in shipped.files:
            np.testing.assert_array_equal(shipped[name], split[name])
    held_out, _ = digits.training_subset(split, validate=True)
    whole, _ = digits.training_subset(split, validate=False)
    assert (len(held_out), len(whole), len(split["test_images"])) == (997, 1297, 500)


def test_warps_are_small_and_follow_their_generator() -> None:
    images = torch.rand(6, 8, 8)
    assert digits.warp(images, 0, generator()) is images
    one, same, other = (digits.warp(images, 1, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1
    assert torch.allclose(digits.warp(images, 1e-6, generator()), images, atol=1e-4)


def test_mixed_images_have_shares_mixed_alike() -> None:
    images = torch.arange(4.0).reshape(4, 1, 1).expand(4, 8, 8)
    shares = torch.eye(4)
    mixed, weights = training.mix(images, shares, 1.0, generator())
    assert torch.allclose(weights.sum(dim=1), torch.ones(4))
    assert torch.allclose(mixed[:, 0, 0], weights @ torch.arange(4.0))
    assert training.mix(images, shares, 0.0, generator())[0].equal(images)


def test_the_teacher_names_training_images_and_its_shares_add_up() -> None:
    images, labels = digits.to_inputs(*(part[:200] for part in digits.training_subset(digits.split_digits(), True)))
    teacher = training.fit_teacher(images, labels, 1.0, 0)
    shares = training.ask_teacher(teacher, images, 3.0)
    assert torch.allclose(shares.sum(dim=1), torch.ones(200))
    assert (shares.argmax(dim=1) == labels).float().mean() > 0.98


@pytest.mark.parametrize("tokens", [16, 64])
def test_weights_make_the_round_trip_and_mean_the_same_to_the_simulator(tokens: int, tmp_path: Path) -> None:
    torch.manual_seed(tokens)
    model = network.DigitsViT(tokens)
    network.round_to_float16(model)
    arrays = network.named_arrays(model)
    network.save(tmp_path / "weights.npz", arrays)
    images = torch.rand(3, 8, 8, generator=generator())
    with torch.no_grad():
        wanted = model(images).numpy()
        again = network.load_network(tmp_path / "weights.npz", tokens)(images).numpy()
    np.testing.assert_array_equal(again, wanted)
    name = "digits_vit" if tokens == 64 else "digits_vit_16"
    built = build_network(load_workload(name, ["workload.images=3", "workload.dtype=fp32"]))
    patches = cut_patches(images.numpy(), 8 // int(tokens**0.5))
    parameters = {key: array.astype(np.float32) for key, array in arrays.items()}
    operands = OperandSet(inputs={"patches": patches}, parameters=parameters, labels=None, description="")
    np.testing.assert_allclose(reference_output(built, operands), wanted, atol=2e-5)


@pytest.mark.parametrize("setting", [*recovery.SETTINGS])
@pytest.mark.parametrize("schedule", ["none", "one_shot", "gradual"])
def test_pruned_weights_stay_zero_in_training(setting: str, schedule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if setting == "n_m" and schedule == "gradual":
        pytest.skip("N:M has one sparsity and no stages")
    monkeypatch.setattr(recovery, "COPIES", 1)
    options = Namespace(steps=3, batch=8, learning_rate=1e-3, warp=1.0)
    dense = MODELS / "digits_vit_16.npz"
    subject = recovery.Recovery(16, 0, dense, False, options)
    model, share = subject.run(setting, 0.5, "magnitude", schedule)
    zeros = [float((parameter == 0).float().mean()) for parameter in subject._parameters().values()]
    assert np.mean(zeros) == pytest.approx(share, abs=0.05)
    assert share == pytest.approx(0.5, abs=0.07)  # a last tile that is narrower takes more than was asked for
    moved = not torch.equal(model.classifier.weight, network.load_network(dense, 16).classifier.weight)
    assert moved == (schedule != "none")


def test_rows_are_packed_so_that_the_tables_read_them(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    tables = importlib.import_module("recovery_tables")
    right = np.random.default_rng(0).random(500) < 0.9
    row = dict(zip(recovery.KEY, (16, 0, "element_wise", 0.5, "magnitude", "none", 0), strict=True))
    row |= {"sparsity": "0.5", "correct": int(right.sum()), "images": 500, "bits": recovery.pack(right)}
    path = tmp_path / "rows.csv"
    recovery.append_row(path, row)
    np.testing.assert_array_equal(tables.read(path)[0].right, right)
    assert [*recovery.read_rows(path)] == [("16", "0", "element_wise", "0.5", "magnitude", "none", "0")]
    path.write_text(path.read_text().replace(f",{right.sum()},500", ",1,500"))
    with pytest.raises(ValueError, match=r"rows\.csv:2: \d+ bits are set, and 1 images are right"):
        tables.read(path)


@pytest.mark.slow
def test_training_again_reaches_what_is_shipped(tmp_path: Path) -> None:
    """The smaller network; another processor or version may end in other weights."""
    log = (MODELS / "digits_vit.md").read_text()
    logged = re.search(r"^\| `digits_vit_16\.npz` .*\*\*(\d+) of 500\*\*", log, re.MULTILINE)
    command = re.search(r"^python (training/train_digits_vit\.py --tokens 16 .*)--output", log, re.MULTILINE)
    assert logged is not None
    assert command is not None
    arguments = [*command[1].split(), "--output", str(tmp_path / "weights.npz")]
    printed = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = re.search(r"test images correct: (\d+) of 500", printed)
    assert found is not None
    assert int(found[1]) >= int(logged[1]) - 5
