"""Mean keys: measured, written, read back, refused."""

from pathlib import Path

import numpy as np
import pytest

from accelsim.config.options import Hdp
from accelsim.errors import OperandError
from accelsim.model.key_means import key_means_of, mean_keys, write_key_means


def keys(inputs: int = 3, heads: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(inputs * heads, 5, 4)).astype(np.float32)


def test_means_are_over_inputs_and_tokens_of_each_head() -> None:
    found = mean_keys(keys(), 2)
    for head in range(2):
        np.testing.assert_allclose(found[head], keys()[head::2].reshape(-1, 4).mean(axis=0), atol=1e-6)


def test_padding_is_left_out_of_means() -> None:
    lengths = np.array([5, 5, 2, 2, 3, 3])
    tokens = [keys()[row, : lengths[row]] for row in range(1, 6, 2)]
    np.testing.assert_allclose(mean_keys(keys(), 2, lengths)[1], np.concatenate(tokens).mean(axis=0), atol=1e-6)


def test_written_means_serve_every_input(tmp_path: Path) -> None:
    path = tmp_path / "means.npz"
    write_key_means(path, {"one": mean_keys(keys(), 2), "two": np.zeros((2, 4))})
    options = Hdp(center_keys="static", key_means=str(path))
    got = key_means_of(options, keys(), 2, 0, "one")
    assert got is not None
    np.testing.assert_array_equal(got, np.tile(mean_keys(keys(), 2), (3, 1)))
    by_index = key_means_of(options, keys(), 2, 1)
    assert by_index is not None
    assert not by_index.any()
    with pytest.raises(OperandError, match="no array three; found one, two"):
        key_means_of(options, keys(), 2, 0, "three")
    with pytest.raises(OperandError, match=r"here \[3, 4\]; found shape \[2, 4\]"):
        key_means_of(options, keys(2, 3), 3, 0, "one")
    with pytest.raises(OperandError, match="no such file"):
        key_means_of(Hdp(center_keys="static", key_means=str(tmp_path / "none.npz")), keys(), 2, 0)


def test_first_input_is_measured_and_others_need_none() -> None:
    got = key_means_of(Hdp(center_keys="first_input"), keys(), 2, 0)
    assert got is not None
    np.testing.assert_array_equal(got, np.tile(mean_keys(keys()[:2], 2), (3, 1)))
    assert key_means_of(Hdp(center_keys="dynamic"), keys(), 2, 0) is None
    assert key_means_of(Hdp(), keys(), 2, 0) is None
