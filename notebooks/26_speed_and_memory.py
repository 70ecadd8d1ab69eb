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
# **You will learn** to tell the memory of a pass before it starts, which card takes how many frames, why a film in windows
# needs no more memory when it is longer, and what a join of windows does to the scale of a walk.
#
# **Needs**: seconds on any computer. Nothing is measured here: the page reads what `benchmarks/memory.py`,
# `benchmarks/films.py` and `benchmarks/joins.py` stored, with the machine that it was measured on.
#
# **The small run** is the whole page.

# %% tags=["parameters"]
height = 518
width = 336
results = ""

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %%
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
# it begins. Attention over all frames makes the *time* grow with the square of their number; the memory grows with the
# number itself, because fused attention never writes its matrix down.

# %%
config = PAGE4DConfig()
cuda = torch.device("cuda")
half = ForwardPass(config, 1, height, width, torch.bfloat16, torch.bfloat16)
single = ForwardPass(config, 1, height, width)


def gigabytes(one, frames):
    several = ForwardPass(config, frames, height, width, one.held, one.products)
    return estimate_memory(several).tensors / 1e9


# %% [markdown]
# The dots are measured, `torch.cuda.max_memory_allocated` on the card that the legend names. The crosses are VGGT's,
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
_ = axis.legend(fontsize=8)

# %% [markdown]
# How far the account is from the card:

# %%
for row in rows:
    told = gigabytes(half, row["frames"])
    off = told / row["allocated_gb"] - 1
    print(
        f"{row['frames']:>4} frames: {told:.2f} GB computed, {row['allocated_gb']:.2f} measured ({off:+.0%}), {row['seconds']} s"
    )

# %% [markdown]
# ## What fits on which card
#
# With a gigabyte for CUDA itself and a twentieth for gaps between blocks of memory. What does not fit in one pass goes in
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
# In windows a film is decoded, predicted and written part by part. The figures are of the small network on one core, for
# films that differ in nothing but their length; a straight level line is what was promised.

# %% mystnb={"figure": {"caption": "Peak memory and processor time of films of three lengths, and what they store.", "name": "tab-films"}}
films = stored.get("films", {})
film_table = pd.DataFrame(
    films.get("rows", []),
    columns=["frames", "peak_mb", "cpu_ms_per_frame", "stored_mb"],
)
film_table.set_index("frames")

# %%
if films:
    peak, pace = film_table["peak_mb"], film_table["cpu_ms_per_frame"]
    print(
        f"largest over smallest: memory {peak.max() / peak.min():.3f}, time of a frame {pace.max() / pace.min():.3f}"
    )
    print(
        f"windows of {films['about']['window'][0]} frames that share {films['about']['window'][1]}, {films['about']['machine']}"
    )
    print(f"killed and started again: {films.get('killed', 'not tried')}")
else:
    print("NO FILM WAS MEASURED: benchmarks/films.py has stored nothing.")

# %% [markdown]
# ## What joins do to a walk
#
# Every window has a scale of its own. Exact geometry of a 1,000-frame walk was cut into windows, and each was given another
# world, another scale, noise on depth, and pixels five times too far. Least squares divides by the variance of its noisy
# source, so that the scale shrinks at every join; the median of depth ratios and a reweighted rigid fit do not.

# %% mystnb={"figure": {"caption": "Scale and place at the end of a walk whose windows were joined by least squares and as page4d does it.", "name": "fig-joins"}}
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
            f"{level[0]:.0%} noise, {level[1]:.0%} outliers: scale off by {off:.2%} at most after {longest} frames"
        )

# %% [markdown]
# :::{admonition} Exercise
# :class: tip
# A card has 24 GB and a clip 300 frames of 518 x 336 px. In how many windows with an overlap of 4 does it go?
# :::
#
# :::{admonition} Solution
# :class: dropdown
# Take the most frames that fit, $n$, from the table above. The first window holds $n$ frames, each further one adds
# $n - 4$, so it takes $1 + \lceil (300 - n) / (n - 4) \rceil$ windows if $n < 300$, and one pass otherwise.
# :::
