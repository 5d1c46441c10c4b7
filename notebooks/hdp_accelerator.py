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
# # HDP's unit beside other attention accelerators
#
# **What the paper says.** HDP's co-processor, synthesised in two sizes, is faster and more efficient than other
# accelerators "when normalized to the same computational load", and hundreds of times faster than a T4 in attention
# (abstract of the journal version; `data/hdp_accelerator.yaml` has its numbers, and those of the others' abstracts).
#
# **What is reproduced.** How many products pruning saves, in multiplications and in bits; A3, SpAtten, Sanger, Energon,
# AccelTran and HDP on the same Q, K and V, raw and normalised in three ways, with every ratio of an abstract beside
# ours; the stages of a head over time; and how many processing elements and how much buffer the unit should have.
#
# **Machine and data.** Each unit with the sizes that its publication gives. **No size of HDP's unit is published where
# we could read it**: `hdp_edge`, `hdp_edge_wide` and `hdp_server` have defaults, called illustrative, so figures of HDP
# say what such sizes give. Operands are twelve heads of 64 that are drawn with the structure of encoder heads; each
# unit prunes the share that publications cite for it ([docs/attention.md](../docs/attention.md)).
#
# **How far it agrees**: raw, the faster of two units is the one that the abstract names, in every ratio that we found;
# normalised, in few, depending on how multipliers are counted, and energy in none. HDP's bands are mostly missed. The
# second section counts both.

# %%
import common
import numpy as np
import pandas as pd
from IPython.display import display

import accelsim
from accelsim.config.loader import load_attention_unit, load_energy
from accelsim.config.trace import Sampling
from accelsim.energy.account import dynamic_energy, static_energy
from accelsim.explore.attention import compare_attention
from accelsim.explore.attention.published import COUNTINGS, conditions_frame, published_conditions, ratios_to
from accelsim.explore.timelines import attention_timeline
from accelsim.kernels.hdp_counts import counts_of_mask, seeded_masks
from accelsim.machine.attention.hdp_overhead import decision_overhead
from accelsim.machine.attention.hdp_pipeline import simulate_hdp
from accelsim.machine.attention.work import bit_products, dense_work, hdp_work, products
from accelsim.show.attention import account_axes, cost_axes, roofline_axes, throughput_axes
from accelsim.show.beside import grouped_bars, line_chart
from accelsim.show.style import BLACK, BLUE, GREEN, MIDDLE, ORANGE, SKY, VERMILLION, label_of, new_figure, style
from accelsim.show.timeline import stage_axes

published = common.published("hdp_accelerator")
HDP = published["hdp"]
print(HDP["source"])
SEQUENCE = 64 if common.QUICK else 128
HEADS, HEAD_DIM = 12, 64

# %% [markdown]
# ## What pruning saves
#
# Integer x integer products are taken of every pair, cross products (integer x fraction, twice) of kept pairs, P x V of
# kept pairs; fraction x fraction is left out. In *multiplications* HDP has more to do than dense attention until two
# thirds are pruned. In *bits* the integer pass is cheap, since a product of 4 x 4 bits is a sixteenth of one of 16 x
# 16. Masks are seeded; in the last bar one of the twelve heads is pruned too. No breakdown was published that could be
# set beside it.

# %%
RATIOS = [(0.0, 0.0), (0.3, 0.0), (0.5, 0.0), (0.7, 0.0), (0.9, 0.0), (0.7, 1 / HEADS)]
COLOURS = {"score": MIDDLE, "integer": SKY, "cross": BLUE, "value": ORANGE}
parts = {"multiplications": {}, "single-bit products": {}}
works = {"dense": dense_work(HEADS, SEQUENCE, HEAD_DIM)}
for block_ratio, head_ratio in RATIOS:
    masks = seeded_masks(HEADS, SEQUENCE, block_ratio, head_ratio, 0)
    name = f"{100 * block_ratio:.0f} %" + (",\na head" if head_ratio else "")
    works[name] = hdp_work(counts_of_mask(*masks, SEQUENCE, HEAD_DIM), SEQUENCE, HEAD_DIM)
for unit, count in (("multiplications", products), ("single-bit products", bit_products)):
    whole = sum(count(works["dense"]).values())
    frame = pd.DataFrame({name: count(work) for name, work in works.items()}).T
    parts[unit] = (100 * frame / whole)[list(COLOURS)]
with style():
    figure = new_figure(9.4, 3.3)
    for axes, letter, (unit, frame) in zip(figure.subplots(1, 2), "ab", parts.items(), strict=True):
        grouped_bars({"": frame}, ylabel=f"{unit} (% of dense)", colours=COLOURS, hatches={"": ""}, axes=axes)
        axes.set(title=f"{letter}  {unit[0].upper() + unit[1:]}", xlabel="blocks pruned")
        axes.axhline(100, color=BLACK, linewidth=0.8, linestyle="--")
common.show(figure, "hdp_products")
bits = parts["single-bit products"]
scores = bits.loc["dense", "score"] / bits.loc["70 %", ["integer", "cross"]].sum()
whole = {unit: frame.sum(axis=1) for unit, frame in parts.items()}
common.say(
    f"At 70 % of blocks pruned, scores take **{scores:.1f} times** fewer bit-products than whole ones, and attention "
    f"as a whole {100 / whole['single-bit products']['70 %']:.1f} times fewer; in multiplications, "
    f"{100 / whole['multiplications']['70 %']:.2f} times."
)
kept = works["70 %"].counts.kept_elements.sum() / (HEADS * SEQUENCE**2)
assert np.isclose(scores, 1 / (1 / 16 + kept * 96 / 256), rtol=1e-9)
assert whole["multiplications"]["50 %"] > 100 > whole["multiplications"]["70 %"]

# %% [markdown]
# ## The units side by side

# %%
UNITS = ["dense_array", "hdp_edge", "hdp_edge_wide", "hdp_server", "a3", "spatten_eighth", "sanger", "energon",
         "energon_server", "acceltran_edge", "acceltran_server"]  # fmt: skip
SEQUENCES = [SEQUENCE] if common.QUICK else [128, 384]
found = compare_attention(UNITS, sequences=SEQUENCES, heads=HEADS, head_dim=HEAD_DIM)
frame = found.to_frame()
raw = frame[frame["sequence"] == SEQUENCE].set_index("unit")
columns = {
    "multipliers": "multipliers", "keep_ratio": "kept", "latency_us": "latency (us)", "gops": "GOP/s, raw",
    "normalised_gops": "by multipliers", "normalised_gops_main": "by widest alone", "normalised_gops_bits": "by bits",
    "published_gops": "published", "energy_uj": "energy (uJ)", "gop_per_j": "GOP/J", "rms_rel_error": "rms error",
}  # fmt: skip
display(raw[list(columns)].set_axis(list(columns.values()), axis=1).astype(float).round(2).astype(object).fillna(""))
common.say(
    f"{HEADS} heads of {HEAD_DIM}, sequence {SEQUENCE}. Normalised: at 128 multipliers and 1 GHz, counting all "
    "multipliers, the widest alone, or single-bit products. Published figures are of conditions of their own."
)
shown = frame[~frame["unit"].isin(["energon_server", "acceltran_server", "hdp_server"])]
account = found.account_frame()
with style():
    figure = new_figure(10.5, 7.4)
    panels = figure.subplots(2, 2)
    throughput_axes(shown, panels[0, 0])
    account_axes(account[account["unit"].isin(shown["unit"])], panels[0, 1])
    cost_axes(shown, panels[1, 0])
    roofline_axes(shown, panels[1, 1])
    for axes, letter in zip(panels.ravel(), "abcd", strict=True):
        axes.set_title(f"{letter}  {axes.get_title(loc='left')}")
common.show(figure, "hdp_units")

# %% [markdown]
# ### Ratios that abstracts state
#
# Of one unit over another, beside ours by each way of counting. Abstracts do not say how they count, and each compares
# with the others' published figures, not with their machines.

# %%
rows = pd.DataFrame(published["ratios"]["rows"], columns=published["ratios"]["columns"])
one_length = [one for one in found.units if one.sequence == SEQUENCE]
WAYS = {"raw": "raw", "by_multipliers": "by multipliers", "by_main": "by widest alone", "by_bits": "by bits"}


def over_others(unit):
    """One unit over each other one."""
    ratios = ratios_to(one_length, unit).set_index("unit")
    own = raw.loc[unit]
    return ratios.assign(
        raw=own["gops"] / raw["gops"], macs=own["simulated_utilization"] / raw["simulated_utilization"]
    )


beside = []
for row in rows.itertuples():
    ours = over_others(row.unit).loc[row.other]
    beside.append({
        "ratio": f"{label_of(row.unit)} over {label_of(row.other)}", "published": row.throughput,
        **{name: float(ours[way]) for way, name in WAYS.items()},
        "energy, published": row.energy_efficiency, "energy, ours": float(ours["energy_efficiency"]),
        "source": row.source,
    })  # fmt: skip
beside = pd.DataFrame(beside).set_index("ratio")
display(beside.round(2).astype(object).fillna(""))
ENERGY = ("energy, published", "energy, ours")
right = beside[list(WAYS.values())].gt(1).eq(beside["published"].gt(1), axis=0)
close = beside[list(WAYS.values())].div(beside["published"], axis=0).apply(np.log).abs().lt(np.log(1.5))
common.say(
    "Which of two is faster agrees with the abstract in "
    + ", ".join(f"{int(right[name].sum())} of {len(right)} {name}" for name in WAYS.values())
    + f"; within a factor of 1.5 lie {', '.join(f'{int(close[name].sum())} {name}' for name in WAYS.values())}. "
    f"Which is more efficient agrees in {int((beside[ENERGY[1]].gt(1) & beside[ENERGY[0]].gt(1)).sum())} of "
    f"{int(beside['energy, published'].notna().sum())}."
)
if not common.QUICK:
    assert right["raw"].all()
    assert right[["by multipliers", "by bits"]].sum().max() < len(right) / 2
with style():
    figure = new_figure(8.4, 3.6)
    axes = figure.subplots()
    at = np.arange(len(beside))
    for place, (name, colour) in enumerate(zip(WAYS.values(), (ORANGE, BLUE, SKY, GREEN), strict=True)):
        axes.plot(
            beside[name], at + 0.15 * (place - 1.5), "vos^"[place], color=colour, markersize=6, label=f"ours, {name}"
        )
    axes.plot(
        beside["published"],
        at,
        "D",
        color=BLACK,
        markersize=6,
        label="published",
        markerfacecolor="white",
        markeredgewidth=1.4,
    )
    axes.axvline(1, color=MIDDLE, linewidth=0.8)
    axes.set_yticks(at, beside.index)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="throughput of one unit over the other (x)", title="Ratios between units")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(True, axis="x")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
common.show(figure, "hdp_ratios")

# %% [markdown]
# ### HDP over the others
#
# The bands are those of the journal's abstract. Each illustrative size of HDP over each other unit. *MAC efficiency* is
# taken to be needed multiply-accumulates over those that the unit's multipliers could have done; the abstract does not
# define it.

# %%
OTHERS = ["a3", "spatten_eighth", "sanger", "energon", "acceltran_server"]
over = []
for size in ("hdp_edge", "hdp_edge_wide", "hdp_server"):
    ours = over_others(size).loc[OTHERS]
    over += [
        {"size": size, "unit": other, **{name: float(ours.loc[other, way]) for way,
        name in WAYS.items() if way != "raw"},
         "MAC efficiency": float(ours.loc[other, "macs"]), "energy efficiency": float(ours.loc[other,
         "energy_efficiency"])}
        for other in OTHERS
    ]  # fmt: skip
over = pd.DataFrame(over).set_index(["size", "unit"])
with style():
    figure = new_figure(11.0, 3.5)
    panels = figure.subplots(1, 5, sharey=True)
    bands = [HDP["throughput"]] * 3 + [HDP["mac_efficiency"], HDP["energy_efficiency"]]
    for axes, letter, name, band in zip(panels, "abcde", over.columns, bands, strict=True):
        axes.axvspan(*band, color="#DDDDDD", zorder=0, label="published band")
        for size, colour, marker in zip(
            ("hdp_edge", "hdp_edge_wide", "hdp_server"), (BLUE, ORANGE, VERMILLION), "osD", strict=True
        ):
            axes.plot(
                over.loc[size, name], range(len(OTHERS)), marker, color=colour, markersize=6, label=label_of(size)
            )
        axes.axvline(1, color=MIDDLE, linewidth=0.8)
        axes.set(
            xscale="log", title=f"{letter}  {name[0].upper() + name[1:]}", xlim=(0.01, 100), xlabel="HDP over it (x)"
        )
        axes.set_xticks([0.01, 0.1, 1, 10, 100], ["0.01", "0.1", "1", "10", "100"])
        axes.grid(True, axis="x")
    panels[0].set_yticks(range(len(OTHERS)), [label_of(name) for name in OTHERS])
    panels[0].invert_yaxis()
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4)
common.show(figure, "hdp_bands")
inside = {name: int(over[name].between(*band).sum()) for name, band in zip(over.columns, bands, strict=True)}
common.say(
    f"Inside the published bands lie, of {len(over)} each: "
    + ", ".join(f"{count} {name if name.startswith('by ') else f'by {name}'}" for name, count in inside.items())
    + ". So these sizes do not reproduce the abstract's claim, and since HDP's own are not known here they do not "
    "refute it either."
)

# %% [markdown]
# One multiplier for each product caps HDP at twice dense attention by that count, even when everything is pruned, since
# the integer pass takes every pair ([docs/attention_hdp.md](../docs/attention_hdp.md) has the arithmetic).
#
# ### At which share others would reach their published figures

# %%
conditions = conditions_frame(published_conditions(["spatten_eighth", "sanger", "energon"], sequence=SEQUENCE))
conditions = conditions[~conditions["projections"]].assign(counting=conditions["counting"].map(COUNTINGS))
columns = {
    "published_gops": "published GOP/s", "keep_ratio": "reached when kept", "cited_gops": "ours at the cited share",
    "least_gops": "ours, all kept", "most_gops": "ours, least kept",
}  # fmt: skip
shown = conditions.set_index(["unit", "counting"])[list(columns)].rename(columns=columns)
display(shown.astype(float).round(2).astype(object).fillna(""))

# %% [markdown]
# ### Over a T4
#
# The abstract's factor names no length, batch or software. Here: fused attention, and attention as separate kernels, of
# one input of twelve heads on our T4, over `hdp_server` with its operands in its own memory, blocks pruned as cited.

# %%
lengths = [SEQUENCE] if common.QUICK else [128, 384, 1024]
over_gpu = []
gpu = compare_attention(["t4", "hdp_server"], sequences=lengths, heads=HEADS, head_dim=HEAD_DIM)
for length in lengths:
    unit = gpu.at("hdp_server", length).latency_us
    apart = accelsim.run(
        "t4",
        "bert_base_layer",
        values=False,
        engine="estimate",
        sets=[f"workload.sequence={length}", "mapping.attention=unfused"],
    ).value("attention_latency_us")
    over_gpu.append({"sequence": length, "hdp_server (us)": unit, "T4, fused (us)": gpu.at("t4", length).latency_us,
                     "T4, separate kernels (us)": apart})  # fmt: skip
over_gpu = pd.DataFrame(over_gpu).set_index("sequence")
for name in ("T4, fused", "T4, separate kernels"):
    over_gpu[f"{name}, over HDP (x)"] = over_gpu[f"{name} (us)"] / over_gpu["hdp_server (us)"]
display(over_gpu.round(1))
best = over_gpu[[column for column in over_gpu if column.endswith("(x)")]].max().max()
assert common.QUICK or sum(inside.values()) < len(over.columns) * len(over) / 2
common.say(
    f"Published: {HDP['over_t4']}x over a T4 (and {HDP['over_cpu']}x over a CPU, which is not modelled). Ours at most "
    f"**{best:.1f}x**: with a GPU that is used as well as it can be, the published factor is not in reach of a unit of "
    f"these sizes, {raw.loc['hdp_server', 'multipliers']:,.0f} multipliers in all."
)

# %% [markdown]
# ## A head over time
#
# Stages of the first heads on one core of `hdp_edge`. Integer scores of the next head overlap with the rest of this
# one; where the head decision is a barrier, a head's fractions wait for all of its integer scores. Below, with
# fractions fetched before the head is decided. Nothing was published of these stages.

# %%
one_head = {}
for choice in ("barrier", "speculative"):
    result = compare_attention(["hdp_edge"], sequences=[64], heads=3, sets=[f"hdp_edge.head_decision={choice}"])
    one_head[choice] = (result.units[0], attention_timeline(result, Sampling()))
with style():
    figure = new_figure(9.0, 6.2)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, letter, (choice, (unit, timeline)) in zip(panels, "ab", one_head.items(), strict=True):
        stage_axes(timeline, axes)
        axes.set_title(f"{letter}  Head decision: {choice}, {unit.latency_us:.1f} us")
    panels[0].set(xlabel="", xlim=(0, 1.01 * max(unit.latency_us for unit, _ in one_head.values())))
common.show(figure, "hdp_gantt")

# %% [markdown]
# ## How large should the unit be?
#
# Processing elements of a core (both arrays) against its buffer, at sequence 384 and 70 % of blocks pruned by seeded
# masks. Scores that outgrow the buffer spill to DRAM. The roofline has the same points: operations that were needed
# over bytes that were moved.

# %%
edge = load_attention_unit("hdp_edge")
table = load_energy(edge.energy)
LENGTH = 128 if common.QUICK else 384
work = hdp_work(counts_of_mask(*seeded_masks(HEADS, LENGTH, 0.7, 0.0, 0), LENGTH, HEAD_DIM), LENGTH, HEAD_DIM)
needed = 2 * (work.counts.kept_elements.sum() * HEAD_DIM + work.counts.value_products.sum())
BUFFERS = [64, 256, 1024] if common.QUICK else [32, 64, 128, 256, 512, 1024]
sizes = []
for side in (8, 16, 32):
    for kib in BUFFERS:
        machine = edge.model_copy(update={
            "pe_rows": side, "pe_columns": side, "buffer": kib * 1024,
            "softmax_elements_per_cycle": max(1, side // 4), "sparsity_blocks_per_cycle": max(1, side // 8),
        })  # fmt: skip
        unit = load_attention_unit(machine)
        run = simulate_hdp(unit, work)
        seconds = run.end_ps * 1e-12
        items = dynamic_energy("unit", run.actions, table) + static_energy("unit", table, run.end_ps)
        sizes.append({
            "side": side, "buffer (KiB)": kib, "latency (us)": run.end_ps * 1e-6, "DRAM (MB)": run.dram_bytes / 1e6,
            "energy (mJ)": sum(item.energy_uj for item in items) / 1e3,
            "intensity": needed / run.dram_bytes, "gops": needed / seconds / 1e9,
            "peak": 2e-9 * 2 * side * side * unit.clock,
        })  # fmt: skip
sizes = pd.DataFrame(sizes)
with style():
    figure = new_figure(10.2, 3.4)
    left, middle, right = figure.subplots(1, 3)
    names = {side: f"{side} x {side}" for side in sizes["side"].unique()}
    shown = sizes.assign(array=sizes["side"].map(names))
    for axes, letter, quantity in ((left, "a", "latency (us)"), (middle, "b", "energy (mJ)")):
        line_chart(shown, "buffer (KiB)", quantity, "array", axes=axes)
        axes.set(xscale="log", yscale="log", xlabel="buffer of the core (KiB)", ylabel=quantity,
                 title=f"{letter}  {quantity.split(' ')[0].capitalize()}")  # fmt: skip
        axes.set_xticks(BUFFERS, [str(kib) for kib in BUFFERS])
        axes.minorticks_off()
    for axes, ticks in ((left, [300, 1000, 3000]), (middle, [0.5, 1, 2, 5, 10])):
        axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    middle.get_legend().remove()
    reach = np.geomspace(sizes["intensity"].min() / 2, sizes["intensity"].max() * 3, 100)
    for (side, some), colour, marker in zip(sizes.groupby("side"), (BLUE, ORANGE, GREEN), "osD", strict=True):
        roof = np.minimum(some["peak"].iloc[0], 1e-9 * edge.dram_bandwidth * reach)
        right.plot(reach, roof, color=colour, linewidth=1, alpha=0.7)
        right.plot(some["intensity"], some["gops"], marker, color=colour, markersize=5)
    right.set(xscale="log", yscale="log", xlabel="needed operations for each DRAM byte", ylabel="needed GOP/s",
              title="c  Roofline, both arrays")  # fmt: skip
    right.grid(True, which="major", axis="both")
common.show(figure, "hdp_sizes")
display(sizes.pivot(index="buffer (KiB)", columns="side", values=["latency (us)", "energy (mJ)", "DRAM (MB)"]).round(2))

# %% [markdown]
# What a decision costs stands beside what it saves, on the unit as it ships, with scores that outgrow the buffer
# spilled or computed again:

# %%
costs = []
for length in (64, 128) if common.QUICK else (128, 384, 1024):
    masks = seeded_masks(HEADS, length, 0.7, 0.0, 0)
    some = hdp_work(counts_of_mask(*masks, length, HEAD_DIM), length, HEAD_DIM)
    for scores in ("spilled", "recomputed"):
        cost = decision_overhead(edge.model_copy(update={"integer_scores": scores}), some)
        costs.append({
            "sequence": length, "scores": scores, "cycles added": cost.decision_cycles,
            "cycles saved": cost.saved_cycles,
            "energy added (uJ)": cost.decision_energy(table.actions) * 1e-6,
            "energy saved (uJ)": cost.saved_energy(table.actions) * 1e-6,
        })  # fmt: skip
costs = pd.DataFrame(costs).set_index(["sequence", "scores"])
display(costs.round(1))

# %% [markdown]
# ## What does not agree, and what is not known
#
# - **Sizes.** HDP's arrays, buffers, clocks and node are not published where we could read them. Nothing here says what
#   its authors built.
# - **Counting.** Units with narrow multipliers look small by bits and large by multipliers. No abstract says which it
#   takes, and the choice moves ratios by more than the algorithms do.
# - **Scope.** Each unit prunes the share that is cited for it, on heads that were drawn. On trained heads shares and
#   errors differ ([hdp_pruning](hdp_pruning.ipynb)).
# - **A T4.** The published factor cannot be checked without its length, batch and software.
