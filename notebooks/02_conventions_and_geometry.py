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
# **Needs**: a minute on any computer; symbols are on the page of [notation](../notation.md). With `images` as a folder of yours, the geometry comes from a prediction of
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

# %% [markdown]
# ## Why a whole chapter on conventions?
#
# Because they are the one part of this field in which every mistake looks like a result. A wrong layer makes a loss
# explode; a transposed rotation, a pose read in the wrong direction or a principal point that is half a pixel off make a
# reconstruction that is *nearly* right, and the error is then blamed on the network. Public codes disagree about every
# choice on this page, each for a good reason, and data sets disagree with the codes. So each choice below comes with the
# reason for it and with what happens to a number if somebody else's choice is taken for ours.
#
# The actors first. A clip has frames. For every frame there is a depth map, a matrix of intrinsics that says which pixel
# looks in which direction, and a pose that says where the camera stands and how it is turned. Nothing else is needed to place every pixel in the world, and nothing less is enough:
# that is the sentence at the top of the page, and the rest of the chapter is its proof. In {numref}`fig-geometry-scene`,
# look at the depth first: what is near is red, what is far is blue, and the colours mean the same in all frames.

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
# {numref}`fig-axes` has the conventions of this page in one picture; the sections below take them one by one. Letters are
# those of the whole book: $S$ frames of $H \times W$ pixels, and for each of them depth $z$, intrinsics $K$ and a pose
# $[R \mid \mathbf{t}]$.

# %% mystnb={"figure": {"caption": "Axes of two cameras and of the world, which is the first camera, and where pixels are centred.", "name": "fig-axes"}}
from page4d.viz import axes_diagram

axes_diagram()

# %% [markdown]
# Axes are OpenCV's: $x$ to the right, $y$ down, $z$ forward. A pose is written `cam_from_world`, destination first:
#
# $$ \mathbf{x}_\text{cam} = R\,\mathbf{x}_\text{world} + \mathbf{t}, \qquad
#    \mathbf{c} = -R^\top \mathbf{t} . $$
#
# $\mathbf{t}$ is where the world's origin lies as seen from the camera; the camera itself stands at $\mathbf{c}$.
# Mixing the two up is the most frequent mistake with poses, so names carry both ends: `compose(a_from_b, b_from_c)`
# is `a_from_c`, and `invert(a_from_b)` is `b_from_a`. In data the world is the first camera; in
# a network's answer it is close to it, because the first pose is predicted like the others.
#
# Why this direction and not the other? Because projecting needs it: to find out where a point of the world falls in a
# picture, one first asks where it lies *for the camera*. Trajectories are written the other way round, `world_from_cam`,
# because a walker asks where she stands. Both are right, and a file that does not say which of them it holds is worth
# nothing. And why $y$ downwards? So that the axes of the camera and those of the picture agree: a larger row lies lower,
# in pixels as in space. Graphics programs have $y$ up and look along $-z$; going over to them flips two axes, and the
# export formats of [Seeing it in 4-D](16_seeing_it_in_4d.ipynb) do that at the very end.
#
# A worked example shows how differently $\mathbf{t}$ and $\mathbf{c}$ behave. A camera walks one unit to the right and
# then turns on the spot, by more and more degrees. Its place does not change any more. Watch
# $\mathbf{t}$ in {numref}`tab-geometry-spot`:

# %% mystnb={"figure": {"caption": "The translation t of a camera that stands still at (1, 0, 0) and turns to the right.", "name": "tab-geometry-spot"}}
import math

import pandas as pd
import torch
from page4d.geometry import invert, rotation_angle_deg


def camera_at_one(turned_deg):
    """A camera (3, 4) at (1, 0, 0), turned to the right about the vertical axis."""
    c, s = math.cos(math.radians(turned_deg)), math.sin(math.radians(turned_deg))
    stands = [[c, 0, s, 1.0], [0, 1, 0, 0], [-s, 0, c, 0]]  # world from camera
    return invert(torch.tensor(stands))


spot = {f"{a} degrees": camera_at_one(a)[:, 3] for a in (0, 45, 90, 180)}
spot = pd.DataFrame(spot, index=["t, x", "t, y", "t, z"]).round(2) + 0.0  # no -0.00
spot.map("{:.2f}".format)

# %% [markdown]
# The same place, four different $\mathbf{t}$: to a camera that has turned to the right by a right angle, the origin that
# it left on its left side lies *behind*, at negative $z$. Whoever plots $\mathbf{t}$ as a trajectory plots a camera that
# dances while it stands. Now the cameras of the scene at hand, by their centres:

# %% mystnb={"figure": {"caption": "Where the cameras of this scene stand, in its unit, and how far each has turned.", "name": "tab-geometry-cameras"}}
cam_from_world = torch.from_numpy(scene.cam_from_world)
world_from_cam = invert(cam_from_world)
table = pd.DataFrame(
    world_from_cam[:, :, 3].numpy(), columns=["x right", "y down", "z forward"]
)
table["turned, degrees"] = rotation_angle_deg(cam_from_world[:, :, :3]).numpy()
table.rename_axis("frame").round(3) + 0.0  # no -0.000

# %% [markdown]
# In data the first row of {numref}`tab-geometry-cameras` is zero by
# definition; in a prediction it is near zero, and how near is a first hint of how well the network knows which frame is
# the world.
#
# ## Pixels
#
# Pixel (0, 0) is centred at (0, 0), so an image of width $W$ reaches from $-0.5$ to $W - 0.5$. A resize by $s$
# therefore moves a principal point to $c' = (c + 0.5)\,s - 0.5$. To see why, resize with your hands: the *edges* of the
# picture are what is stretched onto the edges of the new one. Add the half pixel, and coordinates count from the edge;
# scale; take the half pixel away again. The tempting $c' = c\,s$ holds the centre of the first pixel still instead of the
# corner of the picture. It is wrong by $(1 - s)/2$ pixels, which is nothing at $s = 1$, a quarter of a pixel for a picture
# halved, and never more than half a pixel for one that shrinks. That sounds harmless, and it is the sort of error that no
# picture shows; but it is the same in every frame, so it does not average out. The next cell makes the mistake on
# purpose, for a camera halved in size.

# %%
from page4d.geometry import resize_intrinsics

K = torch.from_numpy(scene.K)
right = resize_intrinsics(K[0], 0.5, 0.5)[:2, 2]
tempting = K[0, :2, 2] * 0.5
axes = {"right": right, "tempting": tempting, "difference": tempting - right}
pd.DataFrame({name: c.tolist() for name, c in axes.items()}, index=["cx", "cy"])

# %% [markdown]
# ## Depth is z
#
# A wall in front of you, exactly square to your view: is its middle nearer than its corner? Measured with a tape from your
# eye, yes. Measured along the viewing axis, no: the wall is one plane, and has one depth. A depth map holds this second
# number, $z$, and not the length of the ray. The reason is that the mathematics gets shorter. With
# $\mathbf{u} = (u, v, 1)^\top$ the pixel in homogeneous coordinates, the point behind it is
#
# $$ \mathbf{x}_\text{cam} = z\,K^{-1}\mathbf{u}, \qquad
#    K = \begin{pmatrix} f_x & 0 & c_x \\ 0 & f_y & c_y \\ 0 & 0 & 1 \end{pmatrix}, \qquad
#    \text{length} = \lVert \mathbf{x}_\text{cam} \rVert , $$
#
# and written out, $x = z\,(u - c_x) / f_x$ and $y = z\,(v - c_y) / f_y$: two similar triangles. The focal lengths $f_x, f_y$
# are measured in pixels: a thing of one metre at a distance of $f$ metres is one pixel large. A flat wall is a constant
# depth map, and a tilted plane has an *inverse* depth that is linear in $u$ and $v$, one reason why many methods predict
# that. Once by hand, for the pixel in the middle of the lower edge of the first frame:

# %%
import matplotlib.pyplot as plt
from page4d.geometry import project, unproject

depth = torch.from_numpy(scene.depth)
local = unproject(depth, K)
v, u = depth.shape[1] - 1, depth.shape[2] // 2
(fx, _, cx), (_, fy, cy), _ = K[0].tolist()
z = depth[0, v, u].item()
by_hand = [z * (u - cx) / fx, z * (v - cy) / fy, z]
print(f"pixel ({u}, {v}), z = {z:.3f} {unit}, f = ({fx:.1f}, {fy:.1f}) px")
print("by hand   ", [round(value, 3) for value in by_hand])
print("unproject ", [round(value, 3) for value in local[0, v, u].tolist()])

# %% mystnb={"figure": {"caption": "Ray length over z in the first frame. It depends on the camera alone, not on the scene.", "name": "fig-ray-length"}}
ratio = unproject(torch.ones_like(depth), K)[0].norm(dim=-1)
tall = 2.5 * ratio.shape[0] / ratio.shape[1] + 0.5
figure, axis = plt.subplots(figsize=(4, tall), layout="constrained")
figure.colorbar(axis.imshow(ratio), label="ray length / z")
_ = axis.set(xlabel="x (px)", ylabel="y (px)", title="ray length for z = 1")

# %% [markdown]
# {numref}`fig-ray-length` is 1 where the viewing axis meets the picture and grows towards the corners. A sensor that
# measures rays (a laser scanner, many renderers) must be divided by exactly this map before its numbers may be compared
# with ours; forget it, and a flat wall turns into a bowl. With a narrow lens the map is nearly 1 everywhere, which is why
# the mistake survives for years on one data set and ruins the next. Here it reaches the value that the next cell prints;
# it also checks that `project` undoes `unproject`, so that what is left is rounding in float32:

# %%
from page4d.geometry import pixel_grid

seen = depth > 0
pixels, z = project(local.flatten(1, 2), K)
there = pixels.unflatten(1, depth.shape[1:])
error = (there - pixel_grid(*depth.shape[1:], like=depth))[seen].abs().max()
print(f"in the corner, rays are {ratio.max():.3f} times as long as z")
print(f"largest error of the round trip: {error:.2g} px")

# %% [markdown]
# ## Many frames, one world
#
# So far each frame was alone. Poses bring them together, and with them comes the one test that needs no truth: ask two
# frames about the same point. Take the points of the first frame, move them into the camera of the last frame and ask that
# frame for its depth at the pixels where they land. In symbols, from first camera to world to last camera to pixel,
#
# $$ \mathbf{x}_\text{last} = R_\text{last}\,\mathbf{X} + \mathbf{t}_\text{last}, \qquad
#    \mathbf{u} \sim K\,\mathbf{x}_\text{last} , $$
#
# where $\mathbf{X}$ is the point in the world and $\sim$ means: divide by the third coordinate, which is the depth that
# the last frame *should* see there. Where nothing moved and nothing hides the point, the depth that it does see agrees.

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

# %% mystnb={"figure": {"caption": "First frame: how much nearer (blue) or farther (red) than expected the last frame sees something where each point should be. Grey: outside the last frame, or no depth.", "name": "fig-agreement"}}
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
from IPython.display import Markdown

off = disagreement.abs() > 0.05
known = disagreement.isfinite()


def off_share(where):
    """Share of the pixels with a check, among `where`, that disagree."""
    return f"{100 * off[known & where].float().mean():.0f} %"


everywhere = torch.ones_like(known)
text = f"Of all points that the last frame can check, {off_share(everywhere)} disagree by more than 5 %."
if views.truth:
    moves = views.truth.moving[0]
    text = f"Of the still points, {off_share(~moves)} disagree by more than 5 %: those that something hides by then, and "
    text += f"pixels at edges. Of the moving points, {off_share(moves)} do."
Markdown(text)

# %% [markdown]
# Read {numref}`fig-agreement` by its colours. White is agreement. Blue says that something nearer now stands before the
# point: it is hidden, or a thing has moved in. Red says that the place is empty: whoever was there has gone, and the frame
# looks through to what is behind. Thin coloured outlines are edges, where half a pixel decides between two depths. Large
# coloured areas with the shape of a thing are the thing itself, once where it was and once where it went.
#
# This is the whole difficulty of moving scenes in one picture: a camera is found by making frames agree, and what moves has
# no reason to. [Why moving scenes break poses](18_why_moving_scenes_break_poses.ipynb) measures what that does to a pose,
# and [Inside the model II: the mask](04_inside_the_model_mask.ipynb) shows what PAGE-4D does about it. The same test,
# turned around, is how this package judges what moves when it has only a prediction: what disagrees between many frames and
# is not hidden. With predicted depth, a disagreement can also be the prediction's own fault, and nothing in the picture
# tells the two apart.
#
# ## Nine numbers for a camera
#
# A pose is twelve numbers and $K$ has four, but a network should not have to predict sixteen numbers that obey six equations.
# It predicts nine, the vector $\mathbf{g}$: the translation $\mathbf{t}$ (3), a quaternion $\mathbf{q} = (x, y, z, w)$ (4,
# with $w \ge 0$) and the field of view of height and width (2, in radians),
#
# $$ \theta_h = 2 \arctan \frac{H}{2 f_y}, \qquad \theta_w = 2 \arctan \frac{W}{2 f_x} . $$
#
# Each part has its reason. A field of view does not change when a picture is resized, while focal lengths in pixels do: so
# the network may see any size. A quaternion of any length is made a rotation by dividing by its length, so that no output
# is illegal; a matrix of nine numbers would nearly always be. Its price is that $\mathbf{q}$ and $-\mathbf{q}$ are the same
# rotation, hence the rule on $w$; what is left of that difficulty at half a turn is the subject of
# {cite:t}`zhou2019continuity`, and of a figure in [Losses, with formulas](20_losses_with_formulas.ipynb). And the principal
# point is dropped: encoding forgets it, decoding puts it at $(W/2, H/2)$, so a picture cropped off its centre must be told
# to whoever uses the answer. For the cameras of this scene, there and back again:

# %%
from page4d.geometry import extri_intri_to_pose_encoding, pose_encoding_to_extri_intri

encoding = extri_intri_to_pose_encoding(cam_from_world, K, (h, w))
decoded, decoded_K = pose_encoding_to_extri_intri(encoding, (h, w))
print(f"poses:      largest difference {(decoded - cam_from_world).abs().max():.2g}")
print(f"intrinsics: largest difference {(decoded_K - K).abs().max():.2g} px")

# %% [markdown]
# With pixel centres at integers the middle of the image is $((W-1)/2, (H-1)/2)$, half a pixel from $(W/2, H/2)$. Both
# public codes unproject with $(W/2, H/2)$ and integer pixels, and the released weights were trained so. This package does the
# same, and says so here. A convention that the weights have learned is part of the weights; corrected afterwards, it would be one that
# they were not trained for. What half a pixel is worth, in the first frame:

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
# Pictures alone do not tell a doll's house from a house. The formulas above say why: multiply all depths and all
# translations by the same number, and every pixel stays where it is, because projecting divides by $z$. Not even infinitely
# many frames help. The network's unit is its own, so predictions are compared after a fit: one scale for depth, or a
# similarity, $\mathbf{x} \mapsto s\,R\,\mathbf{x} + \mathbf{t}$ with seven numbers, for points and trajectories. The best
# one in the sense of least squares needs no search; {cite:t}`umeyama1991` gives it in closed form, from one singular value
# decomposition. A fit should be tried on a case whose answer is known. The next cell makes the points of the first frame
# two and a half times as large, turns and moves them, and asks for the way back:

# %%
from page4d.geometry import fit_similarity, quaternion_to_matrix

source = points[inside][::7].double()
turn = quaternion_to_matrix(torch.tensor([0.1, -0.2, 0.3, 1.0], dtype=torch.float64))
target = 2.5 * source @ turn.mT + torch.tensor([1.0, 0.0, -3.0], dtype=torch.float64)
fit = fit_similarity(source, target)
print(
    f"scale {fit.scale:.6f}, residual {(fit.apply(source) - target).norm(dim=-1).max():.2g}"
)

# %% [markdown]
# A scale of the right size is not the only thing that a fit forgives. It also takes away a wrong first camera, since it may
# turn and move everything. How much a fit may forgive before a score says nothing is the question of
# [What the protocol is worth](14_what_the_protocol_is_worth.ipynb).
#
# At last, all frames in one world. In {numref}`fig-geometry-world`, hide the moving points by a click on the legend. With
# exact geometry, what is left is one solid scene, seen from several places; a prediction shows by its double or bent walls
# how well its frames agree. Show them again: what moves appears several times, once for every frame.

# %% mystnb={"figure": {"caption": "The points of all frames with their cameras; what moves, by the truth of a synthetic clip or judged from the prediction, is a group of its own. Hide a group by a click in the legend.", "name": "fig-geometry-world"}}
from page4d.viz import scene_figure

truth = views.truth
moving = truth.moving.numpy() if truth else page4d.moving_mask(scene)
scene_figure(scene, moving=moving)

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
print(f"largest error {(lengths / ratio - depth[0])[seen[0]].abs().max():.2g} {unit}")

# %% [markdown]
# **3.** The focal length is wrong by one per cent. How far are points off, and where are they not off at all?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
longer = K.clone()
longer[:, :2, :2] *= 1.01
off_by = (unproject(depth, longer) - local).norm(dim=-1)[seen]
print(f"{off_by.median():.4f} {unit} in the median, {off_by.max():.4f} at most")
# On the viewing axis nothing changes; the error grows with the distance from it.

# %% [markdown]
# **4.** The whole scene is made three times as large: depths and translations are tripled. Show that no pixel moves.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
larger = cam_from_world[-1].clone()
larger[:, 3] *= 3
again, _ = project(transform(larger, 3 * points), K[-1])
print(f"largest shift {(again - landed)[inside].abs().max():.2g} px")
# Translation and points grow alike, and the division by z takes the factor out again.

# %% [markdown]
# **5.** A picture of width $W$ is cropped: its left quarter is cut off. Which of the nine numbers can still be right?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
cut = w // 4
cropped = K[:1].clone()
cropped[:, 0, 2] -= cut
kept = extri_intri_to_pose_encoding(cam_from_world[:1], cropped, (h, w - cut))
_, told = pose_encoding_to_extri_intri(kept, (h, w - cut))
print(f"focal length {cropped[0, 0, 0]:.1f} px, decoded {told[0, 0, 0]:.1f} px")
print(f"principal point {cropped[0, 0, 2]:.1f} px, decoded {told[0, 0, 2]:.1f} px")
# Pose and focal lengths survive. The principal point does not: the encoding has no place for it.

# %% [markdown]
# ## Further reading
#
# {cite:t}`hartley2004multiview` for cameras and their geometry; {cite:t}`umeyama1991` for the similarity between two clouds
# of points; {cite:t}`zhou2019continuity` for what is difficult about predicting rotations. How intrinsics are measured in a
# laboratory is told by {cite:t}`furgale2013kalibr`, and [Adding your own dataset](09_adding_your_own_dataset.ipynb) uses
# this page to read other people's files.
