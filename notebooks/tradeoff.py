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
# # Tile-wise weights, HDP, or both
#
# **What the papers say.** Tile-wise weights are pruned and trained on beforehand; HDP prunes attention while the model
# runs and claims to need no training. Each is compared with the dense model and with its own rivals. No source that we
# could read sets one beside the other, or runs both, so **there are no published points on this page**.
#
# **What is reproduced.** Nothing: this is the question that the tool was made for. Accuracy, latency and energy of
# dense, tile-wise, HDP and both, of one network on one machine; the same four at the size of BERT-Base without
# accuracy; and what each does to the 95th percentile of latency of a service.
#
# **Machine and data.** `edge_hdp`, a GEMM array of edge size beside HDP's unit, and `a100_hdp`, an A100 with that unit;
# sizes of the unit and of the edge array are illustrative defaults. The digits' vision transformer of 64 tokens, three
# trainings of it: as it is, with three quarters of its weights tile-wise pruned and trained on (`digits_vit_tw75`), and
# trained on under HDP (`digits_vit_hdp`). All numbers are computed as the machines would; 500 test images, of which
# this page takes the first ones.
#
# **How far it agrees** with anything published cannot be said here. Of the parts,
# [tile_wise_v100](tile_wise_v100.ipynb), [validation](validation.ipynb) and [hdp_accelerator](hdp_accelerator.ipynb)
# say it; latencies of an A100 carry the intervals of held-out measurements, those of units that nobody has measured
# carry none.

# %%
import common
import numpy as np
import pandas as pd
from IPython.display import display

import accelsim
from accelsim.explore.budget import trade_off
from accelsim.explore.budget.tradeoff import pareto
from accelsim.explore.serve import Batching, Demand, serve
from accelsim.results.parts import latency_parts
from accelsim.show.beside import line_chart
from accelsim.show.figures import energy_bars, latency_bars
from accelsim.show.serve import serve_figure
from accelsim.show.style import BLUE, DARK, GREEN, LIGHT, ORANGE, SKY, VERMILLION, label_of, new_figure, style

COUNT = 20 if common.QUICK else 300
ROBUST = ["hdp.preset=robust"]

# %% [markdown]
# ## Accuracy against latency and energy
#
# One batch of test images on `edge_hdp`, under every setting. *Pruned only* prunes the trained weights and stops there;
# *trained on* are the other two trainings. HDP is the robust preset at several row thresholds, in the weights as they
# are or trained under it; *both* is HDP on the tile-wise weights. Bars are 95 % intervals of the change that pruning
# makes to the same weights' dense answers, by a paired bootstrap over images. Dense attention and products are on the
# GEMM array.

# %%
RHOS = (0.3,) if common.QUICK else (-0.3, 0.0, 0.2, 0.4, 0.6)
KINDS = {
    "tile-wise, pruned only": ("digits_vit", "tile_wise", {"sparsities": (0.2,) if common.QUICK else (0.1, 0.2, 0.3)}),
    "tile-wise, trained on": ("digits_vit_tw75", "tile_wise", {"sparsities": (0.75,)}),
    "HDP": ("digits_vit", "hdp", {"row_thresholds": RHOS}),
    "HDP, trained on": ("digits_vit_hdp", "hdp", {"row_thresholds": RHOS}),
    "both, tile-wise trained on": ("digits_vit_tw75", "tile_wise+hdp", {"sparsities": (0.75,), "row_thresholds": RHOS}),
}
frames = []
for kind, (workload, scheme, settings) in KINDS.items():
    found = trade_off("edge_hdp", [workload], schemes=[scheme], count=COUNT, sets=ROBUST, **settings).points
    frames.append(found.assign(kind=np.where(found["scheme"] == "dense", f"dense, {workload}", kind)))
points = pd.concat(frames).drop_duplicates(["kind", "setting"])
points = points[points["kind"].isin([*KINDS, "dense, digits_vit"])].replace({"kind": {"dense, digits_vit": "dense"}})
points = points.reset_index(drop=True)
for cost in ("latency_us", "energy_uj"):
    points[f"front_{cost}"] = pareto(points["quality"], points[cost])

# %%
LOOKS = {
    "dense": (DARK, "*", 10), "tile-wise, pruned only": (SKY, "v", 5), "tile-wise, trained on": (BLUE, "v", 7),
    "HDP": (ORANGE, "o", 5), "HDP, trained on": (VERMILLION, "D", 5), "both, tile-wise trained on": (GREEN, "P", 6),
}  # fmt: skip
with style():
    figure = new_figure(10.0, 3.8)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, letter, cost, unit in zip(panels, "ab", ("latency_us", "energy_uj"), ("us", "uJ"), strict=True):
        best = points[points[f"front_{cost}"]].sort_values([cost, "quality"])
        front = {"color": LIGHT, "linewidth": 4, "drawstyle": "steps-post", "label": "front", "zorder": 1}
        axes.plot(best[cost] / COUNT, 100 * best["quality"], **front)
        for kind, (colour, marker, size) in LOOKS.items():
            some = points[points["kind"] == kind]
            ends = np.stack([some["change"] - some["change_low"], some["change_high"] - some["change"]]).astype(float)
            axes.errorbar(
                some[cost] / COUNT, 100 * some["quality"], yerr=100 * np.nan_to_num(ends).clip(0), fmt=marker,
                color=colour, markersize=size, elinewidth=0.7, label=kind, zorder=2,
            )  # fmt: skip
        quantity = cost.split("_")[0]
        axes.set(xlabel=f"{quantity} an image ({unit})", title=f"{letter}  Accuracy against {quantity}")
        axes.grid(True, axis="both")
    panels[0].set_ylabel("right answers (%)")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper")
common.show(figure, "tradeoff_digits")

# %%
shown = points.assign(
    right=(points["quality"] * COUNT).round().astype(int),
    latency=points["latency_us"] / COUNT, energy=points["energy_uj"] / COUNT,
    **{key: 100 * points[key] for key in ("change", "change_low", "change_high")},
    **{key: 100 * points[key] for key in ("kept", "block_ratio", "weight_sparsity")},
)  # fmt: skip
names = {
    "right": f"right of {COUNT}", "change": "change (points)", "change_low": "from", "change_high": "to",
    "weight_sparsity": "weights pruned (%)", "block_ratio": "blocks pruned (%)", "kept": "MACs done (%)",
    "latency": "us an image", "energy": "uJ an image",
}  # fmt: skip
numbers = shown.set_index(["kind", "setting"])[list(names)].rename(columns=names).astype(float).round(2)
display(numbers.astype(object).fillna(""))
dense = points[points["kind"] == "dense"].iloc[0]
within = points[(points["quality"] >= dense["quality"] - 0.02) & (points["kind"] != "dense")]
told = [
    f"*{kind}*: latency {common.off(some['latency_us'].min(), dense['latency_us'])}, "
    f"energy {common.off(some['energy_uj'].min(), dense['energy_uj'])}"
    for kind, some in within.groupby("kind", sort=False)
]
common.say(
    "Least latency and least energy of each kind among settings that are at most two points below the dense network, "
    "over its own. They are chosen on the images that they are shown on; `accelsim "
    "calibrate` keeps the two apart. " + "; ".join(told) + "."
)
if not common.QUICK:
    least = within.groupby("kind")[["latency_us", "energy_uj"]].min()
    tile_wise, hdp, both = (least.loc[kind] for kind in ("tile-wise, trained on", "HDP", "both, tile-wise trained on"))
    assert both["latency_us"] < tile_wise["latency_us"] < hdp["latency_us"] < dense["latency_us"]
    assert both["energy_uj"] < hdp["energy_uj"] < tile_wise["energy_uj"] < dense["energy_uj"]

# %% [markdown]
# Here tile-wise weights save more time, HDP more energy, and both together most of either. What training is worth shows
# in the points that were only pruned: without it a fifth of the weights is already too much.
#
# How much HDP saves hangs on the batch. The GEMM array's attention writes its scores out and reads them back; while a
# batch's scores fit its L2, that is cheap:

# %%
sizes = []
for count in (1, 10) if common.QUICK else (1, 10, 40, 150, 300):
    for scheme in ("dense", "hdp"):
        run = accelsim.run(
            "edge_hdp", "digits_vit", scheme=scheme, engine="estimate",
            sets=[*ROBUST, "hdp.rho_b=0.2", f"workload.images={count}"],
        )  # fmt: skip
        sizes.append({"batch": count, "scheme": label_of(scheme), "us an image": run.value("latency_us") / count,
                      "uJ an image": run.value("energy_uj") / count,
                      "DRAM kB an image": run.value("dram_bytes") / count / 1e3})  # fmt: skip
sizes = pd.DataFrame(sizes).pivot(index="batch", columns="scheme")
display(sizes.round(1))
if not common.QUICK:
    time, memory = sizes["us an image"], sizes["DRAM kB an image"]
    assert (time.loc[[10, 40], "HDP"] > time.loc[[10, 40], "dense"]).all()
    assert (time.loc[[1, 150, 300], "HDP"] < time.loc[[1, 150, 300], "dense"]).all()
    assert memory.loc[300, "dense"] > 1.2 * memory.loc[40, "dense"]

# %% [markdown]
# So on this machine HDP saves time for single images and where a batch outgrows L2, and costs a little between.
#
# ## At the size of BERT-Base
#
# The same four on `a100_hdp`, by batch. There are no trained weights here, so there is no accuracy; 75 % of the weights
# and 70 % of the blocks are pruned, and masks come from a seed. Latencies come from the closed form.

# %%
BATCHES = (1, 8) if common.QUICK else (1, 2, 4, 8, 16, 32)
SCHEMES = ["dense", "tile_wise", "hdp", "tile_wise+hdp"]
RATIOS = ["tile_wise.sparsity=0.75", "hdp.block_ratio=0.7", "hdp.head_ratio=0"]
large, compared = [], {}
for batch in BATCHES:
    compared[batch] = accelsim.compare(
        "a100_hdp",
        "bert_base",
        schemes=SCHEMES,
        sets=[*RATIOS, f"workload.batch={batch}"],
        values=False,
        engine="estimate",
    )
    for scheme in SCHEMES:
        result = compared[batch][scheme]
        large.append({"batch": batch, "scheme": label_of(scheme), "latency (us)": result.value("latency_us") / batch,
                      "energy (mJ)": result.value("energy_uj") / batch / 1e3,
                      "speed-up": compared[batch].ratios(result)["speedup"]})  # fmt: skip
large = pd.DataFrame(large)
with style():
    figure = new_figure(9.4, 3.3)
    for axes, letter, quantity in zip(figure.subplots(1, 2), "ab", ("latency (us)", "energy (mJ)"), strict=True):
        line_chart(large, "batch", quantity, "scheme", axes=axes)
        axes.set(xscale="log", ylim=(0, None), xlabel="batch", ylabel=quantity.replace(" (", " an input ("),
                 title=f"{letter}  {quantity.split(' ')[0].capitalize()}")  # fmt: skip
        axes.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
        axes.minorticks_off()
common.show(figure, "tradeoff_bert")
display(
    large.pivot(index="batch", columns="scheme", values="speed-up")[[label_of(scheme) for scheme in SCHEMES]].round(2)
)
last = compared[BATCHES[-1]]
with style():
    figure = new_figure(9.0, 3.7)
    left, right = figure.subplots(1, 2)
    latency_bars(last, left).set_title(f"a  Latency, batch {BATCHES[-1]}")
    energy_bars(last, right).set_title(f"b  Energy, batch {BATCHES[-1]}")
common.show(figure, "tradeoff_bert_parts")
speed = large.pivot(index="batch", columns="scheme", values="speed-up")
assert (speed["tile-wise"] > 1).all()
assert speed.loc[BATCHES[-1], "HDP"] < 1
longer = last["hdp"].value("latency_us") - last["dense"].value("latency_us")
assert latency_parts(last["hdp"])["transfer"] > longer

# %% [markdown]
# On an A100 the picture is another: its attention is fast and the link is long. From batches of four on HDP is slower
# than dense, in the largest by less than its transfers take, and tile-wise weights alone are best.
#
# ## Serving: the 95th percentile
#
# Requests arrive at random and are batched as they come, up to eight. HDP's times are those of its inputs, so its
# percentiles hold their spread. One network, `digits_vit_tw75`, under the four schemes on `edge_hdp` (dense multiplies
# its zeros too), and the largest load at which 95 % of requests are answered within the target.

# %%
TARGET_US = 400.0
served = serve(
    "edge_hdp", "digits_vit_tw75", schemes=SCHEMES, batching=Batching(8, sizes=(1, 2, 4, 8)),
    demand=Demand(requests=5_000 if common.QUICK else 40_000, target_p95_us=TARGET_US),
    sets=[*ROBUST, "hdp.rho_b=0.2", "tile_wise.sparsity=0.75", f"workload.images={20 if common.QUICK else 60}"],
    engine="estimate",
)  # fmt: skip
knees = {one.scheme: one.knee_per_s for one in served.schemes}
common.show(serve_figure(served.to_frame(), knees, TARGET_US), "tradeoff_serve")


# %%
def largest_loads(found):
    """The largest load of each scheme, and what it costs there."""
    rows = []
    for one in found.schemes:
        figures = one.largest.figures or {}
        rows.append({
            "scheme": label_of(one.scheme), "capacity (1/s)": one.capacity_per_s,
            "largest load (1/s)": one.largest.rate_per_s,
            "surely within (1/s)": one.largest.surely_per_s, "p95 there (us)": figures.get("p95_us"),
            "energy a request (uJ)": figures.get("energy_per_request_uj"),
        })  # fmt: skip
    return pd.DataFrame(rows).set_index("scheme").astype(float)


times = served.services_frame().pivot(index="size", columns="scheme", values="mean_us")[SCHEMES]
times.columns = [f"{label_of(scheme)} (us)" for scheme in SCHEMES]
display(times.rename_axis("batch of").round(1))
loads = largest_loads(served)
display(loads.round(0))
gains = loads["largest load (1/s)"] / loads.loc["dense", "largest load (1/s)"]
common.say(
    f"Load over dense at a 95th percentile of {TARGET_US:g} us: "
    + ", ".join(f"{name} {gain:.2f}x" for name, gain in gains.items()) + "."
)  # fmt: skip

# %% [markdown]
# Batches of a service have a few inputs, where HDP costs time (above). BERT-Base on `a100_hdp`, with batches of up to
# eight in sizes that a stack would have captured:

# %%
TARGET_LARGE_US = 5000.0
bert = serve(
    "a100_hdp", "bert_base", schemes=SCHEMES[:2] if common.QUICK else SCHEMES, batching=Batching(8, sizes=(1, 2, 4, 8)),
    demand=Demand(requests=5_000 if common.QUICK else 40_000, target_p95_us=TARGET_LARGE_US), sets=RATIOS, values=False,
    engine="estimate",
)  # fmt: skip
common.show(
    serve_figure(bert.to_frame(), {one.scheme: one.knee_per_s for one in bert.schemes}, TARGET_LARGE_US),
    "tradeoff_serve_bert",
)
loads = largest_loads(bert)
display(loads.round(0))
gains = loads["largest load (1/s)"] / loads.loc["dense", "largest load (1/s)"]
common.say(
    f"Load over dense at a 95th percentile of {TARGET_LARGE_US:g} us: "
    + ", ".join(f"{name} {gain:.2f}x" for name, gain in gains.items()) + "."
)  # fmt: skip

# %% [markdown]
# ## What to make of it
#
# - **Weights first, for time.** Where products of weights take most of it, pruning them does more than pruning
#   attention, for the mean and for the 95th percentile, on both machines.
# - **HDP saves where scores would go through DRAM**, as in large batches on the small machine, and little or nothing in
#   the batches of a service; both depend on sizes that nobody published. A GPU with fused attention never writes scores
#   out ([docs/attention.md](../docs/attention.md) has the crossover).
# - **Both together** are best on the small machine and need weights that were trained for one and thresholds chosen for
#   those weights.
# - **Not known**: accuracy at BERT's size, a unit that exists, and how a real service would batch.
