# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Tile-wise sparse GEMMs of BERT on a V100
#
# **What the paper says.** Tile-wise sparsity keeps every tile of a tiled GEMM dense, so an ordinary tensor-core
# kernel runs it. The artifact of Guo et al. (SC'20, [arXiv 2008.13006](https://arxiv.org/abs/2008.13006)) reports the
# GEMMs of one BERT layer at 75 % sparsity and G = 128: 2.26 times as fast as dense CUTLASS, summed over the layer.
#
# **What is reproduced.** The three GEMM shapes of a layer, 12,800 rows each (the four attention projections count
# four times): the dense kernel, and the tile-wise one as the artifact runs it, each tile a kernel of its own in a
# stream of its own. Its masks are random and balanced, every tile with as many rows as the next; ours are drawn that
# way too.
#
# **Machine and data.** `v100_pcie` with the menu `cutlass_volta` (thread blocks of 128 x 128 x 32, two stages). As in
# the artifact's timing loop, the host launches a product's kernels and waits for them, every time anew; what that takes
# was measured with empty kernels on another V100. Measured times are typed from the artifact's README into
# `data/tile_wise_v100.yaml`, which cites each. Times need no values, so products are not computed here.
#
# **How far it agrees** is computed in the next cells. Two things should be known before reading them:
#
# - **Dense times are fitted, tile-wise times are not.** Two figures of the menu, the rates of its main loops and of its
#   epilogues over those of cuBLAS, are fitted to the six dense times. No tile-wise time took part in a fit. All of them
#   were known, though, to those who made the model.
# - **Streams overlap.** We also show what would be if each kernel waited for the one before.

# %%
import common
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

import accelsim
from accelsim.config.workload import GemmWorkload
from accelsim.show.style import BLUE, ORANGE, SKY, VERMILLION, label_of, new_figure, style

published = common.published("tile_wise_v100")
points = pd.DataFrame(published["gemms"])
print(published["source"])
print(published["machine"])


# %%
def simulate(point, scheme, *sets):
    """One GEMM of the layer on the machine of the experiment."""
    workload = GemmWorkload(kind="gemm", name=point.name, m=int(point.m), n=int(point.n), k=int(point.k), launch="sync")
    options = [
        "hardware.library=cutlass_volta",
        f"tile_wise.sparsity={published['sparsity']}",
        f"tile_wise.granularity={published['granularity']}",
        *sets,
    ]
    return accelsim.run("v100_pcie", workload, scheme=scheme, sets=options, values=False)


def layer(scheme, *sets):
    """The results of all shapes, in the order of `points`."""
    return [simulate(point, scheme, *sets) for point in points.set_index("name", drop=False).itertuples(index=False)]


def times(results):
    """Latencies in us."""
    return np.array([result.value("latency_us") for result in results])


STREAM = "tile_wise.strategy=stream"
dense = layer("dense")
overlapping = layer("tile_wise", STREAM)
in_turn = layer("tile_wise", STREAM, "tile_wise.streams=1")
for result in (*overlapping, *in_turn):
    assert result.summary["weight_sparsity"] == published["sparsity"]

# %% [markdown]
# ## How far it agrees
#
# *Overlapping* deals the tiles' kernels to 32 streams that share the machine as far as there is room; *in turn* gives
# them one stream, so that each waits for the one before. Errors are ours over measured, less one.


# %%
def error(ours, measured):
    """Ours over measured, less one, in words."""
    return [f"{100 * (one / other - 1):+.1f} %" for one, other in zip(ours, measured, strict=True)]


def total(column):
    """Sum over the layer, in which each shape stands `per_layer` times."""
    return float((points["per_layer"] * column).sum())


cases = {"overlapping": overlapping, "in turn": in_turn}
shapes = [f"{point.m} x {point.n} x {point.k}" for point in points.itertuples()]
latency = pd.DataFrame({"dense, measured (us)": points["dense_us"], "ours (us)": times(dense).round(1)})
latency["error"] = error(times(dense), points["dense_us"])
latency["tile-wise, measured (us)"] = points["tile_wise_us"]
for name, results in cases.items():
    latency[f"{name} (us)"] = times(results).round(1)
    latency[f"error, {name}"] = error(times(results), points["tile_wise_us"])
display(latency.set_axis(shapes))


# %%
def speedups(base, sparse):
    """Of each shape, and of the layer."""
    return [*(base / sparse), total(base) / total(sparse)]


measured_speedup = speedups(points["dense_us"], points["tile_wise_us"])
speedup = pd.DataFrame({"measured": np.round(measured_speedup, 2)})
our_speedup = {}
for name, results in cases.items():
    our_speedup[name] = speedups(times(dense), times(results))
    speedup[name] = np.round(our_speedup[name], 2)
    speedup[f"error, {name}"] = error(our_speedup[name], measured_speedup)
display(speedup.set_axis([*shapes, "layer"]))

noise = 100 * (points["dense_us_first"] / points["dense_us"] - 1)
display(
    Markdown(
        f"Over the layer, measured: **{measured_speedup[-1]:.3f}** (claimed: about {published['claimed_speedup']}). "
        f"Ours: **{our_speedup['in turn'][-1]:.3f}** with kernels in turn "
        f"({error(our_speedup['in turn'][-1:], measured_speedup[-1:])[0]}), "
        f"**{our_speedup['overlapping'][-1]:.3f}** when they overlap "
        f"({error(our_speedup['overlapping'][-1:], measured_speedup[-1:])[0]}). "
        f"The two dense measurements themselves differ by {noise.min():.1f} to {noise.max():.1f} %."
    )
)

# %%
with style():
    figure = new_figure(9.6, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    bars = {
        "dense, measured": (points["dense_us"], BLUE, ""),
        "dense, ours": (times(dense), SKY, ""),
        "tile-wise, measured": (points["tile_wise_us"], VERMILLION, ""),
        "tile-wise, ours in turn": (times(in_turn), ORANGE, ""),
        "tile-wise, ours overlapping": (times(overlapping), ORANGE, "///"),
    }
    width = 0.8 / len(bars)
    for place, (name, (values, colour, hatch)) in enumerate(bars.items()):
        at = np.arange(len(points)) + (place - (len(bars) - 1) / 2) * width
        left.bar(at, values, width, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5, label=name)
    left.set_xticks(range(len(points)), shapes)
    left.set_xlabel("m x n x k")
    left.set_ylabel("latency (us)")
    left.set_title("a  Latency of each GEMM")
    left.legend(loc="upper left", ncols=2)
    left.set_ylim(0, 1.4 * points["dense_us"].max())

    series = {
        "measured": (measured_speedup, VERMILLION, ""),
        "ours in turn": (our_speedup["in turn"], ORANGE, ""),
        "ours overlapping": (our_speedup["overlapping"], ORANGE, "///"),
    }
    width = 0.8 / len(series)
    for place, (name, (values, colour, hatch)) in enumerate(series.items()):
        at = np.arange(len(points) + 1) + (place - 1) * width
        right.bar(at, values, width, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5, label=name)
        for x, value in zip(at, values, strict=True):
            right.text(x, value + 0.05, f"{value:.2f}", ha="center", fontsize=7)
    right.set_xticks(range(len(points) + 1), [*(shape.removeprefix("12800 x ") for shape in shapes), "layer"])
    right.set_xlabel("n x k")
    right.set_ylabel("speed-up over dense (x)")
    right.set_title("b  Speed-up at 75 %")
    right.set_ylim(0, 1.3 * max(map(max, our_speedup.values())))
    right.legend(loc="upper center", ncols=3)
    for axes in (left, right):
        axes.grid(True, axis="y")
common.show(figure, "tile_wise_v100")

# %% [markdown]
# ## Where the lost speed-up goes
#
# A quarter of the products is left, so four would be the speed-up if everything shrank with them. The account tells
# what does not. For each cause: the tile-wise kernel's time less a quarter of the dense kernel's. The rows add up to
# what is lost exactly, since every cause has a timer of its own.


# %%
def causes(result):
    """Mean time of an SM by cause, in us."""
    rows = result.account[result.account["device"] == "gpu"]
    return rows.set_index("cause")["time_us"]


for name, results in cases.items():
    columns = [causes(sparse) - causes(base) / 4 for sparse, base in zip(results, dense, strict=True)]
    lost = pd.DataFrame(dict(zip(shapes, columns, strict=True)))
    lost = lost[(lost.abs() > 0.005).any(axis=1)]
    sums = pd.Series(times(results) - times(dense) / 4, index=shapes)
    assert np.allclose(lost.sum(), sums, atol=0.05)
    lost.index = [label_of(cause) for cause in lost.index]
    lost.loc["sum"] = sums
    display(Markdown(f"*Kernels {name}*, lost against a quarter of the dense time (us):"))
    display(lost.round(1))

# %%
traffic = {"dense": dense, **cases}
moved = {
    name: [result.kernels["dram_read_bytes"].sum() / 1e6 for result in results] for name, results in traffic.items()
}
blocks = [result.kernels["thread_blocks"].sum() / result.kernels["launches"].sum() for result in in_turn]
# Rows of the activations that all tiles keep, each tile for itself, in fp16; half of k, and tiles of half of n.
tiles = points["n"] / 2 / published["granularity"]
kept = (tiles * points["m"] * points["k"] / 2 * 2 / 1e6).to_numpy()
display(
    Markdown("Bytes read from DRAM (MB), those of the rows that tiles keep, and thread blocks of one tile's kernel:")
)
reads = pd.DataFrame(moved, index=shapes).assign(**{"rows kept, unshared": kept}).round(1)
display(reads.assign(**{"thread blocks a launch": np.array(blocks, dtype=int)}))

# What the text below says of these tables.
for alone, together, base in zip(in_turn, overlapping, dense, strict=True):
    assert np.isclose(causes(together)["compute"], causes(base)["compute"] / 4, rtol=1e-3)
    assert causes(alone)["tail"] > causes(together)["tail"]
assert (np.array(moved["in turn"]) > moved["overlapping"]).all()
assert set(blocks) == {100}
lost_to = {
    cause: causes(overlapping[2])[cause] - causes(dense[2])[cause] / 4 for cause in ("dram", "epilogue", "prologue")
}
assert max(lost_to, key=lambda cause: lost_to[cause]) == "dram"
assert (np.array(moved["overlapping"]) > 1.3 * kept).all()
assert dense[0].provenance["config"]["hardware"]["gpu"]["sm_count"] == 80

# %% [markdown]
# - **Compute shrinks by exactly four**: tiles stay dense, so tensor cores do no work in vain.
# - **Prologue and epilogue do not.** A thread block fills its first tiles and drains its accumulators as before, with
#   half the k-steps between; there are half as many thread blocks, not a quarter.
# - **Reads shrink least.** Each tile's kernel gathers its rows of the activations anew, 100 thread blocks of one output
#   column each, so what dense thread blocks of a row share is read tile by tile. It weighs most in the wide layer with
#   its twelve kernels; that is where the measured speed-up is lowest too.
# - **In turn, kernels wait for DRAM and for each other.** A tile's kernel has 100 thread blocks for 80 SMs, so some
#   SMs work on two while others have none left (tail), and it reads the activations that it gathers without another
#   tile beside it to share them with in L2 (DRAM). The next kernel does both again; the wide layer has twelve.
#   Overlapping streams fill the gaps.
#
# ## Other strategies: prediction only
#
# No measurement was found for these. *Merged* runs all tiles in one launch, *padded batch* one batched launch padded
# to the longest tile; with balanced masks as here nothing needs padding, so both do the same work.

# %%
strategies = {"stream, in turn": in_turn, "stream, overlapping": overlapping}
for strategy in ("padded_batch", "merged"):
    strategies[label_of(strategy)] = layer("tile_wise", f"tile_wise.strategy={strategy}")
predicted = pd.DataFrame(
    {name: [*times(results), total(times(results))] for name, results in strategies.items()}, index=[*shapes, "layer"]
)
display(predicted.round(1))
layer_speedup = total(times(dense)) / predicted.loc["layer"]
display(layer_speedup.round(2).rename("speed-up of the layer").to_frame().T)

# %% [markdown]
# ## What does not agree, and why that may be
#
# - **The narrow shape with short k is predicted too fast.** It has three kernels of 100 thread blocks, so where they
#   begin and end weighs most. Within the tile-wise kernel, loads wait for offsets that are loaded just before; we take
#   its main loop to be as fast as the dense one.
# - **The dense times themselves vary** between the two runs, most in the shapes where ours are furthest off.
# - **Kernels one after another do not fit,** if dense kernels are believed: SMs that idle at the end of each launch
#   would have to be made up for by thread blocks far faster than those of the dense kernel. An earlier version of this
#   notebook, with the fast epilogue of cuBLAS, could not tell: too fast a kernel looks like one without overlap.
# - **Part of the agreement may be luck.** Tiles of activations are fetched with all rows that any weight tile keeps,
#   so we read more than kernels need once they drift apart (the table above). Without that, events would predict all
#   three too fast (docs/assumptions.md says by how much). That the device took longer is certain; that DRAM is why is
#   not.
# - **The host's time for a launch** is from another machine. The next cell varies it: later kernels start while earlier
#   ones run, so it moves the layer by a few percent.
# - **Not modelled or not known**: fp16 accumulation in the artifact (we accumulate in fp32, at the same rate), the
#   clock of the board at the time (not recorded; we assume boost), contention of streams in the hardware's queues.


# %%
host_costs = (2.5, 15) if common.QUICK else (2.5, 5, 10, 15)
scan = {}
for host in host_costs:
    results = layer("tile_wise", STREAM, f"hardware.launch.host={host} us")
    scan[f"{host:g} us"] = speedups(times(dense), times(results))
scan["measured"] = measured_speedup
display(Markdown("Speed-up with overlapping streams, by the host's time between two launches (varied, not fitted):"))
display(pd.DataFrame(scan, index=[*shapes, "layer"]).round(2))

# What the text above says.
tile_wise_error = {name: times(results) / points["tile_wise_us"].to_numpy() - 1 for name, results in cases.items()}
assert abs(tile_wise_error["overlapping"]).max() < 0.12
assert tile_wise_error["overlapping"].argmin() == 0
assert tile_wise_error["in turn"].min() > 0.3
assert abs(noise).max() < 9
first_total = total(points["dense_us_first"]) / total(points["tile_wise_us"])
assert 0.95 * measured_speedup[-1] < our_speedup["overlapping"][-1] < 1.05 * first_total
for values in list(scan.values())[:-1]:
    assert 0.95 * measured_speedup[-1] < values[-1] < 1.05 * first_total
