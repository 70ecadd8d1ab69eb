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
# **You will learn** to use the viewer in a notebook and as a file, how a depth map becomes a place in the world, to get a
# moving mask from geometry or from the model, how each of the two works and fails, and to judge both.
#
# **Needs**: a minute or two on two processor cores.
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
# ## From four numbers to a place
#
# Three dimensions of space and one of time: a prediction says for every pixel of every frame where its point is and when
# it was seen. {numref}`fig-4d-clip` has such a clip, made up, so that all of it is exact.

# %% mystnb={"figure": {"caption": "The clip of this chapter, six of its frames at most: pictures, depth, what moves, and where every pixel goes until the next frame. The hue of the flow is its direction, the saturation its length; plain grey is the last frame, which has no next one.", "name": "fig-4d-clip"}}
import numpy as np
from page4d.result import prediction_from_clip
from page4d.viz import clip_sheet
from page4d.world import split_clip

clip = split_clip("dynamic-test", 3, height=140, width=196, frames=frames)
exact = prediction_from_clip(clip)
sheet = clip_sheet(clip, width_in=6.5)

# %% [markdown]
# Nothing of that is stored as a list of points. Stored are a depth $z$ per pixel, the intrinsics $K$ and
# the pose $R, \mathbf{t}$ of each frame ([notation](../notation.md)), and the point of the pixel $\mathbf{u}$ is
#
# $$ \mathbf{X} = R^\top \big( z\, K^{-1} \mathbf{u} - \mathbf{t} \big) : $$
#
# go along the pixel's ray until the depth is reached, then from the camera's axes into the world's. The next cell does it
# by hand for one pixel, and follows the point into the other frames.
# If it stands still, it must be found there, at the depth that those frames have themselves.


# %%
def lift(i, u, v):
    ray = np.linalg.inv(exact.K[i]) @ (u, v, 1)
    R, t = exact.cam_from_world[i, :, :3], exact.cam_from_world[i, :, 3]
    return R.T @ (exact.depth[i, v, u] * ray - t)


def look_at(i, X):
    """Pixel and depth under which camera i should see the point X."""
    x = exact.cam_from_world[i, :, :3] @ X + exact.cam_from_world[i, :, 3]
    u, v, _ = exact.K[i] @ x / x[2]
    return u, v, x[2]


# %% mystnb={"figure": {"caption": "One still and one moving point of the first frame, looked up in later frames: the depth at which each frame should see it, and the depth that it sees there, in metres.", "name": "tab-4d-followed"}}
import pandas as pd

moving = clip.moving.numpy()


def followed(kind, mask):
    """One pixel of the first frame, the middle one of a mask, looked up in each frame."""
    vs, us = np.nonzero(mask)
    v, u = vs[len(vs) // 2], us[len(us) // 2]
    X, rows = lift(0, u, v), {}
    for i in range(0, len(exact), max(1, len(exact) // 4)):
        a, b, z = look_at(i, X)
        column, row = round(a), round(b)
        inside = 0 <= column < exact.depth.shape[2] and 0 <= row < exact.depth.shape[1]
        there = f"{exact.depth[i, row, column]:.2f}" if inside else "not in view"
        rows[f"frame {i}"] = {"depth of the point": f"{z:.2f}", "depth seen": there}
    return pd.concat({kind: pd.DataFrame(rows)})


pd.concat([followed("still", ~moving[0]), followed("moving", moving[0])])

# %% [markdown]
# In {numref}`tab-4d-followed`, the two rows of the still point agree to within the size of a pixel; where they do
# not, something else stands in front of it, or a depth edge lies within the pixel. For the moving point they agree in
# the first frame and part later: what is seen there is another place. Everything in this chapter follows from it:
# what agrees over time may be *gathered*, what does not must be shown at its own time.
#
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

# %% mystnb={"figure": {"caption": "The viewer with exact geometry. World axes are those of the first camera: x right, y down, z forward.", "name": "fig-viewer-exact"}}
from page4d.viz import notebook_viewer

notebook_viewer(exact, moving)

# %% [markdown]
# As one file that opens anywhere, without internet:
#
# ```bash
# page4d predict my/folder --weights mask --out result
# page4d view result --html result.html
# ```
#
# The page keeps depth as an image and lifts it on the graphics card, by the formula above: a depth and a colour per pixel,
# and one small camera per frame. A list of points would write the same out, three coordinates and three colours per pixel.

# %%
pixels = 24 * 518 * 392
listed = pixels * (3 * 4 + 3) / 1e6
print(f"24 frames of a phone's shape: {pixels:,} points, {listed:.0f} MB as a list")
print(
    f"as depth of 16 bits and colours, before compression: {pixels * (2 + 3) / 1e6:.0f} MB"
)

# %% [markdown]
# Pictures compress well beyond that, lists of points hardly. On a computer without a graphics card the processor draws
# the points instead; where even that is slow, fewer of them while something moves, and all when it rests.
#
# ## What moves? Two answers
#
# **Geometry.** A still point that one frame sees must be at its place in the others, or be hidden. If another frame
# looks through that place, or if the picture there moved differently than the camera explains, the point has moved.
# This needs only depth, cameras and pictures, so it works with any weights.
#
# Look closely at the word "through", for the comparison is not symmetric. Let $z$ be the depth at which frame $j$ should
# see the point, and $z_j$ the depth that it does see there. If $z_j < z$, something nearer is in the way: the point may
# well be behind it, and nothing follows. If $z_j > z$, frame $j$ looks *through* the place where the point should be, and a
# point that is there would have stopped the look. So only the second case counts, as $\max(0, \ln z_j - \ln z)$. The
# logarithm makes it a share of depth, free of the unit. It is compared with a tolerance of 5 %, or with three times the
# typical disagreement of the two frames, whichever is larger: where predicted depth maps disagree everywhere,
# disagreement says nothing about motion. The second test is optical flow. A ball that rolls along a wall leaves the depth
# at its place almost unchanged, but its picture slides; neighbouring frames are therefore also compared by how far pixels
# went beyond what the camera explains. The larger of all misfits counts.
#
# Both tests leave many pixels without an answer of their own: the middle of a large body lands on the same body again, and
# flow finds nothing to hold on a plain wall. So what is alike answers together. In every square around a pixel the misfits
# $s$ are fitted by a linear function of log depth and colour $g$,
#
# $$ s \approx a^\top g + b, $$
#
# and the pixel's score is the mean of the fits of all squares that it lies in {cite}`he2010guided`. A fit can only change
# where depth or colour do: answers spread over a body and stop at its outline.
#
# **The model's mask.** Networks with the dynamics-aware mask say for each patch how much the pose should look away ([Inside
# the model II: the mask](04_inside_the_model_mask.ipynb)). Its sign is read as moving or still. The paper trains it through
# the poses alone; the small network's was also taught by true motion.
#
# The first answer compares, the second recognizes. Comparing needs at least two frames that see the same place, and it
# goes wrong where they do not: at the edge of the picture, behind something that passes, in a stretch of wall without
# texture, where a wrong depth fits as well as the right one. Recognizing needs no second frame and is not bothered by
# any of this, but it can only find what looks like the moving things it was taught by. ([Inside the model II: the
# mask](04_inside_the_model_mask.ipynb) shows networks films in which nothing moves, to see which of the two a mask does.)

# %%
import page4d
from page4d.data import open_views

model = page4d.PAGE4D.from_pretrained(weights, device=device)
size, patch = model.config.img_size, model.config.patch_size
views = open_views(images, size=size, patch=patch, frames=frames)
prediction = page4d.predict(model, views.frames)
methods = ["geometric", "model"] if prediction.mask is not None else ["geometric"]
masks = {method: page4d.moving_mask(prediction, method) for method in methods}

# %% mystnb={"figure": {"caption": "Pictures, and below them in white what moves: in truth, where it is known, and by each method that these weights have.", "name": "fig-moving-masks"}} tags=["hide-input"]
from page4d.viz import Row, contact_sheet, pick_frames

shown = pick_frames(len(prediction), 5)
rows = [Row(prediction.images[shown], "image")]
known = {"truth": views.truth.moving.numpy()} if views.truth else {}
for name, mask in {**known, **masks}.items():
    rows.append(Row(mask[shown] * 1.0, name, "0 still, 1 moving", "gray", (0, 1)))
figure = contact_sheet(rows, [f"frame {i}" for i in shown])

# %% [markdown]
# In {numref}`fig-moving-masks`, judge the *kind* of mistake before its size. A rim around a body, or a piece of background
# beside it, was answered together with the body because depth and colour are too much alike there. A whole wall in white
# is a wrong camera: the background seems to move because the camera's own motion was missed. Blobs that ignore outlines are
# the model's mask, which has one value per patch. A body that is half white moves slowly, or along the line of sight.
#
# ## How good are they?
#
# On held-out synthetic clips the exact mask is known. With $\hat A$ the pixels called moving and $A$ those that truly move,
#
# $$ \text{IoU} = \frac{|\hat A \cap A|}{|\hat A \cup A|}, $$
#
# the measure of video segmentation {cite}`perazzi2016davis`. It is stricter than it sounds: a mask that finds all of a body
# and as much again is at 0.5. IoU compares the masks themselves, threshold and all. AUC compares the scores behind them
# without a threshold, as in [Figure 2: what the layers see](15_figure_2.ipynb). *Exact geometry* gives the same method true
# depth and cameras: what is missing there is the method's fault, the rest is the network's.

# %%
from page4d.result import (
    MotionOptions,
    geometric_score,
    iou,
    model_score,
    moving_auc,
)

together, alone = MotionOptions(), MotionOptions(reach=0)


def score_of(source, method, options):
    return (
        geometric_score(source, options)
        if method == "geometric"
        else model_score(source)
    )


# %%
found, share, dark = [], 0.0, []
for index in range(clips):
    clip = split_clip("dynamic-test", index, height=size, width=size, frames=frames)
    truth = clip.moving.numpy()
    share += truth.mean() / clips
    dark.append(moving_auc(-clip.images.mean(1).numpy(), truth))
    ours = page4d.predict(model, clip.images)
    tried = {
        "exact geometry": (prediction_from_clip(clip), "geometric", together),
        "predicted geometry": (ours, "geometric", together),
        "predicted, each pixel alone": (ours, "geometric", alone),
        "model's mask": (ours, "model", together),
    }
    for name, (source, method, options) in tried.items():
        if method in methods:
            overlap = iou(page4d.moving_mask(source, method, options), truth)
            score = score_of(source, method, options)
            found.append((name, overlap, moving_auc(score, truth)))

# %% mystnb={"figure": {"caption": "How well each mask finds what moves, on held-out clips: means with 95 % bootstrap intervals.", "name": "tab-4d-masks"}} tags=["hide-input"]
from page4d.evaluate import interval_of_means


def with_interval(values):
    low, high = interval_of_means(values.dropna().to_numpy()[:, None])
    return f"{values.mean():.3f}  ({low[0]:.3f} to {high[0]:.3f})"


table = pd.DataFrame(found, columns=["mask from", "IoU", "AUC"])
told = table.groupby("mask from", sort=False).agg(with_interval)
told.rename_axis(index=None, columns="mask from")

# %% [markdown]
# In {numref}`tab-4d-masks`, AUC 0.5 is chance. The next line has two masks that see no motion: everything moves, and what is
# dark moves, for in these scenes things are darker than rooms ([Inside the model II: the mask](04_inside_the_model_mask.ipynb)):

# %% tags=["hide-input"]
from page4d.result import DEFAULT_METHOD

means = table.groupby("mask from")["AUC"].mean()
rivals = [n for n in ("predicted geometry", "model's mask") if n in means]
print(f"all moving: IoU {share:.3f}; darkness as a mask: AUC {np.nanmean(dark):.3f}")
print(f"better AUC on these clips: {means[rivals].idxmax()}")
print(f"default of page4d view and page4d export: {DEFAULT_METHOD}")

# %% tags=["remove-input"]
from IPython.display import Markdown
from page4d.evaluate import marks_text

text = "These weights have no mask of their own."
if "model's mask" in means:
    values = table.loc[table["mask from"] == "model's mask", "AUC"]
    told = marks_text(values).removeprefix("it ")
    text = f"By these scores the model's mask {told}."
Markdown(text)

# %% [markdown]
# This speaks of these weights only; the released ones are not measured here. Weights without a mask always get the
# geometric one. The row of exact geometry says how far better depth and poses would carry it.
#
# Where the geometric mask fails, it has reasons. Motion along the line of sight changes little in the picture. Slow
# motion hides below the depth's own noise. Shadows move without being bodies. Errors of predicted depth and poses look
# like motion: a network that misses the camera's motion sees the background move.
#
# ## How much error does geometry bear?
#
# The last sentence can be measured, by planting errors into exact geometry as [Looking at the
# data](08_looking_at_the_data.ipynb) plants mistakes into data: a depth whose every frame is off by a scale
# of its own, as if the network could not make up its mind about the size of the room, and cameras that are turned by a
# random angle. {numref}`tab-4d-borne` has the same method on the first few of the same clips, so that its first row is
# near that of exact geometry in {numref}`tab-4d-masks` and not equal to it.

# %%
from dataclasses import replace

from scipy.spatial.transform import Rotation

rng = np.random.default_rng(0)


def with_scales(prediction, off):
    factor = np.exp(off * rng.normal(size=(len(prediction), 1, 1)))
    return replace(prediction, depth=(prediction.depth * factor).astype(np.float32))


def with_turns(prediction, degrees):
    turns = rng.normal(size=(len(prediction), 3)) * degrees / np.sqrt(3)
    turned = Rotation.from_rotvec(turns, degrees=True).as_matrix()
    poses = (turned @ prediction.cam_from_world).astype(np.float32)
    return replace(prediction, cam_from_world=poses)


# %%
planted = {
    "depth scale off by": (with_scales, {"1 %": 0.01, "5 %": 0.05, "20 %": 0.2}),
    "camera turned by": (with_turns, {"0.5°": 0.5, "2°": 2.0, "5°": 5.0}),
}
borne = {}
for index in range(min(clips, 4)):
    made = split_clip("dynamic-test", index, height=size, width=size, frames=frames)
    true, right = made.moving.numpy(), prediction_from_clip(made)
    tried = {("nothing planted", ""): right}
    for name, (spoil, sizes) in planted.items():
        tried |= {(name, label): spoil(right, value) for label, value in sizes.items()}
    for name, source in tried.items():
        overlap = iou(page4d.moving_mask(source, "geometric"), true)
        found_ = overlap, moving_auc(geometric_score(source), true)
        borne.setdefault(name, []).append(found_)

# %% mystnb={"figure": {"caption": "What errors that are planted into exact geometry leave of its mask: means over the first clips.", "name": "tab-4d-borne"}} tags=["hide-input"]
kept = pd.DataFrame({name: np.nanmean(rows, 0) for name, rows in borne.items()})
kept = kept.set_axis(["IoU", "AUC"]).T
kept.round(3)

# %% tags=["remove-input"]
intact, lines = kept.loc[("nothing planted", ""), :], []
for name, (_, sizes) in planted.items():
    worst = kept.loc[(name, list(sizes)[-1]), :]
    lines.append(
        f"*{name}* {list(sizes)[-1]}: IoU from {intact['IoU']:.2f} to {worst['IoU']:.2f}, "
        f"AUC from {intact['AUC']:.2f} to {worst['AUC']:.2f}"
    )
count = len(borne["nothing planted", ""])
Markdown(
    f"What the largest planted errors leave, on {count} of the {clips} clips: "
    + "; ".join(lines)
    + "."
)

# %% [markdown]
# Two things keep such a mask from collapsing at the first error: most of the picture stands still, so that the tolerance
# can be taken from the picture itself and grows with what does not fit, and what moves fast misfits by more than that. The
# price is paid by slow motion, which the wider tolerance swallows. Read IoU and AUC apart: where AUC stays and IoU goes,
# the scores still have the right order, and it is the threshold that no longer suits them.
#
# A mask from geometry is a difference of two things, the picture as it came and the picture as the camera explains it, and
# errors of either enter it. This is the dilemma of the field: to find the cameras one should know what moves ([Why moving
# scenes break poses](18_why_moving_scenes_break_poses.ipynb)), and to find what moves one should know the cameras.
# Pipelines go round in circles until both agree {cite}`zhang2025monst3r,li2025megasam`; PAGE-4D lets one network guess both
# at once.
#
# ## The network's prediction
#
# {numref}`fig-viewer-predicted` has the network's own depth and cameras for the clip of {numref}`fig-moving-masks`, which
# is another one than that of {numref}`fig-viewer-exact`. A floor or a wall that bends is an error of depth, things that
# stand double are errors of the cameras, and bodies that leave trails are errors of the mask.

# %% mystnb={"figure": {"caption": "The network's prediction in the viewer, with the default moving mask. Lengths are in the network's own unit.", "name": "fig-viewer-predicted"}}
notebook_viewer(prediction, page4d.moving_mask(prediction))

# %% [markdown]
# ## Recap
#
# - Depth, intrinsics and pose of a frame give every pixel its place; a still point is found again there in other frames.
# - A prediction plays: still parts gathered over all frames, moving ones frame by frame.
# - What moves can be asked of geometry, with any weights, or of a network's mask; both are measured against the truth of synthetic clips.
# - A mask from geometry is no better than the depth and the cameras that it is computed from.
#
# ## Exercises
#
# **1.** With exact geometry, which clip is the hardest for the geometric mask, and what moves in it
# ({numref}`fig-4d-hardest`)?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution", "figure": {"caption": "The first frames of the held-out clip that is hardest for the geometric mask, and what truly moves in them.", "name": "fig-4d-hardest"}} tags=["hide-cell"]
exact_rows = table[table["mask from"] == "exact geometry"].reset_index(drop=True)
hardest = int(exact_rows["IoU"].idxmin())
made = split_clip("dynamic-test", hardest, height=size, width=size, frames=frames)
print(f"clip {hardest}: IoU {exact_rows['IoU'][hardest]:.2f}", end=", ")
print(f"{100 * made.moving.float().mean():.1f} % of its pixels move")
pictures = made.images[:4].permute(0, 2, 3, 1).numpy()
moves = Row(made.moving[:4].numpy() * 1.0, "moves", "", "gray", (0, 1))
figure = contact_sheet([Row(pictures, "image"), moves])

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
    f"{100 * (1 - seen.float().mean()):.0f} % lie outside of every other frame, hidden places not counted"
)

# %% [markdown]
# **4.** A mask that finds a body exactly, but is too fat by a margin of two pixels all around: what is its IoU for a square
# body of 8, 32 and 128 pixels? What does that say about comparing IoU between picture sizes?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
for side in (8, 32, 128):
    print(f"{side} px: IoU {side**2 / (side + 4) ** 2:.2f}")
# The same carelessness costs a small body most: IoU at 70 pixels and at 518 are different examinations.

# %% [markdown]
# ## Further reading
#
# {cite:t}`perazzi2016davis` for the measures of masks; {cite:t}`zhang2025monst3r` tell moving from still by comparing flow
# with geometry, as here; {cite:t}`karaev2024cotracker` follow points where a mask says only that they move.
