import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.config.workload import TextWorkload
from accelsim.errors import ConfigError, OperandError
from accelsim.model.build import build_network
from accelsim.model.elementwise import embed_tokens, mean_tokens, normalise, real_tokens
from accelsim.model.graph import Attention, Elementwise
from accelsim.model.reference import reference_outputs
from accelsim.model.text_data import read_texts
from tests.model.forward import prepare

SIZES = {"layers": 1, "sequence": 6, "hidden": 16, "heads": 2, "ffn": 24, "vocabulary": 13, "dtype": "fp32"}

ONE = np.asarray([[0, 1]])
"""One pair of texts."""


def text(**changes):
    return TextWorkload(kind="text", name="t", **(SIZES | changes))


def save(path, **arrays):
    tokens = np.asarray([[1, 2, 3, 4], [5, 6, 0, 0], [7, 8, 9, 0]])
    stored = {"tokens": tokens, "lengths": np.asarray([4, 2, 3])} | arrays
    np.savez(path / "d.npz", **{f"test_{name}": array for name, array in stored.items() if array is not None})
    return str(path / "d.npz")


def run(workload, **options):
    return accelsim.run("edge_hdp", workload, engine="estimate", **options)


@pytest.mark.parametrize("pooling", ["none", "cls", "mean", "pooler"])
def test_run_agrees_with_float64(tmp_path, pooling):
    data = save(tmp_path, types=np.asarray([[0, 1, 1, 1], [0, 1, 0, 0], [0, 0, 1, 0]]))
    classes = None if pooling == "none" else 3
    workload = text(pooling=pooling, classes=classes, normalise=pooling == "mean", data=data)
    result = run(workload)
    assert result.output.shape == ((9, 16) if pooling == "none" else (3, 3))
    assert result.summary["max_rel_error"] < 1e-5


def test_embeddings_are_gathered_from_memory():
    network = build_network(text(batch=2, token_types=2, positions=9))
    embedding = network.operations[0]
    assert isinstance(embedding, Elementwise)
    rows, hidden = 12, 16
    assert embedding.cold_bytes == rows * hidden * 4
    assert embedding.bytes_read == (rows + rows * hidden + (6 + 1) * hidden) * 4
    assert network.parameters["embedding.position"] == (9, hidden)
    kernels = run(text(batch=2)).kernels
    assert (kernels.loc[kernels["part"] == "elementwise", "duration_us"] > 0).all()
    assert "embedding" in set(kernels["name"])


def test_looked_up_rows_come_from_memory_and_not_from_l2():
    big = text(batch=64, sequence=64, hidden=64, ffn=64)
    kernels = run(big, values=False).kernels.set_index("name")
    looked_up = 64 * 64 * 64 * 4
    assert kernels.loc["embedding", "dram_read_bytes"] >= looked_up
    assert kernels.loc["embedding_norm", "dram_read_bytes"] < looked_up


def test_padding_is_hidden_and_real_ratios_are_told(tmp_path):
    data = save(tmp_path)
    network = build_network(text(data=data))
    attention = next(operation for operation in network.operations if isinstance(operation, Attention))
    assert attention.lengths == (4, 2, 3)
    everything = ("hdp.selection=top_k", "hdp.top_k_ratio=0.0", "hdp.tau_h=0")
    summary = run(text(data=data), scheme="hdp", sets=everything).summary
    assert summary["block_ratio"] == 0  # nothing of real tokens is pruned
    real, whole = 2 * (2**2 + 1 + 2**2), 2 * 3 * 3**2
    assert summary["padded_block_ratio"] == pytest.approx(1 - real / whole)


def test_ratios_without_values_are_of_real_blocks(tmp_path):
    tokens = np.ones((3, 40), int)
    data = save(tmp_path, tokens=tokens, lengths=np.asarray([40, 20, 30]))
    sets = ("hdp.block_ratio=0.5", "hdp.head_ratio=0")
    summary = run(text(sequence=40, data=data), scheme="hdp", values=False, sets=sets).summary
    assert summary["block_ratio"] == pytest.approx(0.5, abs=0.01)
    assert summary["padded_block_ratio"] > 0.6


@pytest.mark.parametrize("attention", ["unfused", "fused"])
def test_what_padding_holds_changes_nothing(tmp_path, attention):
    outputs = []
    for filler in (0, 11):
        tokens = np.asarray([[1, 2, 3, 4], [5, 6, filler, filler], [7, 8, 9, filler]])
        workload = text(hidden=32, pooling="mean", dtype="fp16", data=save(tmp_path, tokens=tokens))
        outputs.append(accelsim.run("a100_hdp", workload, sets=(f"mapping.attention={attention}",)).output)
    np.testing.assert_array_equal(*outputs)


def test_labels_and_scores_are_judged(tmp_path):
    labelled = text(pooling="cls", classes=2, data=save(tmp_path, labels=np.asarray([0, 1, 1])), metric="f1")
    summary = run(labelled).summary
    assert summary["metric_name"] == "f1"
    assert summary["accuracy"] is not None
    pairs = {"tokens": np.arange(12).reshape(6, 2), "lengths": np.full(6, 2), "scores": np.asarray([1.0, 3.0, 2.0])}
    summary = run(text(pooling="mean", data=save(tmp_path, **pairs))).summary
    assert summary["metric_name"] == "spearman"
    assert -1 <= summary["metric"] <= 1


def test_named_pairs_are_judged_like_texts_side_by_side(tmp_path):
    """Texts that recur are run once, and give what their copies give."""
    tokens = np.asarray([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 2]])
    pairs, scores = np.asarray([[0, 1], [0, 2], [3, 1], [2, 3]]), np.asarray([0.3, 0.9, 0.4, 0.1])
    workload = text(
        pooling="mean", data=save(tmp_path, tokens=tokens, lengths=np.full(4, 3), pairs=pairs, scores=scores)
    )
    named = run(workload)
    beside = save(tmp_path, tokens=tokens[pairs.reshape(-1)], lengths=np.full(8, 3), scores=scores)
    assert named.summary["metric"] == run(text(pooling="mean", data=beside)).summary["metric"]
    found = read_texts(
        text(
            pooling="mean",
            items=3,
            data=save(tmp_path, tokens=tokens, lengths=np.full(4, 3), pairs=pairs, scores=scores),
        )
    )
    np.testing.assert_array_equal(found.pairs, pairs[:2])
    np.testing.assert_array_equal(found.scores, scores[:2])


def test_agreement_with_dense_needs_no_labels():
    compared = accelsim.compare(
        "edge_hdp", text(batch=5, pooling="cls", classes=3), schemes=("dense", "hdp"), engine="estimate"
    )
    dense, hdp = compared.to_frame().to_dict("records")[:2]
    assert (dense["cosine_to_dense"], dense["rank_to_dense"], dense["top1_to_dense"]) == pytest.approx((1, 1, 1))
    assert hdp["cosine_to_dense"] < 1


@pytest.mark.parametrize(
    ("changes", "arrays", "message"),
    [
        ({}, {"lengths": None}, "no array test_lengths; splits in the file: test"),
        ({"split": "train"}, {}, "no array train_tokens; splits in the file: test"),
        ({}, {"tokens": np.ones((0, 4), int), "lengths": np.ones(0, int)}, "neither empty"),
        ({}, {"lengths": np.asarray([4, 0, 3])}, r"test_lengths\[1\] is 0; allowed: 1 to 4"),
        ({"sequence": 3}, {}, r"test_lengths\[0\] is 4; allowed: 1 to 3 .workload.sequence"),
        ({"vocabulary": 9}, {}, r"test_tokens\[2, 2\] is 9; allowed: 0 to 8 .vocabulary"),
        ({}, {"tokens": np.full((3, 4), 0.5)}, "test_tokens must hold whole numbers"),
        ({}, {"types": np.ones((2, 4), int)}, "test_types has shape .2, 4., the texts need .3, 4."),
        ({"classes": 2}, {"labels": np.asarray([0, 2, 1])}, r"test_labels\[1\] is 2; allowed: 0 to 1"),
        ({"metric": "accuracy"}, {}, "no array test_labels, which metric accuracy needs"),
        ({"metric": "spearman"}, {}, "no array test_scores, which metric spearman needs"),
        ({}, {"labels": np.zeros(3, int)}, "test_labels needs a classifier"),
        ({}, {"scores": np.zeros(1)}, "scored in pairs, and 3 is odd"),
        ({"items": 2}, {"scores": np.asarray([np.nan])}, r"test_scores has shape|test_scores\[0\] is not finite"),
        (
            {"items": 2},
            {"scores": np.ones(1), "pairs": ONE},
            "there is 1, and a correlation of ranks needs at least two",
        ),
        (
            {},
            {"scores": np.ones(2), "pairs": np.asarray([[0, 1], [0, 2]])},
            "all 2 are equal, and a correlation of ranks",
        ),
        ({"items": 1}, {"scores": np.ones(1), "pairs": ONE}, "of 1 texts: there is none"),
        (
            {},
            {"scores": np.ones(1), "pairs": ONE + 2},
            r"test_pairs\[0, 1\] is 3; allowed: 0 to 2 .texts of split test",
        ),
        ({}, {"scores": np.ones(2), "pairs": ONE}, r"test_pairs has shape \[1, 2\], the texts need \[2, 2\]"),
        ({}, {"scores": np.ones(1), "pairs": ONE + 0.5}, "test_pairs must hold whole numbers"),
        ({}, {"pairs": ONE}, "test_pairs needs test_scores"),
        ({"classes": 1}, {"scores": np.ones(3), "pairs": ONE}, "test_pairs compares vectors of texts"),
        ({"items": 4}, {}, "has 3 texts, workload.items asks for 4"),
    ],
)
def test_data_that_does_not_fit_is_named(tmp_path, changes, arrays, message):
    pooled = {"pooling": "cls"} | changes
    with pytest.raises(OperandError, match=message):
        read_texts(text(data=save(tmp_path, **arrays), **pooled))


def test_batch_of_a_file_is_its_own(tmp_path):
    with pytest.raises(ConfigError, match="takes its 3 texts as one batch"):
        build_network(text(batch=2, data=save(tmp_path)))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**31))
def test_functions_on_tokens_agree_with_plain_loops(items, sequence, seed):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((items * sequence, 3)).astype(np.float32)
    lengths = generator.integers(1, sequence + 1, (items, 1))
    means, kept = mean_tokens(x, sequence, lengths), real_tokens(x, sequence, lengths)
    rows = [x[item * sequence : item * sequence + lengths[item, 0]] for item in range(items)]
    np.testing.assert_allclose(means, [each.mean(axis=0) for each in rows], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(kept, np.vstack(rows))
    np.testing.assert_allclose(np.linalg.norm(normalise(x), axis=1), 1, rtol=1e-5)
    word, position, kind = (generator.standard_normal((size, 3)).astype(np.float32) for size in (7, sequence + 1, 2))
    tokens, types = (generator.integers(0, size, (items * sequence, 1)) for size in (7, 2))
    found = embed_tokens(tokens, sequence, word, position, kind, types)
    plain = [
        word[t] + kind[k] + position[i % sequence]
        for i, (t, k) in enumerate(zip(tokens[:, 0], types[:, 0], strict=True))
    ]
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)


def test_every_step_agrees_with_the_reference(tmp_path):
    """Layer by layer, so that an error that pooling hides is seen."""
    workload = text(data=save(tmp_path), pooling="none", activation="gelu_tanh")
    network = build_network(workload)
    operands = prepare(workload, network)
    exact = reference_outputs(network, operands.inputs, operands.parameters)
    np.testing.assert_allclose(run(workload).output, exact["real_tokens"], rtol=1e-4, atol=1e-5)
