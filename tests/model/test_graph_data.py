"""Networks that are listed operation by operation, on data: sizes follow the items, and what does not fit is named."""

import numpy as np
import pytest

import accelsim
from accelsim.config.graph_workload import GraphWorkload
from accelsim.errors import ConfigError, OperandError
from accelsim.model.build import build_network
from accelsim.model.graph import Attention
from accelsim.model.graph_data import load_graph
from accelsim.model.graph_model import network_of
from accelsim.model.subset import take_items

ITEMS, TOKENS, HIDDEN, WORDS = 5, 4, 8, 10


def document(**changes):
    """A text classifier of one attention."""
    roles = ("query", "key", "value")
    steps = [{"op": "lookup", "name": "words", "inputs": ["ids"], "size": WORDS, "columns": HIDDEN}]
    steps += [{"op": "linear", "name": role, "inputs": ["words"], "outputs": HIDDEN} for role in roles]
    steps += [
        {"op": "attention", "name": "attention", "inputs": list(roles), "heads": 2, "padded": True},
        {"op": "mean_tokens", "name": "mean", "inputs": ["attention"], "sequence": TOKENS, "padded": True},
        {"op": "linear", "name": "classifier", "inputs": ["mean"], "outputs": 3},
    ]
    inputs = {"ids": {"rows": TOKENS, "columns": 1, "integers_below": WORDS}}
    return {"kind": "graph", "dtype": "fp32", "inputs": inputs, "mask": "mask", "steps": steps} | changes


def arrays(**changes):
    generator = np.random.default_rng(0)
    lengths = np.asarray([4, 3, 2, 1, 4])
    found = {
        "ids": generator.integers(0, WORDS, (ITEMS, TOKENS)),
        "mask": (np.arange(TOKENS) < lengths[:, None]).astype(np.int64),
        "labels": np.asarray([0, 1, 2, 0, 1]),
    }
    return {name: array for name, array in (found | changes).items() if array is not None}


def loaded(folder, split="test", metric=None, named=False, **changes):
    stored = arrays(**changes)
    np.savez(folder / "d.npz", **({f"{split}_{name}": array for name, array in stored.items()} if named else stored))
    asked = {"data": str(folder / "d.npz"), "split": split} | ({} if metric is None else {"metric": metric})
    workload = GraphWorkload.model_validate(document(**asked))
    network = build_network(workload)
    return network, load_graph(workload, network, 0)


def test_padding_changes_no_output(tmp_path):
    np.savez(tmp_path / "d.npz", **arrays())
    workload = GraphWorkload.model_validate(document(data=str(tmp_path / "d.npz")))
    output = accelsim.run("edge_hdp", workload, engine="estimate").output
    assert output.shape == (ITEMS, 3)
    other = arrays()
    other["ids"] = np.where(other["mask"] == 1, other["ids"], WORDS - 1 - other["ids"])
    np.savez(tmp_path / "d.npz", **other)
    np.testing.assert_array_equal(accelsim.run("edge_hdp", workload, engine="estimate").output, output)


def test_one_item_alone_gives_what_it_gives_among_others(tmp_path):
    np.savez(tmp_path / "d.npz", **{f"test_{name}": array for name, array in arrays().items()})
    workload = GraphWorkload.model_validate(document(data=str(tmp_path / "d.npz")))
    together = accelsim.run("edge_hdp", workload, engine="estimate").output
    first = accelsim.run("edge_hdp", workload, engine="estimate", sets=("workload.items=1",)).output
    np.testing.assert_allclose(first, together[:1], rtol=1e-5)


def test_lengths_come_from_the_mask_and_none_without_padding(tmp_path):
    network, operands = loaded(tmp_path)
    (attention,) = (one for one in network.operations if isinstance(one, Attention))
    assert attention.lengths == (4, 3, 2, 1, 4)
    assert operands.labels.tolist() == [0, 1, 2, 0, 1]
    network, _ = loaded(tmp_path, mask=np.ones((ITEMS, TOKENS), np.int64))
    (attention,) = (one for one in network.operations if isinstance(one, Attention))
    assert attention.lengths is None
    network, _ = loaded(tmp_path, mask=None)
    assert network.items == ITEMS


def test_outputs_of_tokens_leave_padding_out(tmp_path):
    np.savez(tmp_path / "d.npz", **arrays(labels=None))
    steps = document()["steps"][:5]
    workload = GraphWorkload.model_validate(document(steps=steps, data=str(tmp_path / "d.npz")))
    assert accelsim.run("edge_hdp", workload, engine="estimate").output.shape == (14, HIDDEN)


WRONG = {
    "missing input": ({"ids": None}, r"no array test_ids; splits in the file: none"),
    "shape": ({"ids": np.zeros((ITEMS, 3), np.int64)}, r"ids has items of shape \[3\], needed are 4 rows of 1"),
    "kind": ({"ids": np.zeros((ITEMS, TOKENS))}, r"ids must hold whole numbers, not float64"),
    "number": ({"ids": np.full((ITEMS, TOKENS), 10)}, r"ids\[0, 0\] is 10; allowed: whole numbers from 0 to 9"),
    "hole": ({"mask": np.asarray([[1, 1, 1, 1]] * 3 + [[1, 0, 1, 0]] * 2)}, r"mask: row 3 must have its real tokens"),
    "nothing real": ({"mask": np.zeros((ITEMS, TOKENS), np.int64)}, r"mask: row 0 must have its real tokens first"),
    "mask values": ({"mask": np.full((ITEMS, TOKENS), 2)}, r"mask must be \[items, tokens\] of 0 \(padding\)"),
    "mask width": ({"mask": np.ones((ITEMS, 3), np.int64)}, r"mask has 3 columns, and items 4 tokens"),
    "labels": ({"labels": np.asarray([0, 1, 3, 0, 1])}, r"labels\[2\] is 3; allowed: whole numbers from 0 to 2"),
    "kind of labels": ({"labels": np.zeros(ITEMS)}, r"labels must be \[items\] whole numbers, found \[5\] of float64"),
    "count": ({"labels": np.zeros(3, np.int64)}, r"labels has 3 items, and ids 5"),
    "empty": ({"ids": np.zeros((0, TOKENS), np.int64)}, r"array ids has no items, so split test is empty"),
    "scores": ({"labels": None, "scores": np.zeros(ITEMS)}, r"scores need one output for each item; graph puts out 3"),
    "not finite": ({"labels": None, "scores": np.full(ITEMS, np.nan)}, r"scores must be \[items\] finite numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_data_that_do_not_fit_are_named(tmp_path, case):
    changes, message = WRONG[case]
    with pytest.raises(OperandError, match=message):
        loaded(tmp_path, **changes)


def test_missing_splits_and_answers_are_named(tmp_path):
    with pytest.raises(OperandError, match=r"no array calibration_ids; splits in the file: test \(workload.split\)"):
        loaded(tmp_path, split="calibration")
    with pytest.raises(OperandError, match="no array test_labels, which metric accuracy needs"):
        loaded(tmp_path, metric="accuracy", labels=None)
    loaded(tmp_path, split="calibration", named=True)
    asked = document(data=str(tmp_path / "d.npz"), split="calibration", items=6)
    with pytest.raises(OperandError, match=r"split calibration has 5 items, workload\.items asks for 6"):
        build_network(GraphWorkload.model_validate(asked))


def test_labels_need_a_row_of_classes_for_each_item(tmp_path):
    np.savez(tmp_path / "d.npz", **arrays())
    workload = GraphWorkload.model_validate(document(steps=document()["steps"][:5], data=str(tmp_path / "d.npz")))
    with pytest.raises(OperandError, match=r"labels need one row of outputs for each item; graph puts out 20 rows"):
        load_graph(workload, build_network(workload), 0)


def test_images_are_cut_into_patches_channel_by_channel(tmp_path):
    generator = np.random.default_rng(0)
    images = generator.standard_normal((2, 3, 4, 6)).astype(np.float32)
    np.savez(tmp_path / "d.npz", pixels=images)
    pixels = {"rows": 6, "columns": 12, "image": [3, 4, 6], "patch": 2}
    steps = [{"op": "linear", "name": "y", "inputs": ["pixels"], "outputs": 4}]
    spec = {"kind": "graph", "dtype": "fp32", "inputs": {"pixels": pixels}, "steps": steps}
    workload = GraphWorkload.model_validate(spec | {"data": str(tmp_path / "d.npz")})
    operands = load_graph(workload, build_network(workload), 0)
    assert operands.inputs["pixels"].shape == (12, 12)
    np.testing.assert_array_equal(operands.inputs["pixels"][6 + 4], images[1, :, 2:4, 2:4].reshape(-1))
    np.savez(tmp_path / "d.npz", pixels=images.transpose(0, 2, 3, 1))
    with pytest.raises(
        OperandError, match=r"pixels must be \[items, 3, 4, 6\] \(channels first\), found \[2, 4, 6, 3\]"
    ):
        build_network(workload)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": None}, "step attention is padded, which needs mask"),
        ({"mask": "ids"}, "mask and an input are both named ids"),
        ({"inputs": {"ids": {"rows": 2, "columns": 12, "image": [3, 4, 4]}}}, "image and patch belong together"),
        ({"inputs": {"ids": {"rows": 2, "columns": 12, "image": [3, 4, 4], "patch": 2}}}, "does not make 2 rows of 12"),
    ],
)
def test_specs_that_contradict_themselves_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        GraphWorkload.model_validate(document(**changes))


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (1, {"inputs": ["nothing"]}, r"workload.steps.1 \(linear query\): reads nothing, which is no input"),
        (4, {"heads": 3}, r"needs Q, K and V of one shape"),
        (4, {"batch": 2}, r"attention\): is padded, which needs batch 1"),
        (5, {"sequence": 3}, r"20 rows are no whole number of sequences of 3"),
        (5, {"sequence": 2}, r"is padded, which needs one sequence for each item; found 2"),
        (5, {"op": "columns", "first": 6, "last": 12}, r"takes columns 6 to 12 of 8"),
    ],
)
def test_steps_that_do_not_go_together_are_named(tmp_path, index, change, message):
    np.savez(tmp_path / "d.npz", **arrays())
    steps = document()["steps"]
    steps[index] |= change
    if change.get("op") == "columns":
        del steps[index]["sequence"], steps[index]["padded"]
    with pytest.raises(ConfigError, match=message):
        build_network(GraphWorkload.model_validate(document(steps=steps, data=str(tmp_path / "d.npz"))))


def test_one_of_many_items_is_the_network_of_one():
    x, wide = {"rows": 6, "columns": 12, "image": [3, 4, 6], "patch": 2}, 3 * HIDDEN
    steps = [
        {"op": "linear", "name": "embed", "inputs": ["x"], "outputs": HIDDEN},
        {"op": "position", "name": "tokens", "inputs": ["embed"], "sequence": 7, "class_token": True},
        {"op": "norm", "name": "norm", "inputs": ["tokens"]},
        {"op": "linear", "name": "qkv", "inputs": ["norm"], "outputs": wide},
        *(
            {"op": "columns", "name": role, "inputs": ["qkv"], "first": at * HIDDEN, "last": (at + 1) * HIDDEN}
            for at, role in enumerate(("query", "key", "value"))
        ),
        {"op": "gelu", "name": "bent", "inputs": ["value"]},
        {"op": "attention", "name": "attention", "inputs": ["query", "key", "bent"], "heads": 2},
        {"op": "add", "name": "sum", "inputs": ["attention", "tokens"]},
        {"op": "first_token", "name": "first", "inputs": ["sum"], "sequence": 7},
        {"op": "norm", "name": "last_norm", "inputs": ["first"]},
        {"op": "normalise", "name": "unit", "inputs": ["last_norm"]},
    ]
    workload = GraphWorkload.model_validate({"kind": "graph", "inputs": {"x": x}, "steps": steps})
    assert take_items(network_of(workload, 4, None), [2]) == network_of(workload, 1, None)
