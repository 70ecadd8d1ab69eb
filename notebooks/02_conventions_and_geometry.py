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
# # Conventions and geometry
#
# Depth, intrinsics and pose of a frame say where each of its pixels lies in the world; a point that does not move
# lies at the same place in every frame, and a point that moves does not.
#
# **You will learn** how this project writes axes, poses, pixels and depth, how to go from pixels to points and back,
# what a moving object does to the agreement of frames, and which nine numbers the network predicts for a camera.
#
# **Needs**: a minute on any computer. With `images` as a folder of yours, the geometry comes from a prediction of
# `weights` instead of from the truth of a synthetic clip.
#
# **The small run** changes nothing in this chapter: conventions have no size.

# %% tags=["parameters"]
weights = "tiny"
images = "synthetic:5"
size = 112
frames = 4
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %%
import page4d
from page4d.data import open_views
from page4d.result import prediction_from_clip

model = page4d.PAGE4D.from_pretrained(weights, device=device)
views = open_views(images, size=size, patch=model.config.patch_size, frames=frames)
if views.truth:
    scene = prediction_from_clip(views.truth)
else:
    scene = page4d.predict(model, views.frames)

# %% mystnb={"figure": {"caption": "The scene of this chapter: pictures and z-depth, one colour scale for all frames.", "name": "fig-geometry-scene"}}
from page4d.result import unit_of
from page4d.viz import Row, contact_sheet

unit = unit_of(scene)
rows = [
    Row(scene.images, "image"),
    Row(scene.depth, "depth", f"z ({unit})", valid=scene.depth > 0),
]
sheet = contact_sheet(rows)

# %% [markdown]
# ## Axes and poses
#
# Axes are OpenCV's: $x$ to the right, $y$ down, $z$ forward. A pose is written `cam_from_world`, destination first:
#
# $$ \mathbf{x}_\text{cam} = R\,\mathbf{x}_\text{world} + \mathbf{t}, \qquad
#    \mathbf{c} = -R^\top \mathbf{t} . $$
#
# $\mathbf{t}$ is where the world's origin lies as seen from the camera; the camera itself stands at $\mathbf{c}$.
# Mixing the two up is the most frequent mistake with poses, so names carry both ends: `compose(a_from_b, b_from_c)`
# is `a_from_c`, and `invert(a_from_b)` is `b_from_a`. In data the world is the first camera; in
# a network's answer it is close to it, because the first pose is predicted like the others.

# %%
import pandas as pd
import torch
from page4d.geometry import invert, rotation_angle_deg

cam_from_world = torch.from_numpy(scene.cam_from_world)
world_from_cam = invert(cam_from_world)
table = pd.DataFrame(
    world_from_cam[:, :, 3].numpy(), columns=["x right", "y down", "z forward"]
)
table["turned, degrees"] = rotation_angle_deg(cam_from_world[:, :, :3]).numpy()
table.rename_axis("frame").round(3)

# %% [markdown]
# Centres of the cameras, in the unit of the scene, and how far each has turned since the first. The first row is zero
# by definition.
#
# ## Pixels
#
# Pixel (0, 0) is centred at (0, 0), so an image of width $W$ reaches from $-0.5$ to $W - 0.5$. A resize by $s$
# therefore moves a principal point to $c' = (c + 0.5)\,s - 0.5$. The tempting $c' = c\,s$ is wrong by $(1 - s)/2$
# pixels; the next cell makes the mistake on purpose, for a camera halved in size.

# %%
from page4d.geometry import resize_intrinsics

K = torch.from_numpy(scene.K)
right = resize_intrinsics(K[0], 0.5, 0.5)[:2, 2]
tempting = K[0, :2, 2] * 0.5
print(
    "right",
    right.tolist(),
    " tempting",
    tempting.tolist(),
    " difference",
    (tempting - right).tolist(),
)

# %% [markdown]
# ## Depth is z
#
# A depth map holds $z$, the distance along the viewing axis, not the length of the ray. The two differ most in the
# corners, where rays leave at an angle:
#
# $$ \mathbf{x}_\text{cam} = z\,K^{-1}(u, v, 1)^\top , \qquad \text{length} = \lVert \mathbf{x}_\text{cam} \rVert . $$

# %% mystnb={"figure": {"caption": "Ray length over z in the first frame. It depends on the camera alone, not on the scene.", "name": "fig-ray-length"}}
import matplotlib.pyplot as plt
from page4d.geometry import project, unproject

depth = torch.from_numpy(scene.depth)
local = unproject(depth, K)
ratio = unproject(torch.ones_like(depth), K)[0].norm(dim=-1)
figure, axis = plt.subplots(figsize=(4, 3), layout="constrained")
figure.colorbar(axis.imshow(ratio), label="ray length / z")
_ = axis.set(xlabel="x (px)", ylabel="y (px)", title="ray length for z = 1")

# %% [markdown]
# `project` undoes `unproject`. What is left is rounding in float32:

# %%
from page4d.geometry import pixel_grid

seen = depth > 0
pixels, z = project(local.flatten(1, 2), K)
there = pixels.unflatten(1, depth.shape[1:])
error = (there - pixel_grid(*depth.shape[1:], like=depth))[seen].abs().max()
print(f"largest error of the round trip: {error:.1e} px")

# %% [markdown]
# ## Many frames, one world
#
# Now take the points of the first frame, move them into the camera of the last frame and ask that frame for its depth
# at the pixels where they land. Where nothing moved and nothing hides the point, both depths agree.

# %%
from page4d.geometry import transform

h, w = depth.shape[1:]
points = transform(world_from_cam[0], local[0].flatten(0, 1))
landed, z = project(transform(cam_from_world[-1], points), K[-1])
column, row = landed.round().long().unbind(-1)
inside = (
    (column >= 0) & (column < w) & (row >= 0) & (row < h) & (z > 0) & seen[0].flatten()
)
measured = torch.where(
    inside, depth[-1][row.clamp(0, h - 1), column.clamp(0, w - 1)], torch.nan
)
disagreement = (
    (measured / z - 1).where(inside & (measured > 0), torch.nan).unflatten(0, (h, w))
)

# %% mystnb={"figure": {"caption": "First frame: how much nearer (blue) or farther (red) the last frame sees the place where each point should be. Grey: outside the last frame, or sky.", "name": "fig-agreement"}}
rows = [
    Row(
        disagreement[None].numpy(),
        "first frame",
        "measured z / expected z - 1",
        "RdBu_r",
        (-0.5, 0.5),
    )
]
sheet = contact_sheet(rows, ["agreement with the last frame"], width_in=4.5)

# %% tags=["hide-input"]
from myst_nb import glue

off = disagreement.abs() > 0.05
known = disagreement.isfinite()
moving = views.truth.moving[0] if views.truth else torch.zeros_like(known)
glue("still_off", f"{100 * off[known & ~moving].float().mean():.0f} %", display=False)
glue("moving_off", f"{100 * off[known & moving].float().mean():.0f} %", display=False)

# %% [markdown]
# Of the still points, {glue:text}`still_off` disagree by more than 5 %: those that something hides by then, and
# pixels at edges. Of the moving points, {glue:text}`moving_off` do. This is the whole difficulty of moving scenes in
# one picture: a camera is found by making frames agree, and moving objects never agree. Chapter
# [](04_inside_the_model_mask) shows what PAGE-4D does about it.
#
# ## Nine numbers for a camera
#
# The network predicts a camera as translation (3), quaternion $x, y, z, w$ (4, with $w \ge 0$) and the field of view
# of height and width (2, in radians). Encoding drops the principal point; decoding puts it at $(W/2, H/2)$.

# %%
from page4d.geometry import extri_intri_to_pose_encoding, pose_encoding_to_extri_intri

encoding = extri_intri_to_pose_encoding(cam_from_world, K, (h, w))
decoded, decoded_K = pose_encoding_to_extri_intri(encoding, (h, w))
print(f"poses:      largest difference {(decoded - cam_from_world).abs().max():.1e}")
print(f"intrinsics: largest difference {(decoded_K - K).abs().max():.1e} px")

# %% [markdown]
# With pixel centres at integers the middle of the image is $((W-1)/2, (H-1)/2)$, half a pixel from $(W/2, H/2)$. Both
# public codes unproject with $(W/2, H/2)$ and integer pixels, and the released weights were trained so, hence it stays
# and is said. What half a pixel is worth, in the first frame:

# %%
shifted = K.clone()
shifted[:, :2, 2] -= 0.5
moved = (unproject(depth, shifted) - local).norm(dim=-1)[seen]
print(
    f"points move by {moved.median():.4f} {unit} in the median, {100 * 0.5 / K[0, 0, 0]:.2f} % of their depth along each axis"
)

# %% [markdown]
# ## Scale
#
# Pictures alone do not tell a doll's house from a house. The network's unit is its own, so predictions are compared
# after a fit: one scale for depth, or a similarity (scale, rotation, translation) for points and trajectories. The
# fit recovers what was done to the points exactly:

# %%
from page4d.geometry import fit_similarity, quaternion_to_matrix

source = points[inside][::7].double()
turn = quaternion_to_matrix(torch.tensor([0.1, -0.2, 0.3, 1.0], dtype=torch.float64))
target = 2.5 * source @ turn.mT + torch.tensor([1.0, 0.0, -3.0], dtype=torch.float64)
fit = fit_similarity(source, target)
print(
    f"scale {fit.scale:.6f}, residual {(fit.apply(source) - target).norm(dim=-1).max():.1e}"
)

# %% mystnb={"figure": {"caption": "Still and moving points of all frames with their cameras. Hide a group by a click in the legend.", "name": "fig-geometry-world"}}
from page4d.viz import scene_figure

scene_figure(scene, moving=views.truth.moving.numpy() if views.truth else None)

# %% [markdown]
# ## Recap
#
# - A pose reads destination first, `cam_from_world`; the camera stands at $-R^\top \mathbf{t}$, not at $\mathbf{t}$.
# - Pixel (0, 0) is centred at (0, 0), and depth is $z$.
# - Points that stand still agree between frames; points that move do not, and no camera makes them agree.
# - A camera is nine numbers, and a scene from pictures alone has no metres.
#
# ## Exercises
#
# **1.** A camera stands at $(0, 0, 2)$ and looks back at the world's origin. What is its $\mathbf{t}$?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
back = torch.tensor([[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 2]])
print(invert(back)[:, 3].tolist())
# The origin lies two units before it. That centre and t are equal here is what makes the mix-up so hard to find.

# %% [markdown]
# **2.** A laser scanner gives lengths of rays. Turn them into this book's depth without looking at the scene.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
lengths = local[0].norm(dim=-1)
print(f"largest error {(lengths / ratio - depth[0])[seen[0]].abs().max():.1e} {unit}")

# %% [markdown]
# **3.** The focal length is wrong by one per cent. How far are points off, and where are they not off at all?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
longer = K.clone()
longer[:, :2, :2] *= 1.01
off_by = (unproject(depth, longer) - local).norm(dim=-1)[seen]
print(f"{off_by.median():.4f} {unit} in the median, {off_by.max():.4f} at most")
# On the viewing axis nothing changes; the error grows with the distance from it.

# %% [markdown]
# ## Further reading
#
# {cite:t}`hartley2004multiview` for cameras and their geometry; {cite:t}`umeyama1991` for the similarity between two
# clouds of points.
