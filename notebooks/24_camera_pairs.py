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
# # Camera pairs
#
# Any two pictures of a set have a relative rotation and a direction of motion between them. Compared over all pairs,
# cameras are judged without any alignment, and what an alignment would hide is seen.
#
# **You will learn** what RRA, RTA and AUC are, how the numbers of the released scripts come to be higher, and how sets of
# images are drawn.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in networks on synthetic scenes. The real
# benchmark needs its data set, a GPU, and the released weights:
#
# ```bash
# papermill notebooks/24_camera_pairs.ipynb mine.ipynb -p benchmark co3d -p root data/co3d \
#     -p weights vggt,nomask -p out evaluation -p device cuda
# ```
#
# **The small run** uses rendered scenes with exact cameras. Nothing here was run on CO3D or RealEstate10K.

# %% tags=["parameters"]
weights = "vggt-tiny,tiny"
benchmark = "synthetic"
root = ""
out = ""
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## Two angles for a pair
#
# A trajectory error like ATE moves the whole estimate onto the truth before it compares
# ([Camera pose](12_camera_pose.ipynb)). That needs an order, a scale, and enough cameras that the fit does not swallow the
# error. A few photographs of a vase, taken from anywhere, have none of this. What they do have is pairs, as in
# {numref}`fig-pairs-angles`.

# %% mystnb={"figure": {"caption": "A pair of cameras from above, as it is (black, white on a dark page) and as a network might say (blue). The rotation is off by the angle between the viewing axes of the second camera, the direction by the angle between the two steps; the length of the step is not compared.", "name": "fig-pairs-angles"}} tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

figure, axis = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
first = np.zeros(2)
ways = {"black": ((1.6, 0.6), 15), "#2b62c4": ((1.2, 1.0), 32)}
for colour, (second, turned) in ways.items():
    look = {"arrowstyle": "->", "color": colour}
    axis.annotate("", second, first, arrowprops={**look, "ls": "--"})
    ahead = np.array([np.sin(np.radians(turned)), np.cos(np.radians(turned))])
    axis.annotate("", second + ahead, second, arrowprops={**look, "lw": 2})
    axis.plot(*second, "o", color=colour)
axis.annotate("", (0, 1), first, arrowprops={"arrowstyle": "->", "lw": 2})
axis.plot(*first, "o", color="black")
axis.set(xlim=(-0.3, 2.6), ylim=(-0.3, 2.2), aspect="equal", xlabel="x", ylabel="z")
axis.text(0.08, -0.12, "first camera", va="center", size=9)
_ = axis.text(1.68, 0.5, "second camera", va="center", size=9)

# %% [markdown]
# For two cameras $i$ and $j$ with poses $T_i$ and $T_j$ from the world ([notation](../notation.md)), the second camera seen
# from the first is
#
# $$T_{ij} = T_i\,T_j^{-1} = [\,R_{ij} \mid \mathbf{t}_{ij}\,].$$
#
# The world has dropped out: turn, shift or enlarge it, and $R_{ij}$ and the *direction* of $\mathbf{t}_{ij}$ stay as they
# are. Only its length follows the unit of the world, which no network can know from pictures, and so the length is left
# out. What is compared are two angles,
#
# $$e_R = \angle\big(\hat R_{ij} R_{ij}^\top\big), \qquad
# e_t = \angle\big(\hat{\mathbf{t}}_{ij}, \mathbf{t}_{ij}\big),$$
#
# the angle of the rotation that is left over, from 0 to 180 degrees, and the angle between the two directions. With $S$
# pictures there are $S(S-1)/2$ pairs, and all of them count alike. The measures go back to the matching of photographs
# in wide-baseline stereo. Networks of poses are scored by them since RelPose {cite}`zhang2022relpose` and PoseDiffusion
# {cite}`wang2023posediffusion`, VGGSfM {cite}`wang2024vggsfm`, DUSt3R {cite}`wang2024dust3r` and VGGT {cite}`wang2025vggt` among them.
#
# ## The numbers
#
# RRA@5 is the share of pairs whose relative rotation is at most 5 degrees off, RTA@5 the same for the direction of
# motion. AUC@5 is the area under the share of pairs that are right in both, from 0 to 5 degrees. It can be written
# without a curve. A pair whose worse angle is $e = \max(e_R, e_t)$ is right from $e$ on, so it adds the rest of the way:
#
# $$\mathrm{AUC@}k = \frac{1}{|\text{pairs}|} \sum \max\Big(0,\; 1 - \frac{e}{k}\Big).$$
#
# A perfect pair adds 1, a pair at the limit nothing. So an AUC rewards being *much* better than the limit, where RRA and
# RTA only ask whether the limit was kept, and an AUC at a small limit is the strictest number in the table.

# %%
from page4d.evaluate import failures, measured_on, open_study, scores_table

study = open_study("relpose", benchmark, root=root, out=out)
results = []
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    results.append(study.run(model, name))

# %%
from page4d.evaluate import pair_scores, printed

names = weights.split(",")
pairs = pair_scores(study, names, twice=benchmark == "synthetic")
yardsticks = pairs[len(names) :]
table = scores_table(results + yardsticks)
printed(table.drop(columns=["benchmark", "protocol"]))

# %% tags=["hide-input"]
print(measured_on(results))
print("\n".join(failures(results)) or "no sequence failed")

# %% [markdown]
# The rows below the networks need none, and were scored on the same pairs. A *still camera* and a *straight line* turn
# nothing; the line claims one direction for all, and *random centres* any. *Classical two-view* looks at the pictures:
# optical flow between the two, an essential matrix by RANSAC {cite}`nister2004fivepoint`, and the true lens. Of
# rendered scenes it sees the pixels that the built-in networks see, and in a row of its own the same scenes at twice the
# size; of a real data set the pictures as they are stored. Where a layout has no lens it has no row.
#
# ## Which of the two is wrong?
#
# The table does not say whether a low AUC comes from rotations or from directions. In degrees, over the sequences: the
# mean of their rotation errors, the rotation error of the middle sequence, and the direction error of the middle one.

# %%
import pandas as pd
from page4d.evaluate import angle_table

angles = angle_table(pairs)
angles.round(2)

# %% tags=["remove-input"]
from IPython.display import Markdown
from page4d.evaluate import beside_strongest

told = []
classical = [q for q in yardsticks if q.origin["label"].startswith("classical")]
for name, scores in zip(names, pairs, strict=False):
    turn, way = angles.loc[name, ["rotation, median clip", "direction, median clip"]]
    worse = "directions" if way > turn else "rotations"
    line = f"- {name}: {worse} are the larger error, {max(turn, way):.1f} against {min(turn, way):.1f} degrees"
    for rival in classical[:1]:
        who, found = beside_strongest(scores, [rival], "relative_rotation")
        theirs = angles.loc[who, "rotation, median clip"]
        line += f"; rotation beside {who}, in the mean {found}, in the median {turn:.1f} against {theirs:.1f} degrees"
    told.append(line)
Markdown("\n".join(told))

# %% [markdown]
# Mean and median disagree for a reason. RANSAC finds the larger of two motions: where that is the room, the classical
# turn is nearly exact, where it is a body that walks past, it is lost. The median sees the first kind and the mean the
# second. A network is seldom as right and seldom as lost.

# %% [markdown]
# Directions are the harder of the two for a reason that has nothing to do with networks. A rotation moves every pixel of
# the picture, near or far, by the same angle. A translation moves a pixel by about $\|\mathbf{t}\| / z$: where the camera
# moved a hand's breadth and the room is four metres deep, the whole direction has to be read from a shift of a degree or
# two, and half a degree of error in the rotation imitates a sideways step. For two pictures from one place the direction
# does not exist at all. Such pairs are left out here, and the scores say how many; a script that keeps them scores noise.

# %% [markdown]
# ## Over the limit
#
# One limit hides much. The three measures over all four limits show whether rotations or directions are what a network
# gets wrong, and where its errors lie: a curve that is low at 5 and high at 30 degrees belongs to a network that is
# roughly right, one that hardly rises belongs to a network that guesses.

# %% mystnb={"figure": {"caption": "Share of pairs whose rotation (RRA) and whose direction (RTA) are right within a limit, and the area of both (AUC), for each network and, dashed, for classical two-view geometry.", "name": "fig-pairs-limits"}}
import matplotlib.pyplot as plt

limits = (3, 5, 15, 30)
figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True, layout="constrained")
for axis, measure in zip(axes, ("rra", "rta", "auc"), strict=True):
    for scores in results + classical:
        values = [scores.mean[f"{measure}_{limit}"] for limit in limits]
        style = "--" if scores in classical else "-"
        axis.plot(limits, values, style, marker="o", label=scores.origin["label"])
    axis.set(xlabel="limit (degrees)", title=measure.upper(), ylim=(-0.03, 1.03))
axes[0].set_ylabel("share of pairs")
legend = axes[0].legend(fontsize=8)

# %% [markdown]
# Read {numref}`fig-pairs-limits` from left to right. A panel of rotations whose curves are near one from the start says
# that the pictures turn little, or that the networks know how much; the next section tells the two apart. In the panel of
# directions, look for the slope: a curve that climbs all the way has errors of every size, and no limit is the right
# one. The last panel is never above the other two, since a pair must be right in both and counts in full only where it is
# exact. If you may quote one number, quote an AUC with its limit, and the two shares at that limit beside it.
#
# ## Beside a camera that never moves
#
# Rotations of neighbouring pictures are small, so a camera that never turns is right in many pairs. A direction that is
# drawn at random is within $k$ degrees of the truth in a share of $(1 - \cos k) / 2$ of all cases, the part of the
# sphere that a cap of that size covers: it is very little for small limits. Put together, no turn and a random
# direction, the answer needs no picture.

# %%
import numpy as np
import torch
from page4d.evaluate import rigid_inverse, true_cameras
from page4d.geometry import compose, invert, rotation_angle_deg


def turns_of(sequence):
    """Angles by which the true cameras of all pairs differ, degrees."""
    _, true = true_cameras(sequence)
    cameras = torch.from_numpy(rigid_inverse(true.world_from_camera))
    i, j = torch.triu_indices(len(cameras), len(cameras), 1)
    return rotation_angle_deg(compose(cameras[i], invert(cameras[j]))[:, :3, :3])


# %%
rng = np.random.default_rng(0)
guesses = np.degrees(np.arccos(rng.uniform(-1, 1, 2000)))
standing = {}
turns = [turns_of(sequence).numpy() for sequence in study.scored(results[-1])]
for limit in limits:
    # Turn by turn, for all turns at once do not fit into memory on a large data set.
    areas = [
        [np.clip(1 - np.maximum(t, guesses) / limit, 0, None).mean() for t in turn]
        for turn in turns
    ]
    standing[limit] = {
        "RRA": np.mean([(turn <= limit).mean() for turn in turns]),
        "RTA": (1 - np.cos(np.radians(limit))) / 2,
        "AUC": np.mean([np.mean(area) for area in areas]),
    }
pd.DataFrame(standing).T.rename_axis("limit, degrees").round(3)

# %% tags=["remove-input"]
told = []
for scores in results:
    words = []
    for measure in ("RRA", "RTA", "AUC"):
        ours = scores.mean[f"{measure.lower()}_30"]
        nothing = standing[30][measure]
        words.append(f"{measure}@30 {ours:.2f} where knowing nothing has {nothing:.2f}")
    told.append(f"- {scores.origin['label']}: {', '.join(words)}")
Markdown("\n".join(told))

# %% [markdown]
# Where knowing nothing has an RRA near one already, the rotations of a benchmark are easy, and a table of RRA tells
# networks apart by their last percent. RTA and AUC have hardly a floor, which is why they are the numbers to read.
#
# ## What a script adds
#
# VGGT's released script for CO3D differs in three ways: it cuts errors down to whole degrees before it sums, it takes
# the opposite direction of motion for right, and it averages over categories. Each can be switched alone. The first
# can add up to a third at a limit of 3 degrees, the second can make guessing better.

# %%
from dataclasses import replace

from page4d.evaluate import one_at_a_time

options = ("pair_area", "direction_sign")
protocols = {
    name: protocol
    for name, protocol in one_at_a_time("relpose").items()
    if name == "standard" or name in options
}
rows = {}
for name, protocol in protocols.items():
    found = replace(study, protocol=protocol).score(results[-1].origin["label"])
    rows[name] = {f"AUC@{k}": found.mean[f"auc_{k}"] for k in limits}
by_option = pd.DataFrame(rows).T
by_option.round(3)

# %% tags=["remove-input"]
gained = by_option - by_option.loc["standard"]
told = []
for name in options:
    limit = gained.loc[name].idxmax()
    most = gained.loc[name, limit]
    what = f"adds {most:.3f} to {limit}" if most >= 0.0005 else "adds nothing here"
    told.append(f"`{name}` {what}")
Markdown(
    "The first row is the standard protocol, each other row has one option of the released script: "
    + ", ".join(told)
    + "."
)

# %% [markdown]
#
# Why the first option adds: an error of 2.9 degrees that is cut down to 2 counts as 2, so every pair is given up to a
# degree. At a limit of 30 this is nothing to speak of; at 3 it is a third of the whole scale. Why the second may add: if the
# opposite direction is right too, no error can be above 90 degrees, and a guess has a median of 60 in place of 90. An
# essential matrix indeed does not know the sign of the translation before points are checked to lie in front of both
# cameras {cite}`nister2004fivepoint`; a network that returns poses has decided, and forgiving the sign forgives a camera
# that walks backwards. Neither option is a fault as long as every row of a table was made with it. A row of one kind
# beside a row of the other is one.
#
# ## Which images
#
# On CO3D and RealEstate10K ten images of each sequence are drawn. The draw depends on the sequence's name and a stated
# seed alone, so that a part of the data gives the same sets as all of it.
#
# ```bash
# page4d evaluate run benchmark=relpose-co3d root=data/co3d weights=vggt out=evaluation
# page4d evaluate run benchmark=relpose-realestate10k root=data/re10k weights=vggt benchmark.seed=1 out=evaluation
# ```
#
# Ten of a hundred pictures are a sample, and another seed gives another table. Two numbers that differ by less than
# their scores under two seeds say nothing about two networks.
#
# ## Recap
#
# - A pair has two angles, of rotation and of direction; neither needs an alignment, a scale or an order.
# - AUC@k is the mean of $1 - e/k$ over pairs, cut at zero, with $e$ the worse of the two angles.
# - Directions are harder than rotations because a small step is seen from far.
# - Whole degrees, a free sign and the set of pictures change a number without any change of the network.
#
# ## Exercises
#
# **1.** Turn, shift and enlarge the world of the first sequence. Show that no pair notices.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
_, true = true_cameras(study.sequences()[0])
poses = true.world_from_camera
cameras = torch.from_numpy(rigid_inverse(poses))
i, j = torch.triu_indices(len(cameras), len(cameras), 1)
torch.manual_seed(0)
turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=cameras.dtype))
turn = turn * torch.linalg.det(turn)
world = torch.eye(4, dtype=cameras.dtype)
world[:3, :3], world[:3, 3] = turn, torch.tensor([1.0, -2.0, 0.5])
elsewhere = cameras @ world
elsewhere[:, :3, 3] *= 7
before, after = (compose(c[i], invert(c[j])) for c in (cameras, elsewhere))
print(f"rotations differ by {(before - after)[:, :3, :3].abs().max():.1e}")
print(
    f"translations are {(after[:, :3, 3] / before[:, :3, 3]).mean():.3f} times as long"
)
# Seven times as long in the same direction: the length is the unit of the world, and it is not compared.

# %% [markdown]
# **2.** Of ten cameras one is wrong by 40 degrees, all others are exact. What are RRA@30 and AUC@30, if directions are
# not wrong elsewhere? Compute it on paper first.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
cameras, spoilt = 10, 9
pairs = cameras * (cameras - 1) // 2
print(
    f"{spoilt} of {pairs} pairs are wrong: RRA@30 = AUC@30 = {1 - spoilt / pairs:.2f}"
)
# One picture in ten costs a fifth of the score: each is in nine pairs.

# %% [markdown]
# **3.** A network has errors that are spread evenly from 0 to 10 degrees. Compute AUC@3, AUC@5 and AUC@30, exact and with
# whole degrees.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
errors = np.linspace(0, 10, 10_001)
for limit in (3, 5, 30):
    exact = np.clip(1 - errors / limit, 0, None).mean()
    whole = np.clip(1 - np.floor(errors) / limit, 0, None).mean()
    print(f"AUC@{limit}: {exact:.3f} exact, {whole:.3f} from whole degrees")

# %% [markdown]
# **4.** Two cameras look the same way, ten centimetres apart, at a wall four metres off. By how many degrees does the wall
# move in the picture, and which error of the rotation does the same?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
shift = np.degrees(np.arctan2(0.1, 4.0))
print(f"the wall moves by {shift:.2f} degrees; so does a turn by {shift:.2f} degrees")
# A rotation that is wrong by that much explains the picture with no translation at all, or with its opposite.

# %% [markdown]
# ## Further reading
#
# {cite:t}`nister2004fivepoint` and {cite:t}`hartley2004multiview` for what two pictures determine,
# {cite:t}`reizenstein2021co3d` and {cite:t}`zhou2018realestate` for the two data sets, {cite:t}`wang2024vggsfm` and
# {cite:t}`wang2025vggt` for tables made of these numbers, {cite:t}`zhang2018trajectory` for the other way, with an
# alignment.
