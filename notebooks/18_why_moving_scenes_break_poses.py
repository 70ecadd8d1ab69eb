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
# # Why moving scenes break poses
#
# Two views tell how a camera moved as long as most of what they share stands still; this chapter measures where that
# ends, and follows the same difficulty from matched points to the network of this book.
#
# **You will learn** what an epipolar line is, how eight matches give a camera, what moving pixels do to that answer with
# and without RANSAC, why point maps do not make the difficulty go away, and why PAGE-4D hides moving patches from the
# camera alone.
#
# **Needs**: a minute on any computer, no weights. [Conventions](02_conventions_and_geometry.ipynb) first, if axes and poses
# are new to you; symbols are on the page of [notation](../notation.md).
#
# **The small run** uses few pairs of small pictures, so its curves are rough. `pairs = 60` makes them smooth.

# %% tags=["parameters"]
pairs = 14
height = 112
width = 168
matches = 400
noise_px = 0.1

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## One picture before any formula
#
# {numref}`fig-story-flow` has one scene at two times, less than half a second apart. The camera went on, and something else moved too. In the
# synthetic world we know where every pixel of the first picture went, so nothing has to be matched: the arrows are exact.

# %%
import torch
from page4d.world import split_clip

size = {"height": height, "width": width, "frames": 2, "frame_stride": 4.0}
motion = {"moving_share": (0.3, 0.5), "body_speed": (1.0, 2.0)}
motion |= {"camera_speed": (0.5, 1.5), "tripod_chance": 0.0}
clips = [split_clip("dynamic-test", i, **size, **motion) for i in range(pairs)]


def exact_matches(clip):
    """Pixels seen in both frames: where in the first, where in the second, and do they move?"""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    start = torch.stack((x, y), -1).double()
    end = start + clip.flow[0]
    column, row = end.round().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    there = row.clamp(0, height - 1), column.clamp(0, width - 1)
    hidden = clip.instances[1][there] != clip.instances[0]
    kept = inside & clip.valid[0] & ~hidden
    return start[kept], end[kept], clip.moving[0][kept]


# %%
known = [exact_matches(clip) for clip in clips]
shares = [moves.double().mean().item() for _, _, moves in known]
shown = min(range(pairs), key=lambda i: abs(shares[i] - 0.35))
clip = clips[shown]
start, end, moves = known[shown]

# %% mystnb={"figure": {"caption": "Where pixels go between two frames. White arrows: what stands still; orange arrows: what moves. The white ones follow one rule, which is the camera's.", "name": "fig-story-flow"}} tags=["hide-input"]
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for axis, picture, title in zip(
    axes, clip.images, ("first frame", "second frame"), strict=True
):
    axis.imshow(picture.permute(1, 2, 0))
    axis.set_title(title)
    axis.set_axis_off()
for mask, colour in ((~moves, "white"), (moves, "#ff7f0e")):
    from_, to = start[mask][::97].T, (end - start)[mask][::97].T
    look = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.004}
    axes[0].quiver(*from_, *to, color=colour, **look)

# %% [markdown]
# ## Two views of a point that stands still
#
# A pixel $\mathbf{u}$ of the first picture fixes a ray: the point lies somewhere on it. Seen from the second camera, a
# ray is a line, and the point must reappear on that line wherever along the ray it is. These are the **epipolar lines**.
# They depend on the two cameras and on nothing else, and a pair of pictures has millions of pixels to test them with.
#
# In numbers: let $\hat{\mathbf{u}} = K^{-1}\mathbf{u}$ be the pixel as a direction, and $R, \mathbf{t}$ the pose of the
# second camera seen from the first. The two directions and the step between the cameras lie in one plane, so
#
# $$ \hat{\mathbf{u}}_2^\top E\, \hat{\mathbf{u}}_1 = 0, \qquad E = [\mathbf{t}]_\times R , $$
#
# where $[\mathbf{t}]_\times$ is the matrix of the cross product with $\mathbf{t}$. This is the essential matrix
# {cite}`longuethiggins1981,hartley2004multiview`. Nothing in the equation changes if $\mathbf{t}$ grows by a factor:
# two pictures know the *direction* of the step and not its length. {numref}`fig-story-epipolar` draws ten such lines.

# %%
from page4d.geometry import compose, invert


def true_motion(clip):
    """Second camera from first camera (3, 4)."""
    first, second = clip.cam_from_world.double()
    return compose(second, invert(first))


def cross_matrix(t):
    x, y, z = t.tolist()
    return torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)


def directions(K, pixels):
    ones = torch.ones_like(pixels[:, :1])
    return torch.cat((pixels, ones), 1) @ torch.linalg.inv(K.double()).T


# %%
pose = true_motion(clip)
E = cross_matrix(pose[:, 3]) @ pose[:, :3]
one, two = directions(clip.K[0], start), directions(clip.K[1], end)
lines = one @ E.T @ torch.linalg.inv(clip.K[1].double())
away = (lines * torch.nn.functional.pad(end, (0, 1), value=1)).sum(1).abs()
away = away / lines[:, :2].norm(dim=1)

# %% mystnb={"figure": {"caption": "Second frame with the epipolar lines of ten pixels of the first. Circles: where the pixels really are. Still ones (white) lie on their lines, moving ones (orange) have left them.", "name": "fig-story-epipolar"}} tags=["hide-input"]
still_ones = torch.nonzero(~moves)[:, 0]
moving_ones = torch.nonzero(moves)[:, 0]
chosen = [
    group[len(group) // 10 :: len(group) // 5][:5]
    for group in (still_ones, moving_ones)
]
figure, axis = plt.subplots(figsize=(6.5, 4.3), layout="constrained")
axis.imshow(clip.images[1].permute(1, 2, 0) * 0.6)
across = torch.tensor([0.0, width - 1.0])
for group, colour in zip(chosen, ("white", "#ff7f0e"), strict=True):
    for i in group:
        a, b, c = lines[i]
        axis.plot(across, -(a * across + c) / b, color=colour, lw=1)
        axis.plot(*end[i], "o", ms=7, mfc="none", mec=colour, mew=2)
_ = axis.set(xlim=(0, width - 1), ylim=(height - 1, 0))
axis.set_axis_off()

# %%
print(f"still points are {away[~moves].median():.2f} px from their line in the median")
print(f"moving points    {away[moves].median():.2f} px")

# %% [markdown]
# For still points the distance is rounding. For moving ones it is how far their own motion pushed them *across* the
# line, and that is all a pair of pictures can know of it: a point that moves *along* its line looks still (exercise 3).
#
# ## From matches to a camera
#
# Turn the equation around: matches are given and $E$ is asked for. Each match is one linear equation in its nine
# numbers, so eight of them determine $E$ up to its factor, and more are solved by least squares: the right singular
# vector of the smallest singular value. This is the eight-point algorithm {cite}`hartley1997eightpoint`.


# %%
def eight_points(one, two):
    """E (3, 3) from directions (N, 3) in both views, least squares over all of them."""
    equations = (two[:, :, None] * one[:, None, :]).flatten(1)
    return torch.linalg.svd(equations, full_matrices=False).Vh[-1].view(3, 3)


found = eight_points(one[~moves], two[~moves])
found = found / found.norm() * E.norm()
same = min((found - E).abs().max(), (found + E).abs().max())
print(f"largest difference to the true E, from still points: {same:.1e}")

# %% [markdown]
# Rotation and direction are read off $E$ by another singular value decomposition, which leaves four candidates; the one
# that puts the points in front of both cameras is the answer. OpenCV does that step for us. Two errors say how good a
# pose is: the angle by which the rotation is wrong, and the angle between found and true direction of the step.

# %%
import cv2
from page4d.geometry import rotation_angle_deg


def pose_errors_deg(E, one, two, clip):
    """Rotation and direction error in degrees of the pose that E says."""
    a, b = (rays[:, :2].contiguous().numpy() for rays in (one, two))
    _, R, t, _ = cv2.recoverPose(E.numpy(), a, b, torch.eye(3).double().numpy())
    true = true_motion(clip)
    rotation = rotation_angle_deg(torch.from_numpy(R) @ true[:, :3].T)
    cosine = torch.from_numpy(t[:, 0]) @ true[:, 3] / true[:, 3].norm()
    return rotation.item(), torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).item()


# %% [markdown]
# ## Now let pixels move
#
# Real matches come from a detector {cite}`lowe2004sift` and are off by a fraction of a pixel, so we add noise. Then we
# decide how many of the matches lie on moving things, and solve in two ways. **Least squares** believes every match.
# **RANSAC** {cite}`fischler1981ransac` draws a few matches at random, computes $E$ from them, counts how many of the
# others agree, and keeps the answer with most supporters; with five matches per draw
# {cite}`nister2004fivepoint` this is how structure from motion has begun ever since
# {cite}`snavely2006tourism,schoenberger2016colmap`. {numref}`fig-story-share` shows what becomes of both.


# %%
def draw(i, share):
    """Noisy matches of pair i as directions, `share` of them moving; None if it has too few."""
    start, end, moves = known[i]
    random = torch.Generator().manual_seed(i)
    wanted = {True: round(share * matches), False: matches - round(share * matches)}
    picked = []
    for kind, count in wanted.items():
        group = torch.nonzero(moves == kind)[:, 0]
        if len(group) < count:
            return None
        picked.append(group[torch.randperm(len(group), generator=random)[:count]])
    index = torch.cat(picked)
    noise = torch.randn(matches, 2, generator=random, dtype=torch.float64)
    one = directions(clips[i].K[0], start[index])
    two = directions(clips[i].K[1], end[index] + noise_px * noise)
    return one, two, moves[index], start[index]


# %%
def ransac(one, two, clip, within_px=1.0):
    """E of the best-supported five-point draw, and which matches support it."""
    a, b = (rays[:, :2].contiguous().numpy() for rays in (one, two))
    cv2.setRNGSeed(0)
    tolerance = within_px / float(clip.K[0, 0, 0])
    unit = torch.eye(3).double().numpy()
    E, agree = cv2.findEssentialMat(a, b, unit, cv2.RANSAC, 0.999, tolerance)
    return torch.from_numpy(E[:3]), torch.from_numpy(agree[:, 0] > 0)


def both_ways(i, share):
    drawn, clip = draw(i, share), clips[i]
    if drawn is None:
        return []
    one, two, _, _ = drawn
    E, agree = ransac(one, two, clip)
    plain = pose_errors_deg(eight_points(one, two), one, two, clip)
    robust = pose_errors_deg(E, one[agree], two[agree], clip)
    return [("least squares", share, *plain), ("RANSAC", share, *robust)]


# %%
import pandas as pd

tried = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
rows = [row for share in tried for i in range(pairs) for row in both_ways(i, share)]
results = pd.DataFrame(rows, columns=["method", "share", "rotation", "direction"])
median = results.groupby(["method", "share"]).median()
chosen = median.unstack("method").loc[[0.1, 0.3, 0.5]].round(1)
chosen.columns = [f"{error}, {method}" for error, method in chosen.columns]
chosen.rename_axis(None).set_axis([f"{share:.0%} move" for share in chosen.index])

# %% mystnb={"figure": {"caption": "Error of the pose against the share of matches that lie on moving things; median over the pairs, the band holds the middle half.", "name": "fig-story-share"}} tags=["hide-input"]
figure, axes = plt.subplots(2, 1, figsize=(4.8, 5), sharex=True, layout="constrained")
for axis, error in zip(axes, ("rotation", "direction"), strict=True):
    for method, group in results.groupby("method"):
        quarters = group.groupby("share")[error].quantile([0.25, 0.5, 0.75]).unstack()
        axis.plot(quarters.index, quarters[0.5], marker="o", label=method)
        axis.fill_between(quarters.index, quarters[0.25], quarters[0.75], alpha=0.2)
    axis.set(ylabel=f"{error} error (degrees)", ylim=(0, None))
axes[1].set_xlabel("share of moving matches")
_ = axes[0].legend()

# %% tags=["remove-input"]
from IPython.display import Markdown


def at(method, share):
    return median.loc[(method, share), "direction"]


lost = [share for share in tried if at("RANSAC", share) > 45]
end_of_ransac = (
    f"from {100 * min(lost):.0f} % of moving matches on"
    if lost
    else "at no share tried here"
)
Markdown(f"""
Least squares has no defence: its direction is wrong by {at("least squares", 0.0):.1f} degrees when nothing moves and by
{at("least squares", 0.1):.1f} degrees when one match in ten does. RANSAC goes from {at("RANSAC", 0.0):.1f} to
{at("RANSAC", 0.3):.1f} degrees at three in ten; its median is above 45 degrees {end_of_ransac}; at seven in ten it
stands at {at("RANSAC", 0.7):.1f}.
""")

# %% tags=["remove-input"]
text = "A surprise stands at the left end: with nothing to defend against, RANSAC is the worse of the two. It keeps the answer "
text += "of the best five matches that it drew, noise and all; least squares takes the mean over hundreds. So pipelines fit once "
text += "more, to all supporters. Exercise 6 does, and says up to where it helps."
Markdown(text) if at("RANSAC", 0.0) > at("least squares", 0.0) else None

# %% [markdown]
# With movers, two things add up. A mover that leaves its line by less than the tolerance of one pixel
# counts as a supporter and bends the answer, however few there are (exercise 2 tries other tolerances). And RANSAC is a
# vote: where many things move together, they can win it. What it then finds is shown by
# {numref}`fig-story-votes`.

# %% mystnb={"figure": {"caption": "The same pair with three and with seven moving matches in ten. Filled: supporters of RANSAC's answer; hollow: matches that it calls wrong. White stands still, orange moves.", "name": "fig-story-votes"}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for axis, share in zip(axes, (0.3, 0.7), strict=True):
    one_, two_, moves_, at_ = draw(shown, share)
    agree = ransac(one_, two_, clip)[1]
    axis.imshow(clip.images[0].permute(1, 2, 0) * 0.6)
    for mask, colour in ((~moves_, "white"), (moves_, "#ff7f0e")):
        axis.scatter(*at_[mask & agree].T, s=12, c=colour)
        axis.scatter(*at_[mask & ~agree].T, s=14, facecolors="none", edgecolors=colour)
    axis.set_title(f"{100 * share:.0f} % moving")
    axis.set_axis_off()

# %% [markdown]
# A camera that circles a still statue and a statue that turns before a still camera give the same pictures. When the
# supporters sit on a moving thing, the answer is a correct pose, relative to *that*. No geometry between two frames can
# prefer one reading over the other; only knowledge of the world can: walls stand, people walk.
#
# The classical remedies bring that knowledge in from outside. A segmentation network removes people and cars before
# matching {cite}`bescos2018dynaslam`; an optimization over the whole video finds, frame by frame, what disagrees
# {cite}`kopf2021robustcvd`; a learned weight per pixel enters the bundle adjustment {cite}`teed2021droid`, or a
# learned map of what moves {cite}`li2025megasam`. Each is a pipeline, and each part waits for the one before it.
#
# ## Point maps have the same disease
#
# DUSt3R {cite}`wang2024dust3r` replaced the pipeline's beginning: a network reads two pictures and says for every pixel
# where its point lies, both in the frame of the first camera. Matches {cite}`leroy2024mast3r`, depth and cameras follow
# from these **point maps** by small fits. But "both in one frame" holds a silent assumption: that there is *one* scene.
# Give the fit perfect points of both cameras and see. The pose is now a rigid motion between two clouds, and the
# least-squares answer {cite}`umeyama1991` is exact when nothing moves; {numref}`tab-story-clouds` has its error otherwise.

# %%
import math

from page4d.geometry import fit_similarity, unproject


def fit_clouds(i, share, m=0.0):
    """Rotation error in degrees of the rigid fit between the points of both frames."""
    start, end, moves = known[i]
    points = unproject(clips[i].depth.double(), clips[i].K.double())
    (u, v), (u2, v2) = start.long().T, end.round().long().T
    first, second = points[0, v, u], points[1, v2, u2]
    weight = torch.where(moves, share / moves.sum(), (1 - share) / (~moves).sum())
    weight = weight * torch.where(moves, math.exp(64 * m), 1.0) * (second[:, 2] > 0)
    random = torch.Generator().manual_seed(i)
    index = torch.multinomial(weight, matches, generator=random)
    fit = fit_similarity(first[index], second[index], with_scale=False)
    return rotation_angle_deg(fit.rotation @ true_motion(clips[i])[:, :3].T).item()


# %% mystnb={"figure": {"caption": "Rotation error of the rigid fit between two clouds of exact points, by the share of points that move: medians over clips.", "name": "tab-story-clouds"}}
mixed = [i for i, share in enumerate(shares) if share > 0.02]
table = {s: [fit_clouds(i, s) for i in mixed] for s in tried}
clouds = pd.DataFrame(table).median()
clouds.rename_axis("share moving").to_frame("rotation error (degrees)").T.round(2)

# %% [markdown]
# No cliff here, because three coordinates of every point bind the answer far more than two: but the error is there from
# the first tenth of moving points on, and it grows with them. MonST3R {cite}`zhang2025monst3r` therefore gives each picture a
# point map of its *own* time and was trained further on moving scenes; what stands still is then found by comparing
# with optical flow, in an optimization over the video. CUT3R {cite}`wang2025cut3r` carries a state from frame to frame.
# Easi3R {cite}`chen2025easi3r` trains nothing and reads from DUSt3R's attention what moves.
#
# ## All frames at once
#
# VGGT {cite}`wang2025vggt`, like Fast3R {cite}`yang2025fast3r` and $\pi^3$ {cite}`wang2026pi3`, drops the pairs: all
# frames go in together, and one pass returns cameras, depth and points. In VGGT every frame has a **camera token**
# that collects, block after block, a weighted mean over the patches of all frames. That weighted mean is a vote again,
# a soft one: a patch with little weight has little say. Nothing but training tells the weights what moves, and the
# training data mostly stand still.
#
# PAGE-4D {cite}`zhou2025page4d` gives the vote a knob. Its mask $m$ is added to the attention logit of every patch,
# times 64, so that the weight of a patch is multiplied by $e^{64 m}$ before the softmax divides. The next cell puts that
# factor into a weighted vote that we can solve: the fit of two clouds, half of whose points move, each drawn in
# proportion to its weight. Then it turns the knob of the moving ones, in {numref}`fig-story-knob`.

# %%
knob = [0.0, -0.01, -0.02, -0.05, -0.1, -0.2]
turned = {m: [fit_clouds(i, 0.5, m) for i in mixed] for m in knob}
turned = pd.DataFrame(turned).median()

# %% mystnb={"figure": {"caption": "Rotation error of the fit when half of the points move, against the mask value m of the moving ones. Dashed: the same when nothing moves.", "name": "fig-story-knob"}} tags=["hide-input"]
figure, axis = plt.subplots(figsize=(4.8, 2.8), layout="constrained")
axis.plot(knob, turned, marker="o")
axis.axhline(clouds[0.0], color="0.5", ls="--")
axis.invert_xaxis()
axis.set_ylim(0, None)
axis.locator_params(axis="x", nbins=5)
_ = axis.set(xlabel="m of the moving points", ylabel="rotation error (degrees)")

# %% tags=["hide-input"]
verdict = "falls" if turned[-0.1] < 0.8 * turned[0.0] else "does not fall by a fifth"
print(
    f"m from 0 to -0.1: the error {verdict}, {turned[0.0]:.2f} to {turned[-0.1]:.2f} degrees"
)

# %% [markdown]
# The knob is strong: 64 times a small number is a large exponent. But it needs somebody to turn it, and that is the
# mask head's work, learned from nothing but the losses.
#
# ## Why not simply delete what moves?
#
# Because the camera is half of the task. Depth and points are wanted of the walker too, and to place the walker the
# patches must look at each other. The two aims pull on the same attention weights. PAGE-4D separates them by *rows*:
# in ten of the global blocks, the mask changes what the camera and register tokens attend to, and the rows of the
# patches stay as they were; [Inside the model II: the mask](04_inside_the_model_mask.ipynb) draws the matrix.
#
# Whether a trained mask marks what moves, and whether it helps, is measured in [Inside the model II: the
# mask](04_inside_the_model_mask.ipynb) and [Does the mask help?](06_does_the_mask_help.ipynb); nothing on this page shows
# it. Another line of work asks for more than poses: where is every point at every time? Dynamic point maps
# {cite}`sucar2025dpm,sucar2026vdpm`, D4RT {cite}`zhang2026d4rt` and Any4D {cite}`karhade2026any4d` predict the motion of
# points itself.
#
# | method | from what to what | what moving things do to the camera |
# |---|---|---|
# | structure from motion | matches to cameras and sparse points | can win the vote of RANSAC |
# | DUSt3R, MASt3R | two pictures to point maps and matches | bend the fit |
# | MonST3R | pairs of a video to one point map per time | are masked by an optimization |
# | CUT3R | frame after frame to point maps and cameras | training has seen them |
# | VGGT, Fast3R, $\pi^3$ | all frames to cameras, depth, points | what training taught |
# | PAGE-4D | all frames to cameras, depth, points | a learned mask hides them from the cameras |
# | V-DPM, D4RT, Any4D | all frames to points at every time | motion is part of the answer |
#
# ## Recap
#
# - Still points bind two cameras by one equation, $\hat{\mathbf{u}}_2^\top E\,\hat{\mathbf{u}}_1 = 0$. Moving points
#   break it, unless they move along their line.
# - Least squares has no defence against moving points. RANSAC keeps out what leaves its line by more than the tolerance,
#   as long as still points win the vote; where they do not, it may find a pose relative to the thing that moves.
# - Point maps soften the break and keep the cause.
# - Attention is a weighted vote, and a mask is a weight. PAGE-4D gives the weight to the cameras' rows only.
#
# ## Exercises
#
# **1.** A draw of RANSAC is good if all its five matches stand still. How many draws are needed to have one good draw
# with a probability of 99.9 %, at 10, 30, 50 and 70 % of moving matches? And with eight matches per draw?


# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
def draws(moving, size):
    good = (1 - moving) ** size
    return math.ceil(math.log(1 - 0.999) / math.log(1 - good))


shares_ = (0.1, 0.3, 0.5, 0.7)
pd.DataFrame({f"{n} matches": {s: draws(s, n) for s in shares_} for n in (5, 8)}).T

# %% [markdown]
# **2.** RANSAC calls a match a supporter if it is within a pixel of its line. Repeat the experiment at 30 % of moving
# matches with 0.3, 1, 3 and 10 pixels. What does each end of the scale cost?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
errors = {}
for within in (0.3, 1.0, 3.0, 10.0):
    values = []
    for i, c in enumerate(clips):
        if (drawn := draw(i, 0.3)) is not None:
            E_, agree = ransac(*drawn[:2], c, within)
            found_deg = pose_errors_deg(E_, drawn[0][agree], drawn[1][agree], c)[1]
            values.append((found_deg, (agree & drawn[2]).sum() / drawn[2].sum()))
    errors[f"{within} px"] = pd.DataFrame(values).astype(float).median()
names = ["direction error (degrees)", "share of moving matches let in"]
pd.DataFrame(errors).set_axis(names).round(2)

# %% [markdown]
# A tight threshold throws away good matches for their noise, a wide one lets the moving ones in.
#
# **3.** Move a still point along its epipolar line in the second picture by 10 pixels. How far from its line is it now?
# Name a scene in which everything that moves does so.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
i = int(still_ones[len(still_ones) // 2])
a, b, c = lines[i]
along = torch.tensor([b, -a]) / torch.hypot(a, b)
moved = end[i] + 10 * along
print(
    f"moved by 10 px, now {abs(a * moved[0] + b * moved[1] + c) / torch.hypot(a, b):.1e} px off"
)
# A car ahead of a camera that drives the same way: its motion is parallel to the camera's step.

# %% [markdown]
# **4.** Give RANSAC the exact mask: draw at 50 %, keep only what stands still, and compare with the answer at 0 %.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
halves = [i for i in range(pairs) if draw(i, 0.5) is not None]
masked = []
for i in halves:
    one_, two_, moves_, _ = draw(i, 0.5)
    E_, agree = ransac(one_[~moves_], two_[~moves_], clips[i])
    kept = one_[~moves_][agree], two_[~moves_][agree]
    masked.append(pose_errors_deg(E_, *kept, clips[i])[1])
print(
    f"with an exact mask {pd.Series(masked).median():.1f} degrees, at 0 % {at('RANSAC', 0.0):.1f}"
)
# What moves does no harm any more; half as many matches are left for the noise to average over.

# %% [markdown]
# **5.** From which $m$ on does a moving patch count half, a tenth, a thousandth?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
pd.Series({f"1/{n}": -math.log(n) / 64 for n in (2, 10, 1000)}, name="m").round(
    4
).to_frame()

# %% [markdown]
# **6.** Fit once more, by least squares over all supporters of RANSAC's answer. Up to which share of movers does that
# help, and why not beyond?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
twice = {}
for share in (0.0, 0.1, 0.3, 0.5):
    errors = []
    for i, c in enumerate(clips):
        if (drawn := draw(i, share)) is not None:
            E_, agree = ransac(*drawn[:2], c)
            kept = drawn[0][agree], drawn[1][agree]
            ways = (E_, eight_points(*kept))
            errors.append([pose_errors_deg(way, *kept, c)[1] for way in ways])
    names = ["RANSAC", "fitted once more"]
    twice[f"{share:.0%} move"] = pd.DataFrame(errors, columns=names).median()
pd.DataFrame(twice).round(1)
# The mean over hundreds of matches takes the noise out, not the movers among the supporters: where they decide, a second
# fit to the same supporters believes them once more.

# %% [markdown]
# ## Further reading
#
# {cite:t}`hartley2004multiview` is the book on two and more views; {cite:t}`triggs2000bundle` on bundle adjustment.
# {cite:t}`schoenberger2016colmap` is structure from motion as it is used today. {cite:t}`wang2024dust3r` and
# {cite:t}`wang2025vggt` are the two turns that led to this network, and {cite:t}`zhou2025page4d` is the network.
