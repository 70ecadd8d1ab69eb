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
# # Losses, with formulas
#
# Every number that training makes small: as a picture, as a formula, by hand on tensors small enough to see through, and
# equal to what the package computes.
#
# **You will learn** to what scale and frame the truth is brought first, how the four answers of the camera head are
# weighted, what the confidence of a pixel costs and earns, why a depth map is also compared by its steps and a point map
# by its normals, and which pixels teach nothing.
#
# **Needs**: a minute on any computer. [Conventions and geometry](02_conventions_and_geometry.ipynb) for the nine numbers of
# a camera; symbols are on the page of [notation](../notation.md).
#
# **The small run** measures the terms of the small network on one synthetic clip. The formulas have no size.

# %% tags=["parameters"]
weights = "tiny"
clip_number = 3
frames = 4
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## First, the truth is brought to one scale
#
# {numref}`fig-loss-clip` is a clip and its truth: what a training step is given. Its depth is in metres.

# %% mystnb={"figure": {"caption": "The clip of this chapter with its truth: pictures, depth, what moves, and where every pixel goes until the next frame. The losses compare depth, points and cameras.", "name": "fig-loss-clip"}}
import page4d
import torch
from page4d.viz import clip_sheet
from page4d.world import split_clip

model = page4d.PAGE4D.from_pretrained(weights, device=device)
side = model.config.img_size
clip = split_clip("dynamic-test", clip_number, height=side, width=side, frames=frames)
sheet = clip_sheet(clip, width_in=6.5)

# %% [markdown]
# Pictures do not know metres, so the truth must not insist on them. Every sequence is moved into its first camera and
# divided by the mean distance of its points:
#
# $$ \mathbf{X}' = R_0 \mathbf{X} + \mathbf{t}_0, \qquad
#    s = \frac{\sum_M \lVert \mathbf{X}' \rVert}{|M| + 10^{-3}}, \qquad
#    \mathbf{X}' \leftarrow \frac{\mathbf{X}'}{s}, \quad \mathbf{t} \leftarrow \frac{\mathbf{t}}{s}, \quad
#    z \leftarrow \frac{z}{s}, $$
#
# where $M$ are the valid pixels of all frames. Rotations and intrinsics do not change. From here on, a length of 1 is
# "as far as things are on average".

# %%
from page4d.train import stack, targets_of

targets = targets_of(stack([clip]), "corrected")
distance = targets.world_points.norm(dim=-1)[targets.valid]
print(f"mean distance of the points: {distance.mean():.4f}")
metres = clip.depth[clip.valid] / targets.depth[0][clip.valid]
print(f"one unit is {metres.mean():.3f} m in this clip")

# %% [markdown]
# ## The sum
#
# Four groups of terms, with the weights of the public training run, which are the package's defaults
# ({numref}`tab-loss-weights`):
#
# $$ \begin{aligned} \mathcal{L} = {} & w_\text{cam}\,\mathcal{L}_\text{cam} + w_\text{track}\,\mathcal{L}_\text{track} \\
#    & + w_z \left( \mathcal{L}^z_\text{conf} + \mathcal{L}^z_\text{reg} + \mathcal{L}^z_\text{shape} \right) \\
#    & + w_X \left( \mathcal{L}^X_\text{conf} + \mathcal{L}^X_\text{reg} + \mathcal{L}^X_\text{shape} \right) . \end{aligned} $$

# %% mystnb={"figure": {"caption": "The settings of each group of terms.", "name": "tab-loss-weights"}}
import pandas as pd
from page4d.losses import LossConfig

config = LossConfig()
parts = {"camera": config.camera, "depth": config.depth, "points": config.point}
table = pd.DataFrame({name: vars(part) for name, part in parts.items()})
table.loc["weight", "tracks"] = config.track.weight
shown = ["weight", "gamma", "alpha", "shape_term", "keep_share"]
table.loc[shown].astype(object).fillna("")

# %% [markdown]
# ## The camera
#
# The camera head answers $n$ times and corrects itself. Answer $k$ (from 0) is compared with the true nine numbers
# $\mathbf{g}$, coordinate by coordinate, in three groups: translation, quaternion, field of view. Early answers count
# less:
#
# $$ \mathcal{L}_T = \frac{1}{n} \sum_{k=0}^{n-1} \gamma^{\,n-1-k}\,
#    \operatorname{mean} \left| \mathbf{t}^{(k)} - \mathbf{t} \right|, \qquad
#    \mathcal{L}_\text{cam} = \mathcal{L}_T + \mathcal{L}_R + \tfrac12 \mathcal{L}_\text{FoV} . $$
#
# The sum is divided by $n$ and not by the sum of the weights, so a constant error of 1 costs less than 1:

# %%
n = 4
stage = pd.Series(
    {f"answer {k}": config.camera.gamma ** (n - 1 - k) / n for k in range(n)}
)
stage["sum"] = stage.sum()
stage.map("{:.3f}".format).to_frame("weight").T

# %% [markdown]
# Absolute values have gradients of one size: the last millimetre pulls as hard as the first metre. And a quaternion has
# a trap. $\mathbf{q}$ and $-\mathbf{q}$ are the same rotation, but they are far apart as numbers. The public code fixes
# the sign of the truth ($w \ge 0$) and lets the network find it; ours gives the truth the sign of the answer. Watch a
# camera that turns once around while the truth stands still, in {numref}`fig-loss-quaternion`.

# %%
from page4d.losses import Targets, camera_loss


def toy_targets(depth):
    """One sequence of one frame with a depth map and a camera that does nothing."""
    camera = {
        "extrinsics": torch.eye(3, 4)[None, None],
        "intrinsics": torch.eye(3)[None, None],
    }
    points = torch.zeros(1, 1, *depth.shape, 3)
    valid = torch.ones(1, 1, *depth.shape, dtype=torch.bool)
    return Targets(**camera, depth=depth[None, None], world_points=points, valid=valid)


# %%
still = toy_targets(torch.ones(12, 12))
angle = torch.linspace(0, 2 * torch.pi, 121)
fov = 2 * torch.atan(torch.tensor(6.0))
turning = torch.zeros(len(angle), 9)
turning[:, 5], turning[:, 6], turning[:, 7:] = (angle / 2).sin(), (angle / 2).cos(), fov
cost = {
    who: [
        camera_loss([q.view(1, 1, 9)], still, config.camera, who).rotation
        for q in turning
    ]
    for who in ("public", "corrected")
}

# %% mystnb={"figure": {"caption": "Rotation term of an answer that is turned by an angle about the viewing axis. A full turn is no error; only the corrected term knows.", "name": "fig-loss-quaternion"}} tags=["hide-input"]
import matplotlib.pyplot as plt

figure, axis = plt.subplots(figsize=(4.8, 2.6), layout="constrained")
for who, values in cost.items():
    axis.plot(
        torch.rad2deg(angle), values, label=who, ls="--" if who == "public" else "-"
    )
axis.legend()
_ = axis.set(
    xlabel="turned by (degrees)", ylabel="rotation term", xticks=range(0, 361, 90)
)

# %% [markdown]
# ## Confidence: a price and a reward
#
# For depth and points, each pixel carries a confidence $c \ge 1$ that the network chooses itself. With $e$ the length of
# the pixel's error (not squared),
#
# $$ \mathcal{L}_\text{conf} = \operatorname{mean}_M \left( \gamma\, e\, c - \alpha_c \ln c \right), \qquad
#    \mathcal{L}_\text{reg} = \operatorname{mean}_M\, e . $$
#
# Confidence multiplies the error and is rewarded by a logarithm {cite}`kendall2017uncertainties`. Where is the best $c$?
# The derivative $\gamma e - \alpha_c / c$ vanishes at $c^* = \alpha_c / (\gamma e)$: the confidence that training asks
# for is the inverse of the error, and 1 where the error is large ({numref}`fig-loss-confidence`).

# %% mystnb={"figure": {"caption": "The confidence term of one pixel against its confidence, for four errors, with the weights of the points. Dots: the best confidence. Where the error is large, the best is the smallest that is allowed.", "name": "fig-loss-confidence"}} tags=["hide-input"]
gamma, alpha = config.point.gamma, config.point.alpha
c = torch.linspace(1, 12, 300)
figure, axis = plt.subplots(figsize=(4.8, 3), layout="constrained")
for e in (0.02, 0.05, 0.1, 0.4):
    (line,) = axis.plot(c, gamma * e * c - alpha * c.log(), label=f"error {e}")
    best = torch.tensor(max(1.0, alpha / (gamma * e)))
    axis.plot(best, gamma * e * best - alpha * best.log(), "o", c=line.get_color())
axis.legend()
_ = axis.set(xlabel="confidence c", ylabel="confidence term")

# %% [markdown]
# In the other direction, the confidence decides how hard a pixel pulls on its prediction: the gradient of both terms
# together is $(1 + \gamma c) / |M|$ times the direction of the error. The regression term is there so that a pixel which
# nobody trusts still learns. Autograd agrees, on a map of four pixels:

# %%
from dataclasses import replace

from page4d.losses import depth_loss

plain = replace(config.depth, shape_term="none", keep_share=0)
truth = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
guess = torch.tensor([[1.1, 1.5], [0.8, 1.0]], requires_grad=True)
trust = torch.tensor([[1.0, 1.0], [4.0, 9.0]])
loss = depth_loss(
    guess[None, None, ..., None], trust[None, None], toy_targets(truth), plain
)
(slope,) = torch.autograd.grad(loss.confidence + loss.regression, guess)
by_hand = (1 + plain.gamma * trust) / 4 * (guess - truth).sign()
print("autograd", [f"{value + 0.0:.3f}" for value in slope.flatten().tolist()])
print("by hand ", [f"{value + 0.0:.3f}" for value in by_hand.flatten().tolist()])
assert torch.allclose(slope, by_hand)

# %% [markdown]
# ## Pixels that are left out
#
# True depth has mistakes of its own, most at edges. So the largest 2 % of the values are left out of the mean: with
# $Q_\tau$ the values below the quantile $\tau = 0.98$, the means above run over $Q_\tau$ of the confidence values and
# over $Q_\tau$ of the errors, each sorted for itself. Values of more than 100 count as 100, and at most 1,000 values pass
# unfiltered. What is left out has no gradient.

# %%
filtered = replace(plain, keep_share=config.depth.keep_share)
truth = torch.ones(40, 40)
guess = truth + 0.1 * torch.rand(40, 40, generator=torch.Generator().manual_seed(0))
guess[::10, ::10] += 3
guess.requires_grad_()
trust = torch.ones(1, 1, 40, 40)
loss = depth_loss(guess[None, None, ..., None], trust, toy_targets(truth), filtered)
(slope,) = torch.autograd.grad(loss.confidence + loss.regression, guess)
silent = slope == 0
print(f"{int(silent.sum())} of {silent.numel()} pixels teach nothing")
print(f"of the 16 wild ones: {int(silent[::10, ::10].sum())}")

# %% [markdown]
# ## Steps of depth
#
# A depth map can be right on average and wrong in every detail. The shape term of the depth compares neighbours. With
# $\delta = \hat{z} - z$ the signed error, zero where nothing is known,
#
# $$ \begin{aligned} \mathcal{L}_\text{grad} = \frac{1}{4} \sum_{k=0}^{3} \frac{1}{|M_k|} \Big( & \sum \left| \delta_{y,x+1} - \delta_{y,x} \right| \\
# & + \sum \left| \delta_{y+1,x} - \delta_{y,x} \right| \Big) , \end{aligned} $$
#
# where scale $k$ takes each $2^k$-th row and column and both pixels of a pair must be valid. Three errors of about the
# same mean size show what it sees ({numref}`tab-loss-toys`):


# %% mystnb={"figure": {"caption": "Three errors of depth of about the same mean size, and what the shape term makes of them.", "name": "tab-loss-toys"}}
def toys(size=32):
    ramp = torch.linspace(-0.2, 0.2, size).expand(size, size)
    noise = 0.13 * torch.randn(size, size, generator=torch.Generator().manual_seed(1))
    return {"offset": torch.full((size, size), 0.1), "ramp": ramp, "noise": noise}


rows = {}
for name, error in toys().items():
    guess = (1 + error)[None, None, ..., None]
    unsure = torch.ones(1, 1, 32, 32)
    loss = depth_loss(guess, unsure, toy_targets(torch.ones(32, 32)), config.depth)
    rows[name] = {"mean error": loss.regression.item(), "shape term": loss.shape.item()}
pd.DataFrame(rows).T.round(4)

# %% tags=["hide-input"]
seen = pd.DataFrame(rows).T["shape term"]
assert seen["offset"] < 1e-6 < seen["ramp"] < seen["noise"]
print(
    f"noise costs {seen['noise'] / seen['ramp']:.0f} times as much as a ramp, an offset nothing"
)

# %% [markdown]
# ## Normals of points
#
# For points, the neighbours make a surface, and its **normal** is compared. At each pixel four normals are taken from
# the arms to the neighbours above, left, below and right, for example
#
# $$ \mathbf{n} = \frac{(\mathbf{X}_\text{up} - \mathbf{X}) \times (\mathbf{X}_\text{left} - \mathbf{X})}
#                     {\lVert \dots \rVert}, $$
#
# $$ \mathcal{L}_\text{normal} = \operatorname{mean}\left(1 - \hat{\mathbf{n}} \cdot \mathbf{n}\right), $$
#
# at three scales (each pixel, each second, each fourth). A normal counts where the pixel and both neighbours are valid.
# A wall that is turned by an angle $\varphi$ must therefore cost $1 - \cos \varphi$, whatever its distance:

# %%
from page4d.losses import point_loss


def wall(angle_deg, distance=2.0, size=16):
    """Points of a wall that is turned about the vertical axis: (1, 1, size, size, 3)."""
    y, x = torch.meshgrid(
        *[torch.linspace(-1, 1, size, dtype=torch.float64)] * 2, indexing="ij"
    )
    turn = torch.deg2rad(torch.tensor(float(angle_deg), dtype=torch.float64))
    return torch.stack((x * turn.cos(), y, distance + x * turn.sin()), -1)[None, None]


# %%
flat = toy_targets(torch.ones(16, 16, dtype=torch.float64))
flat = replace(flat, world_points=wall(0))
angles = [0, 10, 30, 60, 90]
unsure = torch.ones(1, 1, 16, 16, dtype=torch.float64)
cost = [
    point_loss(wall(a, 5.0), unsure, flat, config.point).shape.item() for a in angles
]
expected = (1 - torch.deg2rad(torch.tensor(angles).double()).cos()).tolist()
assert torch.allclose(torch.tensor(cost), torch.tensor(expected), atol=1e-6)
turned = [f"{angle} degrees" for angle in angles]
pd.DataFrame({"shape term": cost, "1 - cos": expected}, index=turned).T.map(
    "{:.4f}".format
)

# %% [markdown]
# ## Tracks
#
# Where a network has a track head, its coordinates are compared like the cameras, with $\gamma = 0.8$ over the
# iterations and the mean over $x$ and $y$ of the absolute error in pixels, for points that are visible in the first frame
# and in the frame in question; two more terms classify whether a point is visible and whether its position is
# within three pixels:
#
# $$ \mathcal{L}_\text{track} = \mathcal{L}_\text{xy} + 0.2\,\mathcal{L}_\text{vis} + 0.1\,\mathcal{L}_\text{sure} . $$
#
# The weight of the whole is 0 in the public run, and in ours.
#
# ## By hand, on a real answer
#
# Now the network answers for the clip, and the terms are computed twice: by the package, and from the formulas above. Only
# the normals of points are not done again; the turned wall above has tested them.

# %%
from page4d.geometry import extri_intri_to_pose_encoding
from page4d.losses import total_loss

with torch.no_grad():
    answer = model(clip.images[None].to(device))
answer = {
    k: [x.cpu() for x in v] if isinstance(v, list) else v.cpu()
    for k, v in answer.items()
}
losses = total_loss(answer, targets, config)

# %%
true = extri_intri_to_pose_encoding(
    targets.extrinsics, targets.intrinsics, (side, side)
)
groups = {"T": slice(0, 3), "R": slice(3, 7), "FL": slice(7, 9)}


def nearer(answer, true):
    """The truth with the quaternion's sign that lies nearer to the answer."""
    opposite = (answer * true)[..., 3:7].sum(-1, keepdim=True) < 0
    turned = torch.where(opposite, -true[..., 3:7], true[..., 3:7])
    return torch.cat((true[..., :3], turned, true[..., 7:]), -1)


hand = {f"loss_{name}": torch.zeros(()) for name in groups}
for k, g in enumerate(answer["pose_enc_list"]):
    error = (g - nearer(g, true)).abs()
    for name, which in groups.items():
        stage = config.camera.gamma ** (n - 1 - k) / n
        hand[f"loss_{name}"] += stage * error[..., which].mean()

# %% [markdown]
# The sign of the quaternion is no detail. $\mathbf{q}$ and $-\mathbf{q}$ are one rotation, and a network whose loss takes the nearer of
# the two has no reason to prefer either. If the sign is not chosen, the rotation term of these very answers is another:

# %% tags=["hide-input"]
public = camera_loss(answer["pose_enc_list"], targets, config.camera, "public").rotation
print(f"rotation term {hand['loss_R']:.4f}, with the sign left as it is {public:.4f}")


# %%
def lowest(values, share):
    """The values below the element that is nearest to the quantile."""
    order = values.sort().values
    return values[values < order[round(share * (len(order) - 1))]]


def by_hand(predicted, confidence, true, settings):
    e = (predicted - true).norm(dim=-1)[targets.valid]
    c = confidence[targets.valid]
    value = settings.gamma * e * c - settings.alpha * c.log()
    return [lowest(x, settings.keep_share).mean() for x in (value, e)]


# %%
pairs = {
    "depth": (
        answer["depth"],
        answer["depth_conf"],
        targets.depth[..., None],
        config.depth,
    ),
    "point": (
        answer["world_points"],
        answer["world_points_conf"],
        targets.world_points,
        config.point,
    ),
}
for name, values in pairs.items():
    hand[f"loss_conf_{name}"], hand[f"loss_reg_{name}"] = by_hand(*values)


# %%
def steps(error, valid):
    total = 0.0
    for k in range(4):
        e, m = error[:, :: 2**k, :: 2**k], valid[:, :: 2**k, :: 2**k]
        right = (e[:, :, 1:] - e[:, :, :-1]).abs()[m[:, :, 1:] & m[:, :, :-1]].sum()
        down = (e[:, 1:] - e[:, :-1]).abs()[m[:, 1:] & m[:, :-1]].sum()
        total += (right + down) / m.sum() / 4
    return total


error = (answer["depth"][..., 0] - targets.depth)[0]
hand["loss_grad_depth"] = steps(error, targets.valid[0])
both = pd.DataFrame({"by hand": hand, "package": losses.terms}).astype(float).dropna()
assert len(both) == len(hand)
assert (both["by hand"] - both["package"]).abs().max() < 1e-5
both.round(5)

# %% tags=["hide-input"]
terms = {k: float(v) for k, v in losses.terms.items() if k != "loss_camera"}
camera = config.camera
factor = {
    "loss_T": camera.weight_translation,
    "loss_R": camera.weight_rotation,
    "loss_FL": camera.weight_focal,
}
CALLED = {"FL": "field of view", "T": "translation", "R": "rotation"}
CALLED |= {"grad_depth": "steps of depth", "grad_point": "normals of points"}
CALLED |= {"conf_depth": "confidence of depth", "conf_point": "confidence of points"}
CALLED |= {"reg_depth": "error of depth", "reg_point": "error of points"}
weighted = {}
for k, v in terms.items():
    name = k.removeprefix("loss_")
    scaled = v * factor.get(k, 1 / camera.weight) * camera.weight
    weighted[CALLED.get(name, name.replace("_", " "))] = scaled

# %% mystnb={"figure": {"caption": "What each term contributes to the objective for this network and clip, weights applied. A confidence term may be negative, by the reward of the logarithm.", "name": "fig-loss-shares"}} tags=["hide-input"]
figure, axis = plt.subplots(figsize=(4.8, 2.8), layout="constrained")
axis.barh(list(weighted), list(weighted.values()))
axis.axvline(0, color="0.5", lw=0.8)
axis.invert_yaxis()
_ = axis.set(xlabel="contribution to the objective")
assert abs(sum(weighted.values()) - float(losses.objective)) < 1e-4

# %% tags=["remove-input"]
from IPython.display import Markdown

largest = max(weighted, key=weighted.get)
part = weighted[largest] / sum(value for value in weighted.values() if value > 0)
Markdown(
    f"The longest bar is *{largest}*, {100 * part:.0f} % of all that is above zero."
)

# %% [markdown]
# Two warnings for readers of {numref}`fig-loss-shares`. A long bar is a large error times its weight, and not a strong
# pull: an absolute value pulls as hard at a thousandth as at one, so a term that is nearly zero may still steer. And the
# sum can fall because the confidence rose. Whoever compares two runs by their objective alone compares two things at once,
# how wrong the answers are and how much the network owns up to it; the terms of regression say the first without the
# second.

# %% [markdown]
# ## Where ours differs from the public code
#
# `behaviour="public"` repeats the public code to rounding (`tests/test_losses.py`); the default, `"corrected"`, repairs
# what follows. The codes are rows of the page of [differences](../differences.md).
#
# | code | public | ours |
# |---|---|---|
# | T22 | a sequence teaches poses if its *first frame* has more than 100 valid pixels | if all its frames together have them |
# | T22 | $\mathbf{q}$ and $-\mathbf{q}$ are two targets | the nearer one is the target |
# | T23 | one sample without usable depth silences depth and points of the whole batch | it loses its own pixels |
# | T25 | targets are cut to $\pm 100$, missing ones become 0 and stay valid | targets are not altered, missing ones do not count |
# | T26 | a loss for logits is fed probabilities | they are turned back into logits |
# | T28 | with confidence, $\ln c$ of invalid pixels counts in the shape term | it does not |
#
# What T23 costs, for a batch of two of which the second has no depth:

# %%
pair = targets_of(
    stack([clip, replace(clip, depth=torch.zeros_like(clip.depth))]), "corrected"
)
twice = {k: torch.cat((answer[k], answer[k])) for k in ("depth", "depth_conf")}
for who in ("public", "corrected"):
    term = depth_loss(twice["depth"], twice["depth_conf"], pair, config.depth, who)
    print(f"{who}: regression term {term.regression:.4f}")

# %% [markdown]
# ## Recap
#
# - The truth is scaled to a mean distance of 1 in the first camera's frame; nothing in the losses knows metres.
# - Cameras: absolute errors of nine numbers, over four answers with growing weight.
# - Depth and points: the error, the error times a confidence that has its own reward, and a term of shape: steps for
#   depth, normals for points.
# - The best confidence is $\alpha_c / (\gamma e)$, and confidence is how hard a pixel pulls.
# - The largest two per cent of the values teach nothing, on purpose.
#
# ## Exercises
#
# **1.** From which error on is 1 the best confidence, for depth and for points?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
limits = {name: part.alpha / part.gamma for name, part in list(parts.items())[1:]}
print(limits)
# The same for both: a fifth of the mean distance. Beyond that, a pixel is not trusted at all.

# %% [markdown]
# **2.** Let the confidence of one pixel follow its gradient for an error of 0.05, and see where it ends.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
c = torch.tensor(1.0, requires_grad=True)
for _ in range(400):
    (slope,) = torch.autograd.grad(gamma * 0.05 * c - alpha * c.log(), c)
    c = (c - slope).clamp(min=1).detach().requires_grad_()
print(f"ends at {c.item():.3f}, formula {alpha / (gamma * 0.05):.3f}")

# %% [markdown]
# **3.** The public configuration can also measure the camera by lengths (`kind="l2"`) instead of coordinates. Compare the
# gradients of both for an error of (0.3, 0.1, 0) in the translation. Which one points at the truth?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
for kind in ("l1", "l2"):
    answer_ = turning[0].clone()
    answer_[:3] = torch.tensor([0.3, 0.1, 0.0])
    answer_.requires_grad_()
    settings = replace(config.camera, kind=kind)
    total = camera_loss([answer_.view(1, 1, 9)], still, settings).translation
    (slope,) = torch.autograd.grad(total, answer_)
    print(kind, [f"{value:.3f}" for value in slope[:3].tolist()])
# l2 points from the answer straight away from the truth; l1 follows the axes.

# %% [markdown]
# **4.** Double all lengths of the clip, as if the scene had been built twice as large. Which targets change?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
poses = torch.cat((clip.cam_from_world[..., :3], 2 * clip.cam_from_world[..., 3:]), -1)
larger = targets_of(
    stack([replace(clip, depth=2 * clip.depth, cam_from_world=poses)]), "corrected"
)
for name in ("depth", "world_points", "extrinsics"):
    gap = (getattr(larger, name) - getattr(targets, name)).abs().max()
    print(f"{name}: largest change {gap:.1e}")

# %% [markdown]
# **5.** One pixel of a flat depth map is wrong by 0.1. Find the gradient of the shape term at that pixel and at its
# neighbours, at the finest scale alone and with all four.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
for row, column in ((9, 9), (8, 8)):
    guess = torch.ones(16, 16)
    guess[row, column] += 0.1
    guess.requires_grad_()
    shape_only = depth_loss(
        guess[None, None, ..., None],
        torch.ones(1, 1, 16, 16),
        toy_targets(torch.ones(16, 16)),
        config.depth,
    ).shape
    (slope,) = torch.autograd.grad(shape_only, guess)
    print(
        (row, column),
        "itself",
        slope[row, column].item(),
        "left",
        slope[row, column - 1].item(),
    )
# Pixel (9, 9) is seen at the finest scale alone, (8, 8) at all four; coarse scales have fewer pixels to share.

# %% [markdown]
# ## Further reading
#
# {cite:t}`kendall2017uncertainties` derive losses that learn their own confidence; {cite:t}`wang2024dust3r` use the one
# above for point maps, and {cite:t}`wang2025vggt` for all maps of VGGT. {cite:t}`ranftl2022midas` compare depth by its
# gradients at several scales. {cite:t}`zhou2019continuity` ask which numbers for a rotation a network learns best.
