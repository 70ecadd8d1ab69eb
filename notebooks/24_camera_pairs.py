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
# # Camera pairs
#
# Any two pictures of a set have a relative rotation and a direction of motion between them. Over all pairs, no
# alignment takes part, and nothing flatters.
#
# **You will learn** what RRA, RTA and AUC are, how the numbers of the released scripts come to be higher, and how sets of
# images are drawn.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in networks on synthetic scenes. The real
# benchmark needs its data set, a GPU, and the released weights:
#
# ```bash
# papermill notebooks/24_camera_pairs.ipynb mine.ipynb -p benchmark co3d -p root data/co3d \
#     -p weights vggt,nomask -p out evaluation -p device cuda
# ```
#
# **The small run** uses rendered scenes with exact cameras. Nothing here was run on CO3D or RealEstate10K.

# %% tags=["parameters"]
weights = "vggt-tiny,tiny"
benchmark = "synthetic"
root = ""
out = ""
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## The numbers
#
# RRA@5 is the share of pairs whose relative rotation is at most 5 degrees off, RTA@5 the same for the direction of
# motion, AUC@5 the area under the share of pairs that are right in both, from 0 to 5 degrees.

# %%
from page4d.evaluate import failures, measured_on, open_study, scores_table

study = open_study("relpose", benchmark, root=root, out=out)
results = []
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    results.append(study.run(model, name))

# %%
scores_table(results).round(3)

# %% tags=["hide-input"]
print(measured_on(results))
print("\n".join(failures(results)) or "no sequence failed")

# %% [markdown]
# ## Over the limit
#
# One limit hides much. The three measures over all four limits show whether rotations or directions are what a network
# gets wrong.

# %% mystnb={"figure": {"caption": "Share of pairs whose rotation (RRA) and whose direction (RTA) are right within a limit, and the area of both (AUC), for each network.", "name": "fig-pairs-limits"}}
import matplotlib.pyplot as plt

limits = (3, 5, 15, 30)
figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True, layout="constrained")
for axis, measure in zip(axes, ("rra", "rta", "auc"), strict=True):
    for scores in results:
        values = [scores.mean[f"{measure}_{limit}"] for limit in limits]
        axis.plot(limits, values, marker="o", label=scores.origin["label"])
    axis.set(xlabel="limit (degrees)", title=measure.upper(), ylim=(0, 1))
axes[0].set_ylabel("share of pairs")
legend = axes[0].legend(fontsize=8)

# %% [markdown]
# ## What a script adds
#
# VGGT's released script for CO3D differs in three ways: it cuts errors down to whole degrees before it sums, it takes
# the opposite direction of motion for right, and it averages over categories. Each can be switched alone. The first
# adds up to a third at a limit of 3 degrees, the second makes guessing better.

# %%
from dataclasses import replace

import pandas as pd
from page4d.evaluate import one_at_a_time

options = ("pair_area", "direction_sign")
protocols = {
    name: protocol
    for name, protocol in one_at_a_time("relpose").items()
    if name == "standard" or name in options
}
rows = {}
for name, protocol in protocols.items():
    found = replace(study, protocol=protocol).score(results[-1].origin["label"])
    rows[name] = {f"AUC@{k}": found.mean[f"auc_{k}"] for k in limits}
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# The first row is the standard protocol, each other row has one option of the released script.
#
# ## Which images
#
# On CO3D and RealEstate10K ten images of each sequence are drawn. The draw depends on the sequence's name and a stated
# seed alone, so that a part of the data gives the same sets as all of it.
#
# ```bash
# page4d evaluate run benchmark=relpose-co3d root=data/co3d weights=vggt out=evaluation
# page4d evaluate run benchmark=relpose-realestate10k root=data/re10k weights=vggt benchmark.seed=1 out=evaluation
# ```
