"""Attention by blocks: against the pipeline's own HDP, against brute force, and controls that keep what they should."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.loader import load_config, load_library
from accelsim.config.options import Hdp
from accelsim.config.workload import TextWorkload
from accelsim.execution import execute, parameters_of
from accelsim.explore.accuracy import StudyModel, load_model, run_model
from accelsim.explore.accuracy.blocks import HdpMethod, MassBlocks, OracleBlocks, RandomBlocks, block_sums
from accelsim.explore.accuracy.forward import some_inputs
from accelsim.explore.accuracy.solve import head_thresholds
from accelsim.kernels.hdp_counts import block_count
from accelsim.mapping.network import plan_network
from accelsim.model.build import build_network
from accelsim.model.operands import prepare_operands
from tests.explore.accuracy.calls import EXACT, EXCLUDED, call_of


def test_hdp_is_what_the_pipeline_runs(digits: StudyModel) -> None:
    sets = ["workload.images=20", f"hdp.tau_h={list(head_thresholds(digits, digits.hdp, 0.25))}"]
    config = load_config("edge_hdp", "digits_vit_16", scheme="hdp", sets=sets)
    network = build_network(config.workload)
    operands = prepare_operands(network, config)
    plan = plan_network(network, config, load_library(config.hardware.gpu.library), parameters_of(operands))
    done = execute(plan, config, operands)
    model = load_model("digits_vit_16", sets, hardware="edge_hdp")
    found = run_model(model, HdpMethod(model.hdp))
    assert done.output is not None
    np.testing.assert_array_equal(found.output, done.output)
    alive = np.stack([masks.head_kept.reshape(20, 4) for masks in done.heads.values()])
    np.testing.assert_array_equal(found.head_kept, alive)
    assert 0 < found.heads_pruned < 1
    blocks = np.mean([masks.block_kept.mean() for masks in done.heads.values()])
    assert found.pairs_pruned == pytest.approx(1 - blocks)


def test_all_blocks_give_dense_attention(digits: StudyModel) -> None:
    dense = run_model(digits)
    whole = run_model(digits, RandomBlocks(EXACT, 0.0, seed=0))
    assert dense.pairs_pruned == whole.pairs_pruned == 0
    np.testing.assert_allclose(whole.output, dense.output, atol=0.1)
    np.testing.assert_array_equal(whole.output.argmax(1), dense.output.argmax(1))


def test_some_inputs_come_out_as_among_all(digits: StudyModel) -> None:
    method = HdpMethod(digits.hdp)
    whole, some = run_model(digits, method), run_model(some_inputs(digits, [7, 2]), method)
    np.testing.assert_allclose(some.output, whole.output[[7, 2]], atol=0.02)
    np.testing.assert_array_equal(some.head_kept, whole.head_kept[:, [7, 2]])


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9), st.integers(0, 2**16))
def test_block_sums_add_up_ragged_blocks(n: int, seed: int) -> None:
    elements = np.random.default_rng(seed).integers(-9, 9, (2, n, n)).astype(np.float32)
    sums = block_sums(elements)
    for head in range(2):
        for row in range(block_count(n)):
            for column in range(block_count(n)):
                part = elements[head, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                assert sums[head, row, column] == part.sum()


@settings(deadline=None, max_examples=15)
@given(st.integers(2, 9), st.sampled_from([0.0, 0.3, 0.5, 0.9]), st.integers(0, 99))
def test_oracles_keep_the_blocks_of_most_merit(n: int, ratio: float, seed: int) -> None:
    call = call_of(n, seed=seed)
    nb = block_count(n)
    keep = max(1, int(np.ceil(round((1 - ratio) * nb, 9))))
    scores = np.einsum("hic,hjc->hij", call.query, call.key, dtype=np.float64) / 2
    weights = np.exp(scores)
    weights /= weights.sum(axis=2, keepdims=True)
    for method, exact in ((OracleBlocks(EXCLUDED, ratio), scores), (MassBlocks(EXCLUDED, ratio), weights)):
        ((_, merit),) = method.merits(call)
        for head in range(len(scores)):
            for row in range(nb):
                of_blocks = [exact[head, 2 * row : 2 * row + 2, 2 * b : 2 * b + 2].sum() for b in range(nb)]
                np.testing.assert_allclose(merit[head, row], of_blocks, rtol=1e-4, atol=1e-5)
        attended = method.attend(call)
        largest = [2 * keep * n, 2 * keep * n - n]  # the last column of an odd n holds one key
        assert (attended.kept_pairs <= largest[0]).all()
        assert (attended.kept_pairs >= largest[n % 2]).all()


def test_an_oracle_attends_to_nothing_but_what_it_keeps() -> None:
    call = call_of(4, heads=1, inputs=1)
    scores = call.query[0] @ call.key[0].T / 2
    kept = [int(np.argmax(block_sums(scores[None])[0, row])) for row in range(2)]
    expected = np.zeros((4, 4))
    for query in range(4):
        keys = slice(2 * kept[query // 2], 2 * kept[query // 2] + 2)
        weights = np.exp(scores[query, keys])
        expected[query] = weights @ call.value[0, keys] / weights.sum()
    found = OracleBlocks(EXACT, 0.5).attend(call)
    np.testing.assert_allclose(found.output[0], expected, atol=2e-3)
    assert found.kept_pairs.tolist() == [8]


def test_random_blocks_follow_the_seed_and_differ_by_layer() -> None:
    call = call_of(16)
    one, again = (RandomBlocks(EXCLUDED, 0.5, seed=3).attend(call).output for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, RandomBlocks(EXCLUDED, 0.5, seed=4).attend(call).output)
    assert not np.array_equal(one, RandomBlocks(EXCLUDED, 0.5, seed=3).attend(replace(call, layer=1)).output)


def test_padding_is_neither_pruned_nor_counted_as_real(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    data = tmp_path / "texts.npz"
    np.savez(data, test_tokens=draw.integers(0, 40, (6, 8)), test_lengths=[8, 3, 5, 3, 8, 1])

    def model(sequence: int) -> StudyModel:
        spec = {"layers": 2, "hidden": 16, "heads": 2, "ffn": 32, "vocabulary": 40, "positions": 12, "pooling": "mean"}
        return load_model(TextWorkload(kind="text", sequence=sequence, data=str(data), **spec))  # type: ignore[arg-type]

    method = HdpMethod(Hdp(scale=4, integer_bits=6, fraction_bits=10, rho_b=0.2))
    short, long = run_model(model(8), method), run_model(model(12), method)
    np.testing.assert_allclose(short.output, long.output, atol=1e-2)
    assert short.real_pairs[0].tolist() == [64, 9, 25, 9, 64, 1]
    assert short.pairs_pruned == pytest.approx(long.pairs_pruned)
    assert short.pairs_pruned < short.pairs_pruned_padded < long.pairs_pruned_padded
    whole = run_model(model(12), RandomBlocks(EXCLUDED, 0.0, seed=0))
    np.testing.assert_allclose(whole.output, run_model(model(12)).output, atol=0.05)
    assert whole.pairs_pruned == 0
