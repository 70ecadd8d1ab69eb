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
# # The world
#
# All that this book trains on, and nearly all that it measures, comes from one small synthetic world, in which each
# pixel's depth and motion, and every camera, are known by formula; this chapter opens it, checks that claim, and says what such a
# world cannot teach.
#
# **You will learn** how a seed becomes a scene and a scene becomes pictures with truth, how to prove that depth, cameras,
# flow and tracks agree to rounding, which splits there are and what makes the hard one hard, and where the gap to real
# pictures lies.
#
# **Needs**: a minute on any computer, no weights. [Conventions and geometry](02_conventions_and_geometry.ipynb) for axes
# and poses; symbols are on the page of [notation](../notation.md).
#
# **The small run** draws `clips` small clips for its statistics. More make smoother curves, nothing else.

# %% tags=["parameters"]
seed = 3
clips = 24
side = 96

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## One clip, and all that is known of it
#
# {numref}`fig-world-clip` shows a few frames with everything that the world knows of them.

# %% mystnb={"figure": {"caption": "A clip of the test split: pictures, depth, what moves, and where every pixel goes until the next frame. The colour of the flow is its direction, its strength the length. Grey: no frame follows.", "name": "fig-world-clip"}}
from page4d.viz import clip_sheet
from page4d.world import split_clip

clip = split_clip("dynamic-test", seed, height=2 * side, width=2 * side)
sheet = clip_sheet(clip)

# %% [markdown]
# No network and no sensor had a part in this figure. The pictures were drawn from a **scene**: a list of solids with
# materials, a light, and a camera, each with its own way through time. A number, the **seed**, decides all of it.

# %%
import torch
from page4d.world import sample_scene, split_config, split_seeds

(number,) = split_seeds("dynamic-test", 1, seed)
config = split_config("dynamic-test", height=side, width=side)
scene = sample_scene(number, config)
again = sample_scene(number, config)
bodies = int(scene.instance.max())
print(f"seed {number}: {len(scene.kind)} solids in {bodies} bodies")
print(f"{int(scene.moving.sum())} solids move, in {scene.times[-1]:.2f} s")
print("drawn twice, the same:", torch.equal(scene.cam_from_world, again.cam_from_world))

# %% [markdown]
# ## From a seed to a scene
#
# The order matters, because each step looks at what is there already:
#
# 1. **Surroundings**: a room with walls and furniture, or ground under a sky.
# 2. **The camera**: a height, a direction, and a way through time, from a tripod over a slow dolly to a run with
#    the shake of a hand. It must not pass through anything.
# 3. **What stands**: bodies of the size of their kind, on the floor or on each other; some hang or float.
# 4. **What moves**: people and dogs on hinged limbs, balls that roll, things that slide or are carried along, things that
#    change their shape. They are placed at a distance at which they cover the share of the picture that was asked for.
# 5. **Light and materials**: one lamp or sun, shadows, fog, and patterns painted on each solid in the solid's *own*
#    coordinates, so that a texture moves with its body.
#
# ## From a scene to pictures: one ray at a time
#
# Through each pixel $\mathbf{u}$ goes a ray. In the camera's frame its points are $z\, K^{-1} \mathbf{u}$, so that the
# parameter along the ray is already the depth $z$ of this book. Where the ray meets a solid is an equation that can be
# solved by hand. For a ball of radius $r$ around $\mathbf{b}$, with $\hat{\mathbf{u}} = K^{-1}\mathbf{u}$,
#
# $$ \lVert z\, \hat{\mathbf{u}} - \mathbf{b} \rVert^2 = r^2 \quad\Longrightarrow\quad
#    z = \frac{\hat{\mathbf{u}} \cdot \mathbf{b} -
#        \sqrt{(\hat{\mathbf{u}} \cdot \mathbf{b})^2 - \lVert\hat{\mathbf{u}}\rVert^2 (\lVert\mathbf{b}\rVert^2 - r^2)}}
#       {\lVert\hat{\mathbf{u}}\rVert^2} . $$
#
# Boxes, cylinders and capsules have formulas of their own. The nearest hit gives the depth, the body's number, and the
# point on the body. What the camera sees is therefore not a colour at a pixel but a place on a thing, and a thing keeps its
# places. Write $\mathbf{Y}$ for the point in the axes of its own body, and $R_b(t), \mathbf{t}_b(t)$ for how that body stands
# in the world at time $t$. Then
#
# $$ \mathbf{X}(t) = R_b(t)\, \mathbf{Y} + \mathbf{t}_b(t), \qquad
#    \mathbf{u}(t) \sim K \big( R(t)\, \mathbf{X}(t) + \mathbf{t}(t) \big) , $$
#
# the first by the body, the second by the camera, whose pose is $R(t), \mathbf{t}(t)$. Ask for the next frame, and
# $\mathbf{u}(t') - \mathbf{u}(t)$ is the flow; ask for all frames, and you have a track. For what stands still $R_b$ and
# $\mathbf{t}_b$ do not change, and only the camera is left. (A solid that changes its shape takes its points along in its own
# axes first.) Two causes of one motion in the picture, kept apart from the beginning: this is the thing that a network
# has to find out, and that no film from a phone can tell anybody afterwards. It is also why nothing here is estimated.
#
# One ray a pixel, through its centre, has a price. At an outline a pixel belongs to one thing or to the other, where a
# camera would have mixed the two. So depth is exact there, and outlines look like stairs. Within a surface the mixing
# cannot be left out: a pattern finer than a pixel, hit by single rays, would glitter from frame to frame, and a network
# could take the glitter for motion. Each pattern is therefore told how much of it the pixel covers, which grows with the
# depth over the focal length and with the slant, and what is finer than that fades into its mean colour.
#
# ## Is it exact?
#
# A claim of exactness can be tested. Lift each pixel of one frame by its depth, move the point into the next camera,
# and project it. What stands still must land where the flow says, to rounding; what moves must not
# ({numref}`fig-world-own`).

# %%
from page4d.geometry import pixel_grid, project, transform, world_points
from page4d.world import render_clip

exact = render_clip(number, config, dtype=torch.float64)
points = world_points(exact.depth, exact.K, exact.cam_from_world)[0].flatten(0, 1)
there, _ = project(transform(exact.cam_from_world[1], points), exact.K[1])
there = there.view(side, side, 2)
pixels = pixel_grid(side, side, exact.depth)
own_motion = (exact.flow[0] - (there - pixels)).norm(dim=-1)
seen = exact.depth[0] > 0
still, moves = seen & ~exact.moving[0], seen & exact.moving[0]
print(f"still pixels: {own_motion[still].max():.1e} px at most")
print(f"moving pixels: {own_motion[moves].median():.2f} px in the median")
assert own_motion[still].max() < 1e-6

# %% mystnb={"figure": {"caption": "First frame, and the flow that is left after the camera's part has been taken out: the bodies' own motion. Everything that stands still is at zero.", "name": "fig-world-own"}}
from page4d.viz import Row, contact_sheet

left = torch.where(seen, own_motion, torch.nan)[None].numpy()
picture = exact.images[:1].permute(0, 2, 3, 1).float().numpy()
rows = [Row(picture, "image"), Row(left, "own motion", "px", "magma")]
sheet = contact_sheet(rows, width_in=3.6)

# %% [markdown]
# The same for tracks: they are followed by another function than the flow, so that both would have to be wrong alike.

# %%
from page4d.world import query_tracks

rows_, columns_ = torch.nonzero(moves, as_tuple=True)
chosen = torch.stack((columns_, rows_), 1)[:: max(1, len(rows_) // 50)]
tracks, visible = query_tracks(scene, 0, chosen.double())
step = exact.flow[0][chosen[:, 1], chosen[:, 0]]
gap = (tracks[1] - tracks[0] - step).abs().max()
print(f"{len(chosen)} moving pixels: tracks and flow differ by {gap:.1e} px at most")
assert gap < 1e-6

# %% [markdown]
# ## What the splits hold
#
# Training, validation and test draw from ranges of seeds that cannot meet. Splits of one kind share their knobs, and where the
# kinds differ {numref}`tab-world-splits` shows it.

# %% mystnb={"figure": {"caption": "Settings in which the splits differ: how many bodies move, the share of the pixels that is to move, the camera's speed in m/s, how often it stands on a tripod, and whether all that moves moves as one.", "name": "tab-world-splits"}}
import pandas as pd
from page4d.world import SPLITS

fields = ["moving_bodies", "moving_share", "camera_speed", "tripod_chance", "coherent"]


def plainly(value):
    return " to ".join(map(str, value)) if isinstance(value, tuple) else str(value)


knobs = {
    name: {f: plainly(getattr(c, f)) for f in fields} for name, c in SPLITS.items()
}
pd.DataFrame(knobs).T.rename(columns=lambda name: name.replace("_", " "))

# %% [markdown]
# What comes out of these knobs is a distribution, and a network should be judged against it: an error of one degree is
# little for a camera that turns by ten and everything for one that turns by one. {numref}`fig-world-facts` has four such
# distributions, for two splits.

# %%
from page4d.geometry import camera_centres, relative_to_first, rotation_angle_deg
from page4d.world import render_batch


def facts(split):
    small = split_config(split, height=48, width=48)
    batch = render_batch(split_seeds(split, clips), small)
    relative = relative_to_first(batch.cam_from_world.double())
    centres = camera_centres(relative)[:, -1]
    known = torch.where(batch.depth > 0, batch.depth, torch.nan)
    return {
        "moving pixels (share)": batch.moving.float().mean((1, 2, 3)),
        "camera turns by (degrees)": rotation_angle_deg(relative[:, -1, :, :3]),
        "camera moves by (m)": centres.norm(dim=-1),
        "median depth (m)": known.flatten(1).nanmedian(1).values,
    }


# %% mystnb={"figure": {"caption": "What the clips of two splits hold, from the first frame to the last. Lines: the share of clips that lie below a value.", "name": "fig-world-facts"}}
import matplotlib.pyplot as plt

splits = {"dynamic-test": "-", "dynamic-hard": "--"}
found = {split: facts(split) for split in splits}
figure, axes = plt.subplots(2, 2, figsize=(7, 4.4), layout="constrained")
for axis, name in zip(axes.flat, found["dynamic-test"], strict=True):
    for split, line in splits.items():
        values = found[split][name].sort().values
        axis.plot(values, torch.linspace(0, 1, clips), line, label=split)
    axis.set(xlabel=name, ylabel="share of clips", ylim=(0, 1))
_ = axes[0, 0].legend()

# %% [markdown]
# ## Why the hard split is hard
#
# In `dynamic-hard` about half of the picture moves on average, and with `coherent` it moves *as one*: one velocity, one turn, as if the
# camera had moved the other way. Two cameras then explain the pictures about equally well, one for each part. Geometry between
# frames cannot choose ([Why moving scenes break poses](18_why_moving_scenes_break_poses.ipynb)); only knowledge of what a
# wall and what a person looks like can. A method that does well on `dynamic-test` and badly here may be counting votes. {numref}`fig-world-hard`
# has four of its clips.

# %% mystnb={"figure": {"caption": "Clips of the hard split: first frame, last frame, and what moves.", "name": "fig-world-hard"}}
hard = [split_clip("dynamic-hard", i, height=side, width=side) for i in range(4)]
firsts, lasts = ([c.images[i].permute(1, 2, 0).numpy() for c in hard] for i in (0, -1))
moving = [c.moving[0].float().numpy() for c in hard]
rows = [Row(firsts, "first"), Row(lasts, "last")]
rows += [Row(moving, "moving", "0 still, 1 moving", "magma", (0, 1))]
sheet = contact_sheet(rows, [f"clip {i}" for i in range(len(hard))])

# %% [markdown]
# ## Turning one knob
#
# The same index under another configuration is another draw, not the same room with one thing changed: seeds decide
# everything that follows a changed draw. Single effects are therefore shown over many clips, as in
# {numref}`tab-world-speeds`, never on one.

# %% mystnb={"figure": {"caption": "Median length of the flow at four speeds of the camera, means over clips of a still world.", "name": "tab-world-speeds"}}
speeds = {}
for speed in (0.0, 0.5, 1.4, 3.0):
    change = {"camera_speed": speed, "tripod_chance": 0.0}
    still_world = split_config("static-test", height=48, width=48, **change)
    batch = render_batch(split_seeds("static-test", 8), still_world)
    length = batch.flow.norm(dim=-1).flatten(1).median(1).values
    speeds[f"{speed} m/s"] = length.mean().item()
flows = pd.Series(speeds, name="median flow, px of 48")
flows.map("{:.2f}".format).to_frame().T

# %% [markdown]
# Six times the speed need not be six times the flow. A camera must stay in its room, so a way that would leave it is drawn
# smaller; what grows on is the shaking of the hand that carries it. Whoever wants larger steps takes frames that lie
# further apart (`frame_stride`), as the matching stage of the small networks did ([Masked
# fine-tuning](05_masked_finetuning.ipynb)).

# %% [markdown]
# ## What this world cannot teach
#
# - **How real things look.** Materials are noise, stripes and tiles. No text, no faces, no leaves, no cloth that folds.
# - **How cameras fail.** No lens distortion, no rolling shutter, no motion blur, no automatic exposure, no sensor noise;
#   the principal point is in the middle unless asked otherwise.
# - **How light behaves.** One light, hard shadows, no reflections, no glass, no mirrors, although these are where depth
#   is hardest.
# - **How scenes are composed.** Rooms and grounds of a few dozen solids; no streets, crowds or shelves full of books.
# - **That looks deceive.** What moves here looks different from what stands: it is mostly darker
#   ([Figure 2: what the layers see](15_figure_2.ipynb) counts it). A network may learn the looks and leave the motion
#   ([Inside the model II: the mask](04_inside_the_model_mask.ipynb) tests it with films that stand still).
#
# So a good score here shows that the parts work together, and a difference between two networks trained on it shows what
# their *mechanism* does at this size. Neither says how a network does on your pictures. Larger synthetic worlds with more
# of the above are Kubric {cite}`greff2022kubric`, PointOdyssey {cite}`zheng2023pointodyssey`, Dynamic Replica
# {cite}`karaev2023dynamicreplica`, Spring {cite}`mehl2023spring` and Sintel {cite}`butler2012sintel`; real data with
# measured truth are those of the chapters on preparing and measuring.
#
# ## Recap
#
# - A seed is a scene, a scene is a function of time, and truth is that function asked at a pixel.
# - Depth is $z$, not ray length, because the ray is written with $K^{-1}\mathbf{u}$ whose last coordinate is 1.
# - Depth, cameras, flow and tracks agree to rounding. A dataset that cannot pass this test has no exact truth.
# - The hard split has two consistent answers, and only knowledge of the world tells which is meant.
#
# ## Exercises
#
# **1.** Put a ball of radius 1 at $(0, 0, 5)$ before a camera with $f = 100$ px and $c = (50, 50)$. At what depth does the
# middle pixel see it, and in which pixel column does the ball end?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
ball, radius = torch.tensor([0.0, 0.0, 5.0]), 1.0
columns = torch.arange(100.0)
rays = torch.stack(((columns - 50) / 100, torch.zeros(100), torch.ones(100)), 1)
along, square = rays @ ball, (rays * rays).sum(1)
inside = along**2 - square * (ball @ ball - radius**2)
depth = (along - inside.clamp(min=0).sqrt()) / square
print(
    f"middle pixel: {depth[50]:.2f} m; last column that sees it: {columns[inside >= 0].max():.0f}"
)
# The edge is not at 50 + 100 / 5: tangents touch the ball before its middle, at 100 / sqrt(24) = 20.4 px.

# %% [markdown]
# **2.** Depth and length of the ray: by how much do they differ in the corner of the clip above?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
corner = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
ray = torch.linalg.inv(exact.K[0]) @ corner
print(f"the ray is {100 * (ray.norm() - 1):.0f} % longer than the depth")

# %% [markdown]
# **3.** Break the truth on purpose: add half a pixel to the principal point and repeat the test of exactness. Is the error
# the same everywhere, and would you notice it in the picture?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
wrong = exact.K.clone()
wrong[:, :2, 2] += 0.5
lifted = world_points(exact.depth, wrong, exact.cam_from_world)[0].flatten(0, 1)
where, _ = project(transform(exact.cam_from_world[1], lifted), wrong[1])
off = (exact.flow[0] - (where.view(side, side, 2) - pixels)).norm(dim=-1)[still]
print(f"{off.min():.4f} to {off.max():.4f} px: small, and no picture shows it")

# %% [markdown]
# **4.** Which share of the moving pixels has so little motion of its own that no method could see it, say below a tenth of
# a pixel from frame to frame?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
print(f"{100 * (own_motion[moves] < 0.1).double().mean():.0f} % in this clip")
# A walker's standing foot and whatever moves along the line of sight: truth calls them moving all the same.

# %% [markdown]
# ## Further reading
#
# {cite:t}`butler2012sintel` began to measure motion on rendered films; {cite:t}`greff2022kubric` describe a generator of
# scenes with truth of every kind, and {cite:t}`zheng2023pointodyssey` one for long tracks. {cite:t}`hartley2004multiview`
# is the source for rays, cameras and projections.
