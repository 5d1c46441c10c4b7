"""Masks that are drawn when values are off: named by the seed, and each layer's own."""

import numpy as np

import accelsim


def test_layers_and_seeds_draw_masks_of_their_own() -> None:
    sets = ["workload.sequence=32", "tile_wise.granularity=64", "hdp.block_ratio=0.5", "hdp.head_ratio=0"]
    first, again, other = (
        accelsim.run("a100_hdp", "bert_tiny", scheme="tile_wise+hdp", values=False, seed=seed, sets=sets).masks
        for seed in (0, 0, 1)
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    for name in ("attention.blocks", "query.weight"):
        one, two = first[f"layers.0.{name}"], first[f"layers.1.{name}"]
        assert one.shape == two.shape
        assert not np.array_equal(one, two)
    # No layer of one seed is another layer of the next seed.
    assert not np.array_equal(first["layers.0.key.weight"], other["layers.0.query.weight"])
