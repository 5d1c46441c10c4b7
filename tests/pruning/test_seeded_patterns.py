"""Masks of every pattern from a seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.pattern_options import PATTERN_OPTIONS
from accelsim.config.patterns import TileWisePattern
from accelsim.pruning.patterns import check_mask, prune, tile_part
from accelsim.pruning.seeded_patterns import seeded_pattern_mask

kinds = st.sampled_from(list(PATTERN_OPTIONS))


def small(kind: str, n: int) -> dict[str, object]:
    """Options with which tiles fit n columns."""
    return {"granularity": min(n, 8)} if "granularity" in PATTERN_OPTIONS[kind].model_fields else {}


@settings(deadline=None, max_examples=60)
@given(kinds, st.integers(1, 80), st.integers(1, 80), st.integers(0, 99))
def test_they_are_of_their_pattern_and_the_seed_alone(kind: str, k: int, n: int, seed: int) -> None:
    pattern = PATTERN_OPTIONS[kind](**small(kind, n)).pattern
    mask = seeded_pattern_mask(k, n, pattern, seed)
    check_mask(pattern, mask.to_dense(), tiles=tile_part(mask))
    assert type(mask) is type(prune({"w": np.ones((k, n))}, pattern)["w"])
    again = seeded_pattern_mask(k, n, pattern, seed)
    assert np.array_equal(mask.to_dense(), again.to_dense())
    assert mask.kept == np.count_nonzero(mask.to_dense())


@pytest.mark.parametrize("kind", list(PATTERN_OPTIONS))
@pytest.mark.parametrize("sparsity", [0.5, 0.75, 0.875])
def test_they_prune_what_is_asked(kind: str, sparsity: float) -> None:
    asked = {} if kind == "n_m" else {"sparsity": sparsity}
    pattern = PATTERN_OPTIONS[kind](**asked).pattern
    mask = seeded_pattern_mask(512, 640, pattern, (1, 2))
    assert mask.sparsity == pytest.approx(pattern.total_sparsity, abs=0.01)


def test_tiles_of_one_stage_keep_every_column() -> None:
    mask = seeded_pattern_mask(64, 96, TileWisePattern(granularity=32, stages=1, sparsity=0.75), 0)
    assert mask.to_dense().any(axis=0).all()
    assert np.array_equal(mask.to_dense().sum(axis=0), np.full(96, 16))


def test_rows_of_tiles_are_spread_if_asked() -> None:
    pattern = TileWisePattern(granularity=16)
    even, uneven = (seeded_pattern_mask(128, 256, pattern, 0, spread) for spread in (0.0, 1.0))
    assert even.kept == uneven.kept
    assert len({len(rows) for rows in even.rows}) == 1  # type: ignore[union-attr]
    assert len({len(rows) for rows in uneven.rows}) > 1  # type: ignore[union-attr]
