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
# # Seeing it in 4-D
#
# A prediction is a point cloud that changes with time. This chapter plays it, tells moving parts from the still
# background, and measures how well two ways of telling them apart work.
#
# **You will learn** to use the viewer in a notebook and as a file, to get a moving mask from geometry or from the
# model, and to judge both.
#
# **Needs**: under a minute on any computer.
#
# **The small run** shows exact geometry first, so that faults of the network and of the viewer cannot be confused,
# and then the small network. The viewer's copy on this page is thinned to stay light.

# %% tags=["parameters"]
weights = "page4d-tiny-mask"
images = "synthetic:0"
frames = 8
clips = 12
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## Play it
#
# The clip is rendered from a synthetic world at a larger size than the small network reads, and its exact depth and
# cameras take the place of a prediction. Press play, drag, scroll. *Static background + moving parts* gathers what
# stands still from all frames and adds what moves frame by frame.
#
# Why this one is the default: drawn frame by frame, a scene flickers, because each frame sees another part of the room
# and leaves holes elsewhere. Drawn all at once, everything that moves is smeared along its way, a person as a row of
# persons. Only the mixture, the still parts of all frames and the moving parts of one, looks like a place in which
# something happens. It needs to know what moves, and every fault of that mask is seen at once: a still wall that is
# called moving blinks, a moving arm that is called still leaves a trail. Blinking walls and trails are therefore the two
# things to look for in a prediction of your own.

# %%
from page4d.result import prediction_from_clip
from page4d.world import split_clip

clip = split_clip("dynamic-test", 3, height=140, width=196, frames=frames)
exact = prediction_from_clip(clip)

# %% mystnb={"figure": {"caption": "The viewer with exact geometry. World axes are those of the first camera: x right, y down, z forward.", "name": "fig-viewer-exact"}}
from page4d.viz import notebook_viewer

notebook_viewer(exact, clip.moving.numpy())

# %% [markdown]
# As one file that opens anywhere, without internet:
#
# ```bash
# page4d predict my/folder --weights mask --out result
# page4d view result --html result.html
# ```
#
# The page keeps depth as an image and lifts it on the graphics card. So 24 frames of 200,000 points are about 6 MB,
# where a list of points and colours would be over 100 MB. On a computer without a graphics card the processor draws
# the points instead; where even that is slow, fewer of them while something moves, and all when it rests.
#
# ## What moves? Two answers
#
# **Geometry.** A still point that one frame sees must be at its place in the others, or be hidden. If another frame
# looks through that place, or if the picture there moved differently than the camera explains, the point has moved.
# This needs only depth, cameras and pictures, so it works with any weights.
#
# **The model's mask.** Networks with the dynamics-aware mask say for each patch how much the pose should look away.
# Its sign is read as moving or still. The paper trains it through the poses alone; the small network's was also taught by
# true motion.
#
# The first answer compares, the second recognizes. Comparing needs at least two frames that see the same place, and it
# goes wrong where they do not: at the edge of the picture, behind something that passes, in a stretch of wall without
# texture, where a wrong depth fits as well as the right one. Recognizing needs no second frame and is not bothered by
# any of this, but it can only find what looks like the moving things it was taught by.

# %%
import page4d
from page4d.data import open_views

model = page4d.PAGE4D.from_pretrained(weights, device=device)
size, patch = model.config.img_size, model.config.patch_size
views = open_views(images, size=size, patch=patch, frames=frames)
prediction = page4d.predict(model, views.frames)
methods = ["geometric", "model"] if prediction.mask is not None else ["geometric"]
masks = {method: page4d.moving_mask(prediction, method) for method in methods}

# %% mystnb={"figure": {"caption": "Moving pixels: the truth where it is known, from predicted geometry, and from the model's mask. White is moving.", "name": "fig-moving-masks"}} tags=["hide-input"]
from page4d.viz import Row, contact_sheet, pick_frames

shown = pick_frames(len(prediction), 5)
rows = [Row(prediction.images[shown], "image")]
truth = {"truth": views.truth.moving.numpy()} if views.truth else {}
for name, mask in {**truth, **masks}.items():
    rows.append(Row(mask[shown] * 1.0, name, "0 still, 1 moving", "gray", (0, 1)))
figure = contact_sheet(rows, [f"frame {i}" for i in shown])

# %% [markdown]
# ## How good are they?
#
# On held-out synthetic clips the exact mask is known. IoU compares the masks themselves; AUC compares the scores behind
# them, without a threshold. *Exact geometry* gives the same method true depth and cameras: what is missing there is
# the method's fault, the rest is the network's.

# %%
from page4d.result import geometric_score, iou, model_score, moving_auc

found, share = [], 0.0
for index in range(clips):
    clip = split_clip("dynamic-test", index, height=size, width=size, frames=frames)
    moving = clip.moving.numpy()
    share += moving.mean() / clips
    ours = page4d.predict(model, clip.images)
    tried = {
        "exact geometry": (prediction_from_clip(clip), "geometric", geometric_score),
        "predicted geometry": (ours, "geometric", geometric_score),
        "model's mask": (ours, "model", model_score),
    }
    for name, (source, method, score) in tried.items():
        if method in methods:
            overlap = iou(page4d.moving_mask(source, method), moving)
            found.append((name, overlap, moving_auc(score(source), moving)))

# %% tags=["hide-input"]
import pandas as pd
from page4d.evaluate import interval_of_means


def with_interval(values):
    low, high = interval_of_means(values.dropna().to_numpy()[:, None])
    return f"{values.mean():.3f}  ({low[0]:.3f} to {high[0]:.3f})"


table = pd.DataFrame(found, columns=["mask from", "IoU", "AUC"])
table.groupby("mask from").agg(with_interval)

# %% [markdown]
# Means over clips with 95 % bootstrap intervals. AUC 0.5 is chance. Everything moving everywhere would have the IoU
# of the next line:

# %% tags=["hide-input"]
from page4d.result import DEFAULT_METHOD

means = table.groupby("mask from")["AUC"].mean()
rivals = [n for n in ("predicted geometry", "model's mask") if n in means]
print(f"all moving: IoU {share:.3f}")
print(f"better AUC on these clips: {means[rivals].idxmax()}")
print(f"default of page4d view and page4d export: {DEFAULT_METHOD}")

# %% tags=["remove-input"]
from IPython.display import Markdown
from page4d.evaluate import marks_text

text = "These weights have no mask of their own."
if "model's mask" in means:
    values = table.loc[table["mask from"] == "model's mask", "AUC"]
    text = f"The model's mask: {marks_text(values)}."
Markdown(text)

# %% [markdown]
# This speaks of these weights only; the released ones are not measured here. Weights without a mask always get the
# geometric one. The row of exact geometry says how far better depth and poses would carry it.
#
# Where the geometric mask fails, it has reasons. Motion along the line of sight changes little in the picture. Slow
# motion hides below the depth's own noise. Shadows move without being bodies. Errors of predicted depth and poses look
# like motion: a network that misses the camera's motion sees the background move, as in the figure above.
#
# ## The prediction of the small network

# %% mystnb={"figure": {"caption": "The small network's prediction in the viewer, with the default moving mask. Lengths are in the network's own unit.", "name": "fig-viewer-predicted"}}
notebook_viewer(prediction, page4d.moving_mask(prediction))

# %% [markdown]
# ## Recap
#
# - A prediction plays: still parts gathered over all frames, moving ones frame by frame.
# - What moves can be asked of geometry, with any weights, or of a network's mask; both are measured against truth.
# - A mask from geometry is no better than the depth and the cameras that it is computed from.
#
# ## Exercises
#
# **1.** With exact geometry, which clip is the hardest for the geometric mask, and what moves in it?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
exact_rows = table[table["mask from"] == "exact geometry"].reset_index(drop=True)
hardest = int(exact_rows["IoU"].idxmin())
print(f"clip {hardest}: IoU {exact_rows['IoU'][hardest]:.2f}")
# Look at it: split_clip("dynamic-test", {hardest}) in the viewer.

# %% [markdown]
# **2.** Why is an IoU of 0 possible beside an AUC near 1?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
import numpy as np

truth_ = np.arange(10) >= 8
ordered = np.linspace(0, 0.4, 10)  # right order, but nothing passes a threshold of 0.5
print(f"AUC {moving_auc(ordered, truth_):.2f}, IoU {iou(ordered > 0.5, truth_):.2f}")

# %% [markdown]
# **3.** How much of the second frame's picture is seen by no other frame of the clip, so that geometry has nothing to
# compare?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
import torch
from page4d.geometry import project, transform, world_points

points = world_points(clip.depth, clip.K, clip.cam_from_world)[1].flatten(0, 1)
seen = torch.zeros(len(points), dtype=torch.bool)
for i in (j for j in range(len(clip.depth)) if j != 1):
    xy, z = project(transform(clip.cam_from_world[i], points), clip.K[i])
    seen |= ((xy >= 0) & (xy <= size - 1)).all(1) & (z > 0)
print(
    f"{1 - seen.float().mean():.0%} lie outside of every other frame, hidden places not counted"
)

# %% [markdown]
# ## Further reading
#
# {cite:t}`perazzi2016davis` for the measures of masks; {cite:t}`zhang2025monst3r` tell moving from still by comparing flow
# with geometry, as here; {cite:t}`karaev2024cotracker` follow points where a mask says only that they move.
