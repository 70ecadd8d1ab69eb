# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Speed and memory
#
# How many frames fit into which card, what a long film costs, and how well its windows hold together: computed, measured
# and quoted, each said to be what it is.
#
# **You will learn** to tell the memory of a pass before it starts, which card takes how many frames, what a pass spends its
# time on, why a film in windows needs no more memory when it is longer, and what a join of windows does to the scale of a
# walk.
#
# **Needs**: seconds on any computer. Nothing is measured here: the page reads what the scripts of `benchmarks/` stored, with
# the machine that it was measured on.
#
# **The small run** is the whole page. `make bench` takes the quick measurements again on your machine, in some four minutes;
# `-p results build/bench` shows them here.

# %% tags=["parameters"]
height = 518
width = 336
price_per_hour = 2.0
results = ""

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %%
import itertools
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from page4d.evaluate import stored_results
from page4d.model import ForwardPass, PAGE4DConfig, estimate_memory, frames_that_fit
from page4d.viz import joins_figure

folder = stored_results("speed", results)
stored = {
    path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))
}
print(f"stored: {', '.join(stored) or 'nothing'}")

# %% [markdown]
# ## Frames against memory
#
# What a pass needs follows from the code, so it can be told without running it: weights, pictures, and what the fuller of
# the two stages, the attention blocks and the dense heads, holds at its fullest moment. `page4d predict` tells it before
# it begins. Attention over all frames makes the *time* grow towards the square of their number; the memory grows with the
# number itself, because fused attention never writes its matrix down {cite}`dao2022flashattention`.
#
# The two growths are worth keeping apart, for they end in different ways. Let a frame have $P$ tokens and the clip $S$
# frames. A frame block compares tokens within each frame, $S P^2$ comparisons; a global block compares all with all,
# $(S P)^2$. Their ratio is $S$: with ten frames the global blocks do ten times the comparisons of the frame blocks, with two
# hundred two hundred times. Memory on the other hand is held by *activations*, the tokens of the blocks being computed and
# those that the heads will read, and there are $S P$ of them. So too many frames first make a pass slow and then, at some
# number, impossible. The first is noticed, the second is an error after minutes of waiting, which is why the package
# tells it beforehand.
#
# Which of the two stages is fuller depends on the number of frames. The dense heads work on a fixed number of frames at
# a time, so they cost a constant sum however long the clip is; the tokens cost a sum per frame. For few frames the
# constant decides and the curve below is flat; the more frames, the more the tokens decide and the nearer the curve comes to a
# straight line of slope one, on axes that are both logarithmic.

# %%
config = PAGE4DConfig()
cuda = torch.device("cuda")
half = ForwardPass(config, 1, height, width, torch.bfloat16, torch.bfloat16)
single = ForwardPass(config, 1, height, width)


def gigabytes(one, frames):
    several = ForwardPass(config, frames, height, width, one.held, one.products)
    return estimate_memory(several).tensors / 1e9


# %% [markdown]
# The dots in {numref}`fig-memory` are measured, `torch.cuda.max_memory_allocated` on the card that the legend names. The crosses are VGGT's,
# **quoted** from its readme (commit 2494ff7; H100, the attention blocks alone, without its heads), in code that kept every
# layer's tokens; newer versions keep less.

# %% mystnb={"figure": {"caption": "Memory of one pass against its frames: computed, measured, and quoted from VGGT's readme.", "name": "fig-memory"}}
frames = [1, 2, 4, 8, 10, 20, 50, 100, 200]
quoted_gb = [1.88, 2.07, 2.45, 3.23, 3.63, 5.58, 11.41, 21.15, 40.63]
measured = stored.get("memory", {}).get("measured", {})
figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
axis.plot(frames, [gigabytes(half, n) for n in frames], label="computed, bfloat16")
axis.plot(frames, [gigabytes(single, n) for n in frames], label="computed, float32")
axis.plot(frames, quoted_gb, "x", color="0.4", label="VGGT's attention blocks, quoted")
rows = measured.get("bf16", [])
at, took = [row["frames"] for row in rows], [row["allocated_gb"] for row in rows]
axis.plot(at, took, "o", label=f"measured, {measured.get('card', 'nowhere')}")
axis.set(
    xlabel=f"frames of {height} x {width} px",
    ylabel="memory (GB)",
    xscale="log",
    yscale="log",
)
axis.set_yticks([2, 4, 8, 16, 32], labels=["2", "4", "8", "16", "32"])
axis.minorticks_off()
_ = axis.legend(fontsize=8)

# %% [markdown]
# How far the account is from the card:

# %%
for row in rows:
    told = gigabytes(half, row["frames"])
    off = told / row["allocated_gb"] - 1
    print(
        f"{row['frames']:>4} frames: {told:.2f} GB computed, {row['allocated_gb']:.2f} measured ({100 * off:+.0f} %), {row['seconds']} s"
    )

# %% [markdown]
# ## How long it takes
#
# The same measurements carry seconds ({numref}`fig-seconds`). If a pass were all global attention, its time would grow with
# the square of its frames; if it were all frame blocks and heads, with the number itself. Between two measured lengths the
# exponent says where the pass is: $\log(t_2/t_1) / \log(S_2/S_1)$.

# %% mystnb={"figure": {"caption": "Seconds of one pass against its frames, measured, beside growth with the number of frames and with its square from the shortest clip on.", "name": "fig-seconds"}}
figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
if rows:
    seconds = [row["seconds"] for row in rows]
    grown = np.array(at) / at[0]
    axis.plot(at, seconds, "o-", label=f"measured, {measured['card']}")
    axis.plot(at, seconds[0] * grown, ":", color="0.4", label="as the frames")
    axis.plot(at, seconds[0] * grown**2, "--", color="0.4", label="as their square")
    axis.set(xscale="log", yscale="log", xticks=at, xticklabels=at)
    axis.minorticks_off()
    axis.legend(fontsize=8)
_ = axis.set(xlabel=f"frames of {height} x {width} px", ylabel="time (s)")

# %% tags=["remove-cell"]
spans = []
for shorter, longer in itertools.pairwise(rows):
    time = np.log(longer["seconds"] / shorter["seconds"])
    more = np.log(longer["frames"] / shorter["frames"])
    spans.append({"exponent": time / more})

# %% tags=["remove-input"]
from IPython.display import Markdown

words = "No pass was measured here."
if spans:
    last = spans[-1]["exponent"]
    near = (
        "nearer to two than to one: attention over all frames decides"
        if last > 1.5
        else "nearer to one than to two: work that grows with the frames alone decides"
    )
    words = f"At the long end the exponent is {last:.2f}, {near}."
    masked = measured.get("bf16_mask", [])
    for row in masked:
        (plain,) = (one for one in rows if one["frames"] == row["frames"])
        ratio = row["seconds"] / plain["seconds"]
        words += f" With the mask on, {row['frames']} frames take {ratio:.2f} times as long as without it."
Markdown(words)

# %% [markdown]
# A practical reading: twice the frames in one pass cost up to four times the time, in two passes twice. Windows are
# therefore not only for small cards. What they cost is the join, of which the end of this page speaks, and frames that
# could have seen each other and do not. Methods that make the global blocks themselves cheaper, by merging tokens
# {cite}`shen2025fastvggt` or by working along the film {cite}`deng2025vggtlong`, stand between the two.
#
# ## What the time goes into
#
# Every operation needs arithmetic and moves bytes. A machine can do only so much of either in a second, so an operation
# takes at least the longer of two times: its operations over the machine's *rate*, its bytes over its *bandwidth*. Which one
# decides follows from their ratio, the operations for each byte moved. Drawn over that ratio, what can be reached looks like
# a roof {cite}`williams2009roofline`: a slope where bytes decide, a flat top where arithmetic does.
#
# {numref}`fig-roofline` has two of them. That of the H100 is **quoted** from NVIDIA's data sheet (dense bfloat16: 989 TFLOP/s;
# TF32, in which the heads' convolutions run, half of that; 3.35 TB/s); that of a small processor is measured by
# `benchmarks/roofline.py --roof`, which also counts the work: the full network runs on tensors that have shapes and no
# memory, and every operation reads its inputs once and writes its outputs once.

# %%
CARD = {"tflop_s": 989.0, "tf32_tflop_s": 494.7, "tb_s": 3.35}
roofline = stored.get("roofline", {})
work = {
    int(n): kinds
    for n, kinds in roofline.get("counted_bf16", {}).items()
    if n.isdigit()
}


def least_seconds(name, kind):
    rate = CARD["tf32_tflop_s" if name == "convolutions" else "tflop_s"]
    return max(kind["tflop"] / rate, kind["gb"] / 1e3 / CARD["tb_s"])


roofs = {"H100, bfloat16, quoted": (CARD["tflop_s"], CARD["tb_s"])}
if "roof" in roofline:
    cpu = roofline["roof"]
    label = f"{cpu['threads']} processor cores, float32, measured"
    roofs[label] = (cpu["float32_tflop_s"], cpu["gb_s"] / 1e3)


# %% mystnb={"figure": {"caption": "Two machines' roofs, and the kinds of work of a pass of the longest clip that was counted, each where its operations for a byte put it.", "name": "fig-roofline"}}
figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
ratio = np.logspace(-1, 5, 200)
for label, (rate, tb_s) in roofs.items():
    axis.plot(ratio, np.minimum(rate, ratio * tb_s), label=label)
for name, kind in work.get(max(work, default=0), {}).items():
    if kind["tflop"]:
        at_byte = 1e3 * kind["tflop"] / kind["gb"]
        reached = kind["tflop"] / least_seconds(name, kind)
        axis.plot(at_byte, reached, "o", label=name)
axis.set(xscale="log", yscale="log")
axis.set(xlabel="operations for each byte moved", ylabel="TFLOP/s")
_ = axis.legend(fontsize=7, loc="lower right")

# %% [markdown]
# Norms, sums and copies do next to no arithmetic, so they have no place on the roof, but they take their time
# ({numref}`tab-work`).

# %% mystnb={"figure": {"caption": "The least time of each kind of work on an H100, in milliseconds by the number of frames: counted work under the quoted roof.", "name": "tab-work"}}
least = pd.DataFrame(
    {
        f"{n} frames": {
            name: 1e3 * least_seconds(name, kind) for name, kind in kinds.items()
        }
        for n, kinds in work.items()
    }
)
least.round(1)

# %% tags=["remove-input"]
words = "No work was counted."
if work:
    told = []
    for n, kinds in work.items():
        floor = sum(least_seconds(name, kind) for name, kind in kinds.items())
        share = least_seconds("", kinds["attention over all frames"]) / floor
        took_s = next((row["seconds"] for row in rows if row["frames"] == n), None)
        ran = (
            f"; measured {took_s:.3g} s, so {100 * floor / took_s:.0f} % of what the roof allows"
            if took_s
            else ""
        )
        told.append(
            f"- {n} frames: at least {floor:.2g} s, {100 * share:.0f} % of it attention over all frames{ran}."
        )
    words = "\n".join(told)
Markdown(words)

# %% [markdown]
# Two things can be read off. A short clip spends much of its time on moving bytes, which is what fusing operations would
# save: `--compile` has torch do that, on a GPU. What it gains and how long it warms up was not measured on one; on a processor
# 283 s of compiling the small network gained nothing, so there it is refused. A long clip is attention over
# all frames, and what makes it much shorter is fewer frames, or fewer keys, of which the end of this page speaks.
#
# ### bfloat16 on a processor
#
# `--precision bf16` is for GPUs. Some processors have instructions for bfloat16 as well, and {numref}`tab-precision` is one
# that has those of AVX-512 but no matrix unit (AMX).

# %% mystnb={"figure": {"caption": "Four frames through six pairs of full width on a processor with bfloat16 instructions: processor time, and distance of the outputs from float32, |a - b| / |b|.", "name": "tab-precision"}}
precision = stored.get("precision", {}).get("cpu", {})
ways = {
    "float32": "float32",
    "autocast": "bfloat16, cast at every use",
    "held": "bfloat16, matrices held in it",
}
pd.DataFrame(
    {
        label: {
            "CPU s": round(precision[name]["cpu_seconds"], 1),
            "poses": f"{precision[name]['far']['pose_enc']:.1%}",
            "depth": f"{precision[name]['far']['depth']:.3%}",
        }
        for name, label in ways.items()
        if name in precision
    }
).T

# %% tags=["remove-input"]
words = "No processor was measured."
if precision:
    rates = precision["products"]
    slower = precision["held"]["cpu_seconds"] / precision["float32"]["cpu_seconds"]
    kind = "longer" if slower > 1 else "shorter"
    words = (
        f"In bfloat16 the pass takes {slower:.2f} times as long. One product of the MLP runs at {rates['bf16']:.2f} TFLOP/s "
        f"in place of {rates['float32']:.2f} in float32; with its weight packed for the processor beforehand at "
        f"{rates['bf16_packed']:.2f}, {rates['bf16_packed'] / rates['bf16']:.2f} times as fast ({precision['hardware']})."
    )
Markdown(words)

# %% [markdown]
# So on such a processor float32 is the better choice, and packing, which could win no more than that on products alone, is
# not built. The aim was 1.5 times; whether a processor with AMX reaches it nobody has measured here. The distances are of
# random weights; on the built-in networks bfloat16 moves depth by 0.05 % (0.4 % at 99 of 100 pixels) and rotations by up to
# 0.07 degrees, which a test bounds.
#
# ### What a clip costs
#
# {numref}`tab-cost` puts it together for one card. The price of an hour is a parameter of this page, not a finding.

# %% mystnb={"figure": {"caption": "What one pass costs: counted work, computed memory, measured seconds, and money at the page's price of an hour.", "name": "tab-cost"}}
price = f"1,000 clips at {price_per_hour:g} an hour"
costs = pd.DataFrame(
    {
        f"{row['frames']} frames": {
            "work, TFLOP": f"{sum(kind['tflop'] for kind in work[row['frames']].values()):,.0f}",
            "memory, GB": f"{gigabytes(half, row['frames']):.1f}",
            "time, s": f"{row['seconds']:.2f}",
            price: f"{row['seconds'] * price_per_hour / 3.6:.2f}",
        }
        for row in rows
        if row["frames"] in work
    }
)
costs

# %% [markdown]
# Around the passes there is other work, most of it on the processor. {numref}`tab-around` is from one core each, of the
# machine that is named under it; it says how many cores a data loader must be given, or how long an export takes.

# %% tags=["hide-input"]
around = stored.get("costs", {})
lines = {}
if around:
    read = around["loader"]["frames_per_second_of_a_core"]
    world = around["world"]["frames_per_second"]
    step, scored = around["training"], around["scoring"]
    clips = f"{step['clips']} clips of {step['frames']} frames"
    lines = {
        "training frames read, PNG 640 x 480": f"{read['png']:.0f} a second",
        "the same, JPEG": f"{read['jpeg']:.0f} a second",
        "synthetic frames of 112 px": f"{world['cpu_112']:.0f} a second",
        f"a training step, {clips}": f"{step['ms']['whole'] / 1e3:.1f} s",
        f"depth of {scored['frames']} frames scored": f"{scored['cpu_s']:.1f} s",
    }
# %% mystnb={"figure": {"caption": "What the work around the network costs on one core.", "name": "tab-around"}}
exports = stored.get("exports", {}).get("exports", {})
if exports:
    took = exports["rows"]["colmap glb ply"]["first_cpu_s"]
    size = " x ".join(map(str, exports["size_px"]))
    what = f"COLMAP, GLB and PLY of {exports['frames']} frames, {size}"
    lines[what] = f"{took:.1f} s"
pd.DataFrame({"rate or time": lines})

# %% tags=["remove-input"]
words = "Nothing was measured."
if around:
    words = f"Measured on {around['loader']['hardware']}."
Markdown(words)

# %% [markdown]
# A short command is mostly its own start. {numref}`tab-start` takes `page4d predict` with the built-in network apart. Whoever
# has many clips gives them to one start, with `--each`.

# %% mystnb={"figure": {"caption": "The parts of one start of page4d predict with the built-in network, in processor seconds.", "name": "tab-start"}}
start = stored.get("start", {}).get("start", {})
parts = {name: part["cpu_s"] for name, part in start.get("parts", {}).items()}
parts.pop("second pass", None)  # not of the start
if start:
    parts["the whole command"] = start["whole"]["cpu_s"]
pd.DataFrame({"CPU s": parts}).round(2)

# %% tags=["remove-input"]
words = "No start was measured."
if start:
    whole = parts["the whole command"]
    torch_share, own = (parts[name] / whole for name in ("import torch", "first pass"))
    words = (
        f"Importing torch is {100 * torch_share:.0f} % of the whole, the first pass {100 * own:.0f} % ({start['hardware']}). What no "
        "part names is the command's own: reading options, and asking git for the revision."
    )
Markdown(words)

# %% [markdown]
# ## What fits on which card
#
# {numref}`tab-cards` leaves a gigabyte for CUDA itself and a twentieth for gaps between blocks of memory. What does not fit in one pass goes in
# windows: `page4d predict --window`.

# %% mystnb={"figure": {"caption": "The most frames of one pass, by the card's memory.", "name": "tab-cards"}}
cards = {8: "8 GB", 12: "12 GB", 16: "16 GB", 24: "24 GB", 48: "48 GB", 80: "80 GB"}
table = {}
for name, one in {"bfloat16": half, "float32": single}.items():
    table[name] = [frames_that_fit(one, cuda, size * 10**9) for size in cards]
pd.DataFrame(table, index=list(cards.values()))

# %% [markdown]
# ## A film of any length
#
# In windows a film is decoded, predicted and written part by part. The figures in {numref}`tab-films`
# are of the small network on one core, for
# films that differ in nothing but their length; rows that agree in memory and time are what was promised. A shared
# processor is faster at one minute than at another, so after every window eight frames are predicted alone, and the time
# of a frame of the film also stands as a multiple of theirs.
#
# This is easier to promise than to keep. A decoder that hands out the whole film, a list that collects predictions until
# the end, a file that has to be closed before it can be read: any of them makes memory grow with the film, slowly enough
# that ten seconds look fine and ten minutes do not. So the test is not that a film passes, but that a film of many times
# the length passes with the same peak. What is allowed to grow is the disk. And a run that takes an hour will be killed
# some day; each window is written as soon as it is done, and a second start goes on after the last whole one. Whether a film
# that was killed and started again has the same bits as one that was not is printed under the table.

# %% mystnb={"figure": {"caption": "Peak memory and processor time of films of three lengths, and what they store.", "name": "tab-films"}}
films = stored.get("films", {})
film_table = pd.DataFrame(
    films.get("rows", []),
    columns=["frames", "peak_mb", "cpu_ms_per_frame", "film_over_alone", "stored_mb"],
)
film_table.rename(
    columns={
        "peak_mb": "peak, MB",
        "cpu_ms_per_frame": "CPU ms a frame",
        "film_over_alone": "over the same alone",
        "stored_mb": "stored, MB",
    }
).round(2).set_index("frames")

# %%
if films:
    measured = {
        "memory": "peak_mb",
        "time of a frame": "cpu_ms_per_frame",
        "the same over eight alone": "film_over_alone",
    }
    for label, column in measured.items():
        values = film_table[column]
        print(f"{label}: largest over smallest {values.max() / values.min():.3f}")
    frames, shared = films["about"]["window"]
    made_on = films["about"]["hardware"]
    print(f"windows of {frames} frames that share {shared}, {made_on}")
    killed = films.get("killed")
    if killed:
        same = "the same bits" if killed["same_bits"] else "OTHER BITS"
        print(
            f"{killed['frames']} frames, killed after {killed['parts_when_killed']} parts and started again: {same}"
        )
else:
    print("NO FILM WAS MEASURED: benchmarks/films.py has stored nothing.")

# %% tags=["remove-input"]
words = ""
if films:
    raw, over = (
        film_table[column].max() / film_table[column].min()
        for column in ("cpu_ms_per_frame", "film_over_alone")
    )
    kept = "within" if raw <= 1.1 else "beyond"
    words = (
        f"Among these films the time of a frame differs by a factor of {raw:.2f}, {kept} the 1.10 that was wanted; as a multiple "
        f"of the same work alone, which takes out the processor's own changes of pace, by {over:.2f}."
    )
Markdown(words)

# %% [markdown]
# ## What joins do to a walk
#
# Every window has a scale of its own. Exact geometry of a 1,000-frame walk, in rounds through the four rooms of a house
# (another for each seed), was cut into windows, and each was given another world, another scale, noise on depth, and pixels
# five times too far. Least squares divides by the variance of its noisy source, so that the scale shrinks at every join; the
# median of depth ratios and a reweighted rigid fit do not.
#
# The reason is old and worth seeing once. Two windows share frames, and in them every pixel has a point in both. Their
# relation is a similarity, and the textbook answer for its scale is least squares {cite}`umeyama1991` ([notation](../notation.md) for
# its letters),
#
# $$\hat s = \frac{\sum_i \langle \mathbf{y}_i, R\,\mathbf{x}_i \rangle}{\sum_i \|\mathbf{x}_i\|^2}$$
#
# for centred points. Noise on $\mathbf{y}$ averages out of the numerator. Noise of variance $\sigma^2$ on
# $\mathbf{x}$ does not average out of the denominator: it adds $\sigma^2$ to every term, so that $\hat s$ comes out too
# small by about $1 / (1 + \sigma^2 / \operatorname{var}\mathbf{x})$. One per cent at a join is invisible. After a hundred
# joins it is $0.99^{100}$, and a third of the walk's size is left. Wrong pixels make it worse, because a point five times
# too far counts twenty-five times in the denominator. A *ratio* of depths, pixel by pixel, has no such sum, and its
# median does not care how far off the wrong pixels are, as long as they are fewer than half. {numref}`fig-joins` has both.

# %% mystnb={"figure": {"caption": "A walk whose windows were joined by least squares (plain), as page4d does it (robust), and with loops. Left: the scale at its end, over the planted errors. Middle and right: scale and place along it, at the worst errors. Values below 0.0001 are drawn there.", "name": "fig-joins"}}
joins = stored.get("joins", {}).get("rows", [])
if joins:
    joins_figure(joins)
else:
    print("NO JOIN WAS MEASURED: benchmarks/joins.py has stored nothing.")

# %%
longest = max((row["frames"] for row in joins), default=0)
for level in ((0.02, 0.01), (0.1, 0.05)):
    own = [
        row
        for row in joins
        if row["frames"] == longest and (row["depth_noise"], row["outliers"]) == level
    ]
    ends = [row["end_scale"] for row in own if row["join"] == "robust"]
    if ends:
        off = np.abs(np.array(ends) - 1).max()
        print(
            f"{100 * level[0]:.0f} % noise, {100 * level[1]:.0f} % outliers: "
            f"scale off by {100 * off:.2f} % at most after {longest} frames"
        )

# %% [markdown]
# ## Loops
#
# A robust join takes the bias away, not the chance: every join still errs a little, errors add up like the steps of someone
# who does not know where he goes, and nothing later in the chain can tell. Unless the camera comes back. Two visits to one
# place say directly how the ends of the chain lie to each other, and what the chain and the loop disagree about can be shared
# out over all joins. That is a *pose graph*: windows are its nodes, joins and loops its edges, each a similarity with a
# certainty of its own, and the corrected film is the placement that fits all edges best.
#
# The danger is a loop that is none. Two corners of one wallpaper look alike, and a wrong loop folds the film. So `--loops`
# is slow to believe: small grey pictures propose one pair of frames for a window at most; frames around both are predicted
# in one small *mixed* window; and only if that window's geometry takes what one visit saw to where the other sees the same,
# in depth and in grey values, and both halves fit the film, is the loop an edge {cite}`deng2025vggtlong`.
# {numref}`tab-loops` says what that is worth.

# %% mystnb={"figure": {"caption": "The same windows joined in three ways: the largest error along the longest walk, over all seeds.", "name": "tab-loops"}}
walks = pd.DataFrame(
    [row for row in joins if row["frames"] == longest],
    columns=["depth_noise", "outliers", "join", "end_scale", "worst_place", "loops"],
)
walks["scale off by"] = (walks["end_scale"] - 1).abs()
grouped = walks.groupby(["depth_noise", "outliers", "join"])
columns = {
    "scale off by": "max",
    "worst_place": "max",
    "loops": "min",
}
loop_table = grouped.agg(columns).rename(
    columns={"worst_place": "camera off by, share of the way", "loops": "fewest loops"}
)
shares = ["scale off by", "camera off by, share of the way"]
in_words = {name: (100 * loop_table[name]).map("{:.3f} %".format) for name in shares}
loop_table.assign(**in_words).rename_axis(["noise of depth", "outliers", "join"])

# %% tags=["remove-input"]
words = "No walk was measured."
if len(loop_table):
    noise, outliers = max((row["depth_noise"], row["outliers"]) for row in joins)
    place = loop_table["camera off by, share of the way"]
    chain = place[noise, outliers, "robust"]
    closed = place[noise, outliers, "robust with loops"]
    verdict = (
        f"loops leave {100 * closed / chain:.0f} % of the error of the chain"
        if closed < chain
        else "loops gain nothing over the chain"
    )
    words = f"At {100 * noise:.0f} % noise and {100 * outliers:.0f} % outliers {verdict}: {100 * closed:.3f} % of the way in place of {100 * chain:.3f} %."
Markdown(words)

# %% [markdown]
# So much for joins alone. With a network the windows themselves bend, and joins are not what errs most. The small network on
# such a walk, in one pass where that fits, in windows, and in windows with loops, is {numref}`tab-network-loops`.

# %% mystnb={"figure": {"caption": "The small network on a walk through rooms: error of the cameras' places after the best similarity, and largest over smallest scale along the walk.", "name": "tab-network-loops"}}
HEADS = {
    "frames": "frames",
    "way": "way",
    "place": "place, share of the way",
    "scale_spread": "largest over smallest scale",
    "loops": "loops closed",
    "looked_at": "loops looked at",
    "cpu_s": "CPU s",
}
on_a_walk = stored.get("joins", {}).get("network", [])
network = pd.DataFrame(on_a_walk, columns=list(HEADS))
network.rename(columns=HEADS).set_index(["frames", "way"])

# %% tags=["remove-input"]
words = "The small network was not measured on a walk."
if len(network):
    errors = network[network["frames"] == network["frames"].max()].set_index("way")
    pass_error, chain = errors["place"]["one pass"], errors["place"]["robust"]
    last = errors.loc["robust with loops"]
    words = (
        f"Of {last['looked_at']:g} places looked at {last['loops']:g} were believed; the error is {100 * last['place']:.1f} % of the "
        f"way with loops, {100 * chain:.1f} % without, {100 * pass_error:.1f} % in one pass."
    )
Markdown(words)

# %% [markdown]
# ## Fewer keys
#
# Most of a long pass is global attention: every token asks every other, and with $S$ frames of $P$ tokens that is $(SP)^2$
# questions. But neighbouring patches say much the same, and other frames see the place again. With `--fewer-keys` all tokens
# still ask, but of every frame except the first only one of every 2 x 2 patches answers, beside the special tokens: about a
# quarter of the work. The first frame stays whole, because all cameras and points are told in its world. It is an
# approximation of an idea that {cite:t}`shen2025fastvggt` carried further, and whether it pays is measured in
# {numref}`tab-fewer-keys`.

# %% mystnb={"figure": {"caption": "Global attention with all keys, with one of every four, and with the mean of every four: the processor's time for a clip, and the errors of the small networks on the same clips of the dynamic test split.", "name": "tab-fewer-keys"}}
scores = ["cpu_s", "abs_rel", "rotation", "direction"]
fewer = pd.DataFrame(
    stored.get("fewer_keys", {}).get("rows", []),
    columns=["weights", "frames", "keys", *scores, "change"],
)
headings = ["CPU s a clip", "AbsRel", "rotation, degrees", "direction, degrees"]
asked = fewer.set_index(["weights", "frames", "keys"])[scores]
asked.set_axis(headings, axis="columns")

# %% tags=["remove-input"]
words = "Fewer keys were not measured."
if len(fewer):
    told = []
    for (name, frames), rows in fewer.groupby(["weights", "frames"]):
        by_keys = rows.set_index("keys")
        every, one = by_keys.loc["all"], by_keys.loc["one of four"]
        change, low, high = (value / every["abs_rel"] for value in one["change"])
        faster = every["cpu_s"] / one["cpu_s"]
        turned, led = (
            one[score] / every[score] - 1 for score in ("rotation", "direction")
        )
        pays = max(change, turned, led) < 0.02
        told.append(
            f"- `{name}`, {frames} frames: {faster:.2f} times as fast; the depth error changes by {100 * change:+.1f} % "
            f"(95 % interval {100 * low:+.1f} to {100 * high:+.1f} %), that of rotation by {100 * turned:+.1f} %, that of direction by {100 * led:+.1f} %: "
            f"{'all' if pays else 'not all'} stay under the 2 % that an approximation may cost here"
        )
    words = "\n".join(told)
Markdown(words)

# %% [markdown]
# These are small networks on small pictures; on the released weights it has not been measured. So it is an option and never
# the default, and a Prediction says in `meta["global_keys"]` which way it was made.

# %% [markdown]
# ## Recap
#
# - Time grows faster than the frames of a pass, the longer the clip the nearer to their square; memory grows with their number.
# - Work and bytes of a pass can be counted without running it; under a card's roof they say what its time goes into.
# - The memory of a pass is computed before it starts; dots on the card say how far the account is off.
# - A film in windows has the peak of one window, whatever its length.
# - A join by least squares shrinks the scale at every step; a median of ratios does not.
# - Where the camera comes back, a loop says how far the chain has gone wrong, and all joins share it; a loop is believed only
#   if depth and pictures both bear it out.
# - Many frames say the same thing several times; whether fewer keys will do is measured, not assumed.
#
# ## Exercises
#
# **1.** A card has 24 GB and a clip 1,500 frames of this size. In how many windows with an overlap of 4 does it go, in
# each precision?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
for name, one in {"bfloat16": half, "float32": single}.items():
    most = frames_that_fit(one, cuda, 24 * 10**9)
    windows = 1 + max(0, -(-(1500 - most) // (most - 4)))
    print(f"{name}: {most} frames fit, so {windows} windows")
# The first window holds all that fits, each further one adds all but the overlap.

# %% [markdown]
# **2.** How many frames fit into 24 GB if pictures are half as wide and half as high? Four times as many?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
patch = config.patch_size
lower = [side // 2 // patch * patch for side in (height, width)]
smaller = ForwardPass(config, 1, *lower, torch.bfloat16, torch.bfloat16)
both = [frames_that_fit(one, cuda, 24 * 10**9) for one in (half, smaller)]
print(
    f"{both[0]} at full size, {both[1]} at {lower[0]} x {lower[1]} px: {both[1] / both[0]:.1f} times"
)
# Not exactly four: sides are cut to whole patches, and the weights are the same.

# %% [markdown]
# **3.** Fit a scale by least squares to points with noise and watch the bias: draw 100,000 points, scale them by 2, add
# noise of a tenth of their spread to the *source*, and fit. How much is left after fifty such joins?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
rng = np.random.default_rng(0)
x = rng.normal(size=100_000)
y = 2 * x
noisy = x + rng.normal(0, 0.1, x.shape)
fitted = (noisy * y).sum() / (noisy**2).sum()
print(
    f"fitted {fitted:.4f} in place of 2; after fifty joins {(fitted / 2) ** 50:.2f} of the size is left"
)

# %% [markdown]
# **4.** Do the same with the median of the ratios, and with one point in twenty made five times as large.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
spoilt = np.where(rng.random(x.shape) < 0.05, 5 * noisy, noisy)
squares = (spoilt * y).sum() / (spoilt**2).sum()
print(f"least squares {squares:.3f}, median of ratios {np.median(y / spoilt):.3f}")

# %% [markdown]
# ## Further reading
#
# {cite:t}`dao2022flashattention` for attention that never writes its matrix, {cite:t}`wang2025vggt` for the quoted
# memory, {cite:t}`deng2025vggtlong` and {cite:t}`shen2025fastvggt` for long films, {cite:t}`umeyama1991` for the fit
# that shrinks, {cite:t}`fischler1981ransac` for the idea that wrong points should not vote.
