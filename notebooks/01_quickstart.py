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
# # Quickstart
#
# One forward pass turns a few pictures of a moving scene into cameras, depth, 3-D points and a mask of what moves.
#
# **You will learn** to load a network, to predict, to look at the result in 3-D, and to check it where the truth is known.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in small network. The released networks
# (`weights = "nomask"` or `"mask"`) need a download of 5 GB and a GPU for comfort. Symbols are on the page of
# [notation](../notation.md).
#
# **The small run** uses synthetic pictures, whose truth is known to the last digit, and a network that is
# hundreds of times smaller than the released one. Its answers are coarse; this page says how coarse. For your own pictures:
#
# ```bash
# papermill notebooks/01_quickstart.ipynb mine.ipynb -p weights nomask -p images my/folder -p device cuda
# ```

# %% tags=["parameters"]
weights = "tiny"
images = "synthetic:7"
frames = 4
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## Ten lines
#
# `weights` is a built-in name, the name of released weights, or a file. `images` is a folder, a video, or the
# synthetic world. Pictures are fitted to the size that the network was made for.

# %%
import page4d
from page4d.data import open_views

model = page4d.PAGE4D.from_pretrained(weights, device=device)
views = open_views(
    images, size=model.config.img_size, patch=model.config.patch_size, frames=frames
)
prediction = page4d.predict(model, views.frames)
moving = page4d.moving_mask(prediction)

# %% [markdown]
# A `Prediction` holds plain numpy arrays, `S` frames of `H` x `W` pixels. It also remembers which weights, which
# configuration and which version of the code made it, and it saves to one file. The moving mask is computed from it:
# what does not fit a still world, judged by the predicted depth and cameras, so it is no better than they are.
#
# It is worth saying what did *not* happen in those lines. No points were matched, no pair of pictures was chosen to begin
# with, and nothing was optimized until it converged. Classical reconstruction does all of that for every clip anew
# {cite}`schoenberger2016colmap`; here it was done once, in training, and what was learned is applied in one pass. Hence
# the speed, and hence the price: where the clip is unlike anything seen in training, nothing in the pass notices.
#
# Three things in {numref}`tab-quickstart-fields` surprise most readers. The **first camera is the world**: its pose
# is near identity, and all other poses say how to come from it. It is near and not at identity because it is
# predicted like the others. The **unit is the network's own**: two clips of one room may come out in different units,
# and no number in a prediction is in metres until somebody says how long one thing is. And **depth and points are two
# answers**, from two heads: lifting the depth with the camera gives points too, and the distance between the two sets
# is a first sign of how consistent a prediction is. The scene below shows the lifted ones.

# %% mystnb={"figure": {"caption": "What a Prediction holds, and the shape of each array for these pictures.", "name": "tab-quickstart-fields"}} tags=["hide-input"]
import pandas as pd

meaning = {
    "cam_from_world": "pose of each camera, [R | t]",
    "K": "intrinsics, in pixels",
    "depth": "z of each pixel in its own camera",
    "depth_conf": "confidence of the depth, 1 and up",
    "points": "3-D point of each pixel, in the world",
    "points_conf": "confidence of the points, 1 and up",
    "images": "what the network saw",
}
shapes = {
    name: getattr(prediction, name).shape
    for name in meaning
    if getattr(prediction, name) is not None
}
pd.DataFrame({"shape": shapes, "meaning": {name: meaning[name] for name in shapes}})

# %% [markdown]
# ## What the network saw and said
#
# Start with pictures, not with numbers. In {numref}`fig-quickstart-sheet`, the first row is what the network was given:
# pictures fitted to its size, so a fine thing may be gone before the network ever saw it. The second row is its depth. Red is
# near, blue is far, and the colours mean the same in all frames, so a wall that changes its colour from frame to frame
# has changed its predicted distance. Look for edges next: does depth jump where a thing ends, or does it flow over into the
# background? The confidence below is learned. The network pays for every error times its confidence, and is rewarded for
# confidence, so a high value says "I expect to be nearly right here" and nothing about the truth (exercise 3 tests it). The
# last row marks what moves.

# %% mystnb={"figure": {"caption": "The pictures, the predicted depth with one colour scale for all frames, the confidence, and what was judged to move.", "name": "fig-quickstart-sheet"}}
from page4d.viz import prediction_sheet

sheet = prediction_sheet(prediction, moving)

# %% [markdown]
# Every pixel becomes a coloured point: its depth says how far to go, its camera says in which direction and from where. Drag
# to turn the scene, scroll to come closer, click on the legend to hide
# the cameras or what moves (its grey dots stand for points, which wear the colours of the pictures). The pyramids are the cameras that the network found; the line joins their centres.
#
# In {numref}`fig-quickstart-scene`, turn the scene by a right angle and look at it from above. From the front, every prediction looks like the picture; it is
# from the side that one sees whether a wall is flat, whether the same wall from four frames is one wall or four, and whether
# there is a veil of points between a near thing and what is behind it. Those are the three ways in which a reconstruction
# fails: a wrong shape, wrong cameras, and smeared edges.

# %% mystnb={"figure": {"caption": "The predicted points of all frames, the least confident tenth left out, and the predicted cameras. Axes as in the first camera: x right, y down, z forward, in the network's own unit.", "name": "fig-quickstart-scene"}}
from page4d.viz import scene_figure

scene_figure(prediction, moving=moving)

# %% [markdown]
# ## How good is it?
#
# Of a synthetic clip we know the truth. Where `images` is synthetic, the next cell predicts eight held-out clips and
# compares. Each number stands beside a baseline that needs no network: a depth map of one value, and a camera that never
# turns. Depth has no unit of its own, so each clip's depth is first scaled by one number, the ratio of the medians: with
# $p$ the predicted and $g$ the true depth of a pixel,
#
# $$ s = \frac{\operatorname{median} g}{\operatorname{median} p}, \qquad
#    \text{AbsRel} = \operatorname{mean} \frac{|s\,p - g|}{g} . $$
#
# Of your own pictures nobody knows the truth: then nothing is measured here, and only what a network has shown elsewhere can
# be told. Why insist on a baseline? Because 0.2 is no result. If all pixels of a scene lie between four and six metres, a
# single number for all of them is off by less than that; if a camera turns by one degree, so is the answer of somebody who
# says that it does not turn. A number begins to mean something where it is better than that of an answer without eyes.
# Eight clips are few. The built-in weights have sat an *exam* besides: the same scores on many clips of this world that no
# training saw, taken once and stored beside them.

# %%
from page4d.evaluate import held_out_clips, mean_scores

clips = held_out_clips(model, clips=8, frames=frames) if views.truth else []

# %% tags=["hide-input"]
rows = {"mean relative error of depth": ("abs_rel", "abs_rel_constant", "{:.3f}")}
rows["rotation error, degrees"] = ("rotation_deg", "rotation_deg_still", "{:.2f}")
rows["direction of motion, degrees off"] = ("direction_deg", None, "{:.0f}")


def told(name, form):
    return "90 by chance" if name is None else form.format(getattr(errors, name))


errors = mean_scores(clips) if clips else None
table = {
    what: (told(ours, form), told(base, form))
    for what, (ours, base, form) in rows.items()
    if clips
}
pd.DataFrame(table, index=["network", "without a network"]).T if clips else None

# %% tags=["remove-input"]
from IPython.display import Markdown
from page4d.evaluate import beside_nothing, exam_of, standing_text

exam = exam_of(model)
said = []
if clips:
    effects = beside_nothing(clips)
    said += [f"On these {len(clips)} clips: depth {effects['abs_rel']};"]
    said += [f"rotation {effects['rotation']}. Few clips leave wide intervals."]
said += [standing_text(exam)] if exam else []
Markdown(" ".join(said)) if said else None

# %% tags=["remove-input"]
text = ""
if clips:
    text = "An *interval* tells the luck of the clips: were they drawn anew from these, some twice and some not at all, 95 of "
    text += "100 such means would lie in it. An answer is called better or worse if that interval leaves out 0 and the difference is not smaller "
    text += f"than {100 * effects['abs_rel'].smallest:.0f} %; *undecided* says that more clips are needed, not that there is nothing. "
true = views.truth.moving.numpy() if clips else moving
if clips and moving.any() and true.any():
    text += f"\n\nThe moving mask of the pictures above finds {100 * moving[true].mean():.0f} % of the pixels that truly move there, and "
    text += f"{100 * (~true)[moving].mean():.0f} % of what it marks stands still. Where a network misses part of the camera's motion, "
    text += "the predicted pyramids above stand closer together than the true ones below, and the mask also marks places that only "
    text += "the camera's motion displaces."
Markdown(text) if clips else None

# %% mystnb={"figure": {"caption": "The exact points and cameras of the clip above, in metres. Compare with the predicted ones.", "name": "fig-quickstart-truth"}} tags=["remove-input"]
from page4d.result import prediction_from_clip

scene_figure(prediction_from_clip(views.truth)) if views.truth else None

# %% [markdown]
# ## When to distrust an answer
#
# A network of this kind always answers. Give it four pictures of four different rooms, a white wall, or a film of the sea, and
# there will be cameras, depth and points, of the same shapes, without a warning. The pipeline that it replaces would have
# refused: too few matches. So it is worth knowing a few signs that need no truth.
#
# The first is in the prediction already. Depth and points come from two heads that do not know of each other. Where they
# agree, they may still both be wrong; where they do not, one of them is. The second is the first camera, which should be at
# the origin, and is predicted. The third is order: the same pictures backwards should give the same scene, seen from
# another first camera. Here are the first two, in the units of the scene's own depth.

# %%
import numpy as np
import torch
from page4d.geometry import camera_centres, fit_similarity
from page4d.geometry import world_points as lifted

cam_from_world = torch.from_numpy(prediction.cam_from_world)
inner = torch.from_numpy(prediction.K)
lift = lifted(torch.from_numpy(prediction.depth), inner, cam_from_world)
typical = float(np.median(prediction.depth))
first = camera_centres(cam_from_world)[0].norm().item()
print(f"first camera off the origin: {100 * first / typical:.1f} % of the median depth")

# %%
if prediction.points is not None:
    points = torch.from_numpy(prediction.points)
    apart = (points - lift).norm(dim=-1).median().item()
    one, other = (x.flatten(0, 2)[::17] for x in (points, lift))
    fit = fit_similarity(one, other)
    left = (fit.apply(one) - other).norm(dim=-1).median().item()
    print(
        f"points and lifted depth are {100 * apart / typical:.1f} % of the median depth apart"
    )
    print(f"after the best similarity between them: {100 * left / typical:.1f} %")

# %% [markdown]
# If the last number is much smaller than the one before, the two heads agree on the shape and differ in size or place only. If
# both are alike, they differ in shape. (The similarity is the best one for the squares of all distances, and medians are
# printed, so the second number may even be a little larger.) Neither number is an error: two heads that were trained on the same data may well
# be wrong in the same way.
#
# ## On the command line
#
# The same prediction without Python, written as one `.npz` file, depth pictures and a coloured point cloud. More frames
# show more of the scene and cost more than in proportion, since all frames look at each other ([Speed and
# memory](26_speed_and_memory.ipynb)); a video is therefore thinned out first, by frames a second and by a largest number of
# frames:
#
# ```bash
# page4d predict my/folder --weights tiny --out result
# page4d predict clip.mp4 --fps 5 --max-frames 24 --weights nomask --device cuda --out result
# ```
#
# The `.npz` file is the whole prediction, and `page4d.Prediction.load` opens it again. Every export, every viewer and every
# score of this book starts from such a file, so the network has to run only once, and what follows needs no GPU.
#
# [Your own video](17_your_own_video.ipynb) goes from a phone clip to metres and files for other programs; [Conventions and
# geometry](02_conventions_and_geometry.ipynb) says what the numbers mean: axes, poses, pixels and units.

# %% [markdown]
# ## Recap
#
# - One call takes pictures to cameras, depth, points and confidences; a `Prediction` holds them as plain arrays and knows
#   which weights and which code made it.
# - The answer has a unit of its own. Depth is compared after one scale for the whole clip.
# - A number means something beside an answer that knows nothing, on the same clips, with an interval.
#
# ## Exercises
#
# **1.** The first frame is the world. Predict the same pictures backwards and show which camera sits at the origin now.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
backwards = page4d.predict(model, views.frames.images.flip(0))
for name, p in {"forwards": prediction, "backwards": backwards}.items():
    centres = camera_centres(torch.from_numpy(p.cam_from_world))
    print(name, [f"{length:.3f}" for length in centres.norm(dim=1).tolist()])
# The first entry is close to 0 both times, and it is another frame. The lists are not each other's mirror: another first
# frame is another world, with a unit of its own.

# %% [markdown]
# **2.** Does it help to show more frames? Compare the depth error of four clips at 2, 4 and 8 frames.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
from page4d.evaluate import clip_table, held_out_scores

longer = {f"{n} frames": held_out_scores(model, clips=4, frames=n) for n in (2, 4, 8)}
clip_table(longer)
# A longer clip also turns and travels further: read each error beside the answer without eyes on the same clips.

# %% [markdown]
# **3.** Is the confidence worth its name? Sort the pixels of a held-out clip by it and compare the depth error of the
# least and the most confident tenth.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
from page4d.world import split_clip

size = model.config.img_size
clip = split_clip("dynamic-test", 1, height=size, width=size, frames=frames)
guess = page4d.predict(model, clip.images)
true, ours = clip.depth.numpy(), guess.depth
known = true > 0
off = np.abs(ours * np.median(true[known] / ours[known]) / true.clip(1e-6) - 1)[known]
order = guess.depth_conf[known].argsort()
tenth = len(order) // 10
low, high = off[order[:tenth]].mean(), off[order[-tenth:]].mean()
print(f"least confident tenth {low:.2f}, most confident tenth {high:.2f}")

# %% [markdown]
# **4.** Show the network a single picture. What can it still know, and what is its camera?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
alone = page4d.predict(model, views.frames.images[:1])
both = np.stack((alone.depth[0], prediction.depth[0]))
both = both / np.median(both, axis=(1, 2), keepdims=True)
print(
    f"depth of the same frame, alone and among others: {100 * np.abs(both[0] / both[1] - 1).mean():.1f} % apart"
)
print("t of its camera:", [f"{t:.3f}" for t in alone.cam_from_world[0, :, 3]])
# One picture still has perspective, sizes and shading. Its camera is the world; there is nothing to move against.

# %% [markdown]
# **5.** Give the network noise instead of pictures. Does anything in the answer say that it makes no sense?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
generator = torch.Generator().manual_seed(0)
noise = torch.rand(views.frames.images.shape, generator=generator)
nonsense = page4d.predict(model, noise)
for name, p in {"pictures": prediction, "noise": nonsense}.items():
    print(
        f"{name}: median confidence {np.median(p.depth_conf):.2f}, depth {np.median(p.depth):.2f}"
    )
# There is an answer, with cameras and all. Compare the confidences; no number here is a promise to notice.

# %% [markdown]
# ## Further reading
#
# {cite:t}`wang2025vggt` for the network, {cite:t}`zhou2025page4d` for its mask, {cite:t}`wang2024dust3r` for the idea of
# predicting points; [Why moving scenes break poses](18_why_moving_scenes_break_poses.ipynb) tells how they follow from one
# another. What classical pipelines do instead is told by {cite:t}`schoenberger2016colmap`; {cite:t}`hartley2004multiview`
# is the book behind both.
