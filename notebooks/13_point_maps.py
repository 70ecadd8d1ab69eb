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
# # Point maps
#
# Accuracy asks how far predicted points lie from the true surface, completeness how much of the true surface was
# found.
#
# **You will learn** how two clouds are brought together, what mean and median tell apart, and why these numbers stand
# alone.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in network on synthetic scenes. The real
# benchmark needs its data set, a GPU, and the released weights:
#
# ```bash
# papermill notebooks/13_point_maps.ipynb mine.ipynb -p benchmark dycheck -p root data/dycheck \
#     -p weights vggt,nomask,mask -p out evaluation -p device cuda
# ```
#
# With `out` the predictions are kept, and a second run goes on where the first one stopped.
#
# **The small run** uses rendered scenes, whose points are exact.
#
# ```{warning}
# No public script exists for this task. The paper's table is quoted below, but which frames, which alignment and
# which clean-up it used is not known. **Our numbers are not comparable with it.**
# ```

# %% tags=["parameters"]
weights = "vggt-tiny,tiny,page4d-tiny-mask"
benchmark = "synthetic"
root = ""
out = ""
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## Our protocol
#
# 1. Every pixel that has a measured depth gives one true point and one predicted point.
# 2. One similarity (Umeyama) moves the predicted points onto the true ones. There is no ICP, because ICP may slide a
#    wrong shape onto a wrong place.
# 3. Accuracy is the distance from each predicted point to its nearest true point, completeness the other way round,
#    overall is the mean of both.

# %%
import page4d
from page4d.evaluate import failures, measured_on, open_study, quoted_rows

study = open_study("points", benchmark, root=root, out=out)
results = []
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    results.append(study.run(model, name))

# %%
from page4d.evaluate import quoted_table, scores_table

scores_table(results).round(3).T

# %% [markdown]
# The published rows, for orientation; *unchecked*: not yet compared with the paper's own PDF.

# %%
quoted_table(quoted_rows("points")).round(3)

# %% tags=["hide-input"]
print(measured_on(results))
print("\n".join(failures(results)) or "no sequence failed")

# %% [markdown]
# ## Nearest is kind
#
# A nearest neighbour is rarely the right one. The distance between points *of the same pixel* is never smaller; how
# much larger it is says how kind the measure is.

# %%
import numpy as np
import torch
from page4d.evaluate import predicted_points, true_points
from page4d.geometry import fit_similarity
from scipy.spatial import cKDTree

sequence, label = study.sequences()[0], weights.split(",")[-1]
prediction = page4d.Prediction.load(study.predictions(label) / f"{sequence.name}.npz")
points, found, true = predicted_points(prediction), [], []
for i, (image, depth) in enumerate(zip(sequence.images, sequence.depths, strict=True)):
    gt, seen = true_points(sequence, image, depth, prediction, i)
    found.append(points[i][seen])
    true.append(gt[seen])
found, true = (
    torch.from_numpy(np.concatenate(found)),
    torch.from_numpy(np.concatenate(true)),
)

# %%
moved = fit_similarity(found, true).apply(found).numpy()
same_pixel = np.linalg.norm(moved - true.numpy(), axis=1)
accuracy, _ = cKDTree(true.numpy()).query(moved)
completeness, _ = cKDTree(moved).query(true.numpy())

# %% mystnb={"figure": {"caption": "Distances in one sequence: between points of the same pixel, and to the nearest point both ways.", "name": "fig-points-distances"}}
import matplotlib.pyplot as plt

figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
share = np.linspace(0, 1, len(moved))
curves = {
    "same pixel": same_pixel,
    "accuracy": accuracy,
    "completeness": completeness,
}
for name, values in curves.items():
    axis.plot(np.sort(values), share, label=name)
far = np.quantile(np.concatenate(list(curves.values())), 0.98)
axis.set(xlabel=f"distance ({study.benchmark.unit})", xlim=(0, far))
axis.set(ylabel="share of points", ylim=(0, 1))
legend = axis.legend()

# %% [markdown]
# A flat cloud in the middle of the room would have a fair accuracy and a poor completeness: every predicted point is
# near *some* surface, but most surfaces have no point. Both columns must be read together.
#
# ```bash
# page4d evaluate run benchmark=points-dycheck root=data/dycheck weights=nomask out=evaluation
# ```
