"""SpAtten's published behavioural simulator: its reference points, and each of its terms."""

import numpy as np
import pytest

from accelsim.errors import MappingError
from accelsim.machine.attention.spatten_behavioural import (
    BehaviouralHead,
    BehaviouralMachine,
    behavioural_cycles,
    drawn_passes,
    expected_passes,
    layer_cycles,
)

HEAD = BehaviouralHead(queries=128, fetched=128)


def test_the_published_reference_points():
    assert behavioural_cycles(queries=128, fetched=128) == 300_948
    assert behavioural_cycles(queries=384, fetched=96) == 668_388


def test_the_terms_of_a_layer():
    terms = layer_cycles([HEAD] * 12)
    # 16 batches of 8 keys: 8 KiB are 256 bursts, 16 on each channel, for K and for V.
    assert (terms.dram, terms.fill, terms.drain, terms.top_k) == (12 * 2 * 16, 12 * 128 * 16, 119, 0)
    assert terms.total == terms.dram + terms.fill + terms.drain
    assert terms.bursts == 12 * 2 * 256


@pytest.mark.parametrize(("bits", "counted"), [(4, 4), (6, 8), (7, 7), (8, 8), (9, 8), (12, 8)])
def test_widths_of_six_and_above_eight_count_as_eight(bits, counted):
    # 128 keys of 64 numbers: 128 x 64 x bits / 8 / 32 bursts on 16 channels.
    assert layer_cycles([BehaviouralHead(128, 128, key_bits=bits)]).dram == 2 * counted + 16


def test_each_head_rounds_its_batches_and_channels_for_itself():
    machine = BehaviouralMachine(multipliers=512, channels=16)
    # 9 keys make 2 batches of 8, all of which are fetched: 32 bursts, 2 on each channel, twice.
    terms = layer_cycles([BehaviouralHead(5, 9), BehaviouralHead(5, 9)], machine)
    assert (terms.dram, terms.fill, terms.drain) == (2 * 4, 2 * 5 * 2, 103 + 2)
    # Rows of 100 numbers: 5 keys a cycle, 15 keys of 100 B are 46 bursts and a rest that is not counted.
    assert layer_cycles([BehaviouralHead(5, 11, head_dim=100)], machine).dram == 2 * 3


def test_the_last_head_drains():
    short, long = BehaviouralHead(10, 8), BehaviouralHead(10, 80)
    assert layer_cycles([long, short]).drain == 104
    assert layer_cycles([short, long]).drain == 113


def test_no_heads_take_no_time():
    assert layer_cycles([]).total == 0


@pytest.mark.parametrize(
    ("length", "top_k", "cycles"),
    [
        (384, 96, {0: 199, 2: 246, 3: 255, 4: 178, 5: 191, 6: 219, 8: 376, 9: 260, 11: 188}),
        (128, 64, {1: 82, 3: 84}),
    ],
)
def test_searches_take_what_the_compiled_program_takes(length, top_k, cycles):
    """Read off a build of the published search with GCC 12, for seeds that draw no pivot past the end."""
    batch, rest = -(-length // 8), -(-top_k // 8)
    assert {seed: batch + drawn_passes(length, top_k, 4, seed) + rest for seed in cycles} == cycles


def test_heads_that_ask_for_top_k_are_numbered_by_themselves_and_from_anew_in_each_layer():
    searching = BehaviouralHead(384, 384, top_k=96)
    plain = BehaviouralHead(384, 384)
    # The heads with seeds 0 and 1; one between them that does not search takes no seed.
    assert layer_cycles([searching, plain, searching]).top_k == layer_cycles([searching, searching]).top_k
    assert layer_cycles([searching]).top_k == 199
    assert behavioural_cycles(layers=3, heads=2, queries=384, fetched=384, top_k=96) == (
        3 * layer_cycles([searching] * 2).total
    )


@pytest.mark.parametrize(("length", "top_k"), [(40, 1), (40, 17), (64, 64), (10, 30), (1, 1)])
def test_the_mean_over_pivots_is_the_mean_of_many_draws(length, top_k):
    drawn = [drawn_passes(length, top_k, 4, seed) for seed in range(600)]
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert expected_passes(length, top_k, 4) == pytest.approx(np.mean(drawn), abs=4 * error + 1e-9)


def test_the_mean_can_stand_for_the_draws_in_a_layer():
    heads = [BehaviouralHead(384, 384, top_k=96)] * 12
    mean = layer_cycles(heads, BehaviouralMachine(expected=True)).top_k
    assert mean == round(12 * (48 + expected_passes(384, 96, 4) + 12))
    assert mean == pytest.approx(layer_cycles(heads).top_k, rel=0.2)


@pytest.mark.parametrize(
    ("head", "machine"),
    [
        (BehaviouralHead(0, 8), BehaviouralMachine()),
        (BehaviouralHead(8, 8, top_k=0), BehaviouralMachine()),
        (BehaviouralHead(8, 8), BehaviouralMachine(channels=0)),
        (BehaviouralHead(8, 8, head_dim=128), BehaviouralMachine(multipliers=64)),
    ],
)
def test_sizes_out_of_range_are_refused(head, machine):
    with pytest.raises(MappingError, match="behavioural mode needs"):
        layer_cycles([head], machine)
