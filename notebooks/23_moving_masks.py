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
# # Moving masks
#
# The mask of PAGE-4D is said to tell what moves. DAVIS has a way to ask: how much of the true mask a predicted one
# covers (J), and how well it follows the outline (F).
#
# **You will learn** what J and F count, how to score the network's mask, the geometric one and anybody else's, and why a
# mask that helps the poses need not be a good segmentation.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in networks on synthetic scenes. The real
# benchmark needs DAVIS, a GPU, and the released weights:
#
# ```bash
# papermill notebooks/23_moving_masks.ipynb mine.ipynb -p benchmark davis-2016 -p root data/DAVIS \
#     -p weights mask -p out evaluation -p device cuda
# ```
#
# **The small run** uses rendered scenes, in which what moves is known exactly. Nothing here was run on DAVIS.

# %% tags=["parameters"]
weights = "page4d-tiny-mask"
benchmark = "synthetic"
root = ""
out = ""
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## Two masks of one prediction
#
# The network's own mask comes from its mask head: a number for each patch, below zero where pose tokens are told to
# look away. The geometric mask needs no mask head: a pixel moves where depth and cameras contradict a still world. Both
# are brought to the pixels of the truth; all moving things count as one.

# %%
from dataclasses import replace

from page4d.evaluate import failures, measured_on, open_study, scores_table

study = open_study("mask", benchmark, root=root, out=out)
results = []
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    study.predict(model, name)
    results.append(replace(study, moving="geometric").score(name, model))
    results.append(replace(study, moving="model").score(name, model))

# %% [markdown]
# J mean is the intersection over the union, J recall the share of frames above one half, F mean the F-measure of the
# outlines. A frame in which nothing moves and nothing is called moving scores one.

# %%
scores_table(results).round(3)

# %% tags=["hide-input"]
print(measured_on(results))
print("\n".join(failures(results)) or "no sequence failed")

# %% [markdown]
# ## What the numbers look like
#
# The picture shows one frame with the truth and both masks.

# %%
import numpy as np
from page4d.result import model_score, moving_mask

sequence, label = study.sequences()[0], weights.split(",")[-1]
prediction = page4d.Prediction.load(study.predictions(label) / f"{sequence.name}.npz")
middle = len(prediction) // 2
truth = sequence.read_motion(sequence.images[middle]).moving
masks = {"truth": truth, "geometric": moving_mask(prediction, "geometric")[middle]}
if prediction.mask is not None:
    masks["model"] = model_score(prediction)[middle] > 0

# %% mystnb={"figure": {"caption": "The middle frame of the first sequence, and in it what truly moves, what geometry calls moving and what the network's mask calls moving.", "name": "fig-masks-of-a-frame"}}
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 1 + len(masks), figsize=(9, 2.4), layout="constrained")
axes[0].imshow(prediction.images[middle])
axes[0].set_title("frame")
for axis, (name, mask) in zip(axes[1:], masks.items(), strict=True):
    axis.imshow(mask, cmap="gray", vmin=0, vmax=1)
    axis.set_title(f"{name}, {100 * np.mean(mask):.0f} % moving")
for axis in axes:
    done = axis.set_axis_off()

# %% [markdown]
# A mask is cut at zero here, because that is where it turns from looking at to looking away. A mask that orders pixels
# rightly but never crosses zero has a J near zero and still steers the attention; its order is what the exams of the
# built-in networks measure (*mask AUC*).
#
# ## Anybody else's mask
#
# Masks as pictures, bright where something moves, are scored in the same way:
#
# ```bash
# page4d evaluate convert benchmark=mask-davis-2017 root=data/DAVIS label=RAFT --masks results/raft
# page4d evaluate run benchmark=mask-davis-2017 root=data/DAVIS weights=external:RAFT moving=model
# page4d evaluate run benchmark=mask-davis-2016 root=data/DAVIS-2016 weights=mask moving=model
# ```
