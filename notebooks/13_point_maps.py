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
# Accuracy asks how far predicted points lie from the true surface, completeness how far each true point is from the
# nearest predicted one; both are distances, and neither alone says whether a reconstruction is good.
#
# **You will learn** what each of the two does not see, how two clouds are brought together, what mean and median tell
# apart, how lenient a nearest neighbour is, what a sheet of cardboard would score, and why these numbers cannot be compared
# with the paper's.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in networks on synthetic scenes. The real
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
# PAGE-4D published no script for this table. It is quoted below, but which frames, which alignment and
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
# ## Four rooms, before any formula
#
# Here is the floor plan of a room, as 400 points on its walls, and four answers to it: half of the room, exactly right;
# all of it, with noise; a clump in the middle; and the right room with 20 of its points replaced by random ones.

# %%
import numpy as np
from scipy.spatial import cKDTree

rng = np.random.default_rng(0)
corners = np.array([[0, 0], [4, 0], [4, 3], [1.5, 3], [1.5, 2], [0, 2], [0, 0]])
way = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
at = np.linspace(0, way[-1], 400)
room = np.stack([np.interp(at, way, column) for column in corners.T], 1)

# %%
strays = rng.uniform(-4, 8, (20, 2))
rooms = {
    "half of it": room[:200],
    "all, with noise": room + rng.normal(0, 0.12, room.shape),
    "a clump": np.array([2.2, 1.2]) + rng.normal(0, 0.12, room.shape),
    "20 strays": np.concatenate((room[20:], strays)),
}


def both_ways(predicted, true):
    """Distance of each predicted point to the nearest true one, and the other way."""
    accuracy, _ = cKDTree(true).query(predicted)
    completeness, _ = cKDTree(predicted).query(true)
    return accuracy, completeness


# %% mystnb={"figure": {"caption": "A room (grey) and four answers to it (blue), with the mean and the median of accuracy and of completeness in metres. Strays lie partly outside the panel.", "name": "fig-points-rooms"}} tags=["hide-input"]
import matplotlib.pyplot as plt

figure, axes = plt.subplots(2, 2, figsize=(5.4, 5.8), layout="constrained")
for axis, (name, answer) in zip(axes.flat, rooms.items(), strict=True):
    acc, com = both_ways(answer, room)
    axis.plot(*room.T, ".", color="0.6", ms=5)
    axis.plot(*answer.T, ".", color="#2b62c4", ms=2)
    told = [f"{np.mean(x):.2f} / {np.median(x):.2f}" for x in (acc, com)]
    axis.set_title(f"{name}\nacc. {told[0]}\ncompl. {told[1]}", fontsize=9)
    axis.set(xlim=(-1, 5), ylim=(-1, 4), aspect="equal", xlabel="x (m)")
    axis.set(ylabel="z (m)")

# %% [markdown]
# Each panel of {numref}`fig-points-rooms` is a lesson. *Half of it* has perfect accuracy: whoever predicts only what is
# certain, and drops the rest, wins that column. The mean of its completeness gives it away; the median hardly can, for
# half of the true points lie where they should. *Noise* costs both a little. *A clump* is the worst in both columns, and
# still its accuracy flatters: nothing of the room is in it, but in a small room no place is far from some wall. Its
# completeness says more. *Strays* leave both medians where they were and move the mean of the accuracy. So a mean beside its median says
# whether an error is everywhere or in few places, and the two columns must always be read together. The pair of questions
# is that of {cite:t}`seitz2006comparison`, who compared multi-view stereo with laser scans; other benchmarks count the shares
# below a distance instead, as precision and recall {cite}`knapitsch2017tanks`.
#
# ## Formulas
#
# For predicted points $P$, already moved onto the truth, and true points $G$ ([notation](../notation.md)):
#
# $$ \begin{aligned}
#    \text{acc} &= \operatorname{mean}_{\mathbf{X} \in P} \; \min_{\mathbf{Y} \in G} \lVert \mathbf{X} - \mathbf{Y} \rVert , \\
#    \text{compl} &= \operatorname{mean}_{\mathbf{Y} \in G} \; \min_{\mathbf{X} \in P} \lVert \mathbf{X} - \mathbf{Y} \rVert , \\
#    \text{overall} &= \tfrac12 (\text{acc} + \text{compl}) , \end{aligned} $$
#
# and the same with medians. They are lengths, in the unit of the truth: an average over rooms of different sizes is an
# average of metres, and the largest room has the loudest voice.
#
# ## Our protocol
#
# 1. Every pixel that has a measured depth gives one true point and one predicted point.
# 2. One similarity {cite}`umeyama1991` moves the predicted points onto the true ones, pixel by pixel: the fit knows which
#    point belongs to which. There is no ICP {cite}`besl1992icp`, which pairs each point with whatever is nearest, again
#    and again, and so may slide a wrong shape onto a wrong place (exercise 3).
# 3. Accuracy is the distance from each predicted point to its nearest true point, completeness the other way round,
#    overall is the mean of both.
#
# One choice is left: VGGT predicts points twice. Its point head gives them directly; its depth and cameras give them by
# unprojection, and the authors found the second to be the better one {cite}`wang2025vggt`. Here the point head is taken
# where a network has one, as the built-in networks do: neither their depth nor their cameras enter. Only for networks
# without one the score tests depth and cameras at once. All frames share one similarity, so a frame whose points lie in
# the wrong place cannot be moved by itself. Moving things take part with the place they have in each frame.

# %%
import page4d
from page4d.evaluate import failures, measured_on, open_study, quoted_rows

study = open_study("points", benchmark, root=root, out=out)
results = []
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    results.append(study.run(model, name))

# %%
from page4d.evaluate import depth_yardsticks, printed, quoted_table, scores_table

yardsticks = depth_yardsticks(study)
printed(scores_table(results + yardsticks)).set_index("model").T

# %% [markdown]
# The last two columns are answers without a network, on the same sequences and by the same rules, from a camera that
# never moves: *one constant depth* puts every pixel on one flat sheet, and *usual depth of each row* on a curtain that
# bends towards the camera at the bottom of the picture, each row as deep as it usually is in the training split. They
# have no *seconds*, which a network took for a sequence in the mean, and no *GiB*, the largest memory that it needed. A
# network that does not beat both has not reconstructed anything. In words, each network beside the better of the two,
# and beside the first network, paired by sequence:

# %% tags=["remove-input"]
from IPython.display import Markdown
from page4d.evaluate import beside_strongest, between

names, told = weights.split(","), []
for name, scores in zip(names, results, strict=True):
    who, found = beside_strongest(scores, yardsticks, "overall_mean")
    line = f"- {name}, overall mean beside *{who}*: {found}"
    if scores is not results[0]:
        line += f"; beside {names[0]}: {between(scores, results[0], 'overall_mean')}"
    told.append(line)
Markdown("\n".join(told))

# %% [markdown]
# Where a data set says what moves, two more rows split the accuracy. A person who walks through the clip leaves one body
# in the cloud for each frame, and each is compared with all true points of the clip: a body that is
# half a step late lies close to the body of the frame before. So *moving* is a mild test of things that move slowly. It
# is also a test of another kind than *still*. The points of a wall are seen in every frame, and a network may
# average over all of them; a point of a person exists once, and the network has one picture of it.
#
# Two habits of the fit show in such a table as well. It is a least-squares fit, so a few points that lie far out pull
# the whole cloud, and every other point pays a little. And it has one scale for the clip, chosen where most points are:
# on a wall that fills the picture, hardly on the child in front of it.

# %% [markdown]
# The published rows, for orientation; *unchecked*: not yet compared with the paper's own PDF. Their unit is metres if
# DyCheck's is, but which of its frames, at which stride, after which alignment and with which points left out we did not
# find, and each of these choices moves such a number.

# %%
quoted_table(quoted_rows("points")).round(3)

# %% tags=["hide-input"]
print(measured_on(results))
print("\n".join(failures(results)) or "no sequence failed")

# %% [markdown]
# ## Nearest is kind
#
# A nearest neighbour is rarely the right one. The distance between points *of the same pixel* is never smaller; how
# much larger it is says how lenient the measure is. On a wall, a point that slid along the wall by half a metre has no error
# at all: it is still a point of the wall. That is a virtue if one wants surfaces, and a blind eye if one wants to know
# whether a network understood which pixel is where.

# %%
import torch
from page4d.evaluate import corresponding_points
from page4d.geometry import fit_similarity

sequence, label = study.scored(results[-1])[0], names[-1]
prediction = page4d.Prediction.load(study.predictions(label) / f"{sequence.name}.npz")
pairs = corresponding_points(sequence, prediction, study.rules)
found, true = (torch.from_numpy(x) for x in (pairs.predicted, pairs.true))

# %%
moved, surface = fit_similarity(found, true).apply(found).numpy(), true.numpy()
same_pixel = np.linalg.norm(moved - surface, axis=1)
accuracy, completeness = both_ways(moved, surface)

# %% mystnb={"figure": {"caption": "Distances in one sequence: between points of the same pixel, and to the nearest point both ways.", "name": "fig-points-distances"}}
figure, axis = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
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
# {numref}`fig-points-distances` is read from left to right: at a distance $x$, a curve says which share of the points is at
# most that far off. The gap between *same pixel* and *accuracy* is what the nearest neighbour forgives. The median of a
# curve is where it passes one half; its mean is the area above it, of which the axis cuts off the far end. Where
# accuracy is the better of the two, the prediction may be too compact or incomplete; where completeness is, points lie
# beside the surface: noise, or strays.
#
# ## What would a sheet of cardboard score?
#
# The flat sheet of the table, once more by hand and on one sequence: every pixel of every frame lies on it, the camera
# never moves, and the similarity puts the sheet where it fits best. Done by hand, the distance of the same pixel can
# stand beside the nearest one.

# %%
from dataclasses import replace

frames, height, width = prediction.depth.shape
v, u = np.mgrid[:height, :width]
flat = np.stack((u - width / 2, v - height / 2, np.full(u.shape, width)), -1) / width
flattened = replace(prediction, points=np.stack([flat] * frames))
sheet = corresponding_points(sequence, flattened, study.rules).predicted
sheet = torch.from_numpy(sheet)
cardboard = fit_similarity(sheet, true).apply(sheet).numpy()

# %%
import pandas as pd

rows = {}
for name, cloud in ((label, moved), ("a flat sheet", cardboard)):
    acc, com = both_ways(cloud, surface)
    rows[name] = {
        "acc. mean": acc.mean(),
        "acc. median": np.median(acc),
        "compl. mean": com.mean(),
        "compl. median": np.median(com),
        "same pixel": np.linalg.norm(cloud - surface, axis=1).mean(),
    }
table = pd.DataFrame(rows).T
table.round(3)

# %% tags=["remove-input"]
worse = [c for c in table if table.loc[label, c] >= table.loc["a flat sheet", c]]
better = [c for c in table if c not in worse]
Markdown(
    f"In this one sequence, `{label}` is ahead of the sheet in: {', '.join(better) or 'nothing'}; behind it or equal "
    f"in: {', '.join(worse) or 'nothing'}."
)

# %% [markdown]
# ## What goes wrong in practice
#
# - **Clean-up.** Points of low confidence may be dropped before scoring. By the first panel of
#   {numref}`fig-points-rooms` that improves accuracy and costs completeness, and a table that shows only the first
#   hides it. Here nothing is dropped.
# - **Density.** A nearest distance depends on how many points there are (exercise 4). Compare clouds of equal counts; ours
#   are those of the same pixels.
# - **Holes in the truth.** A depth camera does not see glass and hair. Predicted points there would be compared with
#   the nearest thing that it did see, and punished for being right. Only pixels with a measurement take part here.
# - **Far things.** A point at fifty metres has a large error in metres however good it is. A depth camera measures nothing
#   there, so such points have no truth and are skipped; in rendered data they count, and can dominate the mean.
#
# ```bash
# page4d evaluate run benchmark=points-dycheck root=data/dycheck weights=nomask out=evaluation
# ```
#
# Surfaces of still rooms, with the usual protocols for 7-Scenes and NRGBD, have benchmarks of their own:
# `benchmark=surfaces-7scenes-sparse` and its three siblings.
#
# ## Recap
#
# - Accuracy forgives what is missing, completeness forgives what is too much. Read both, and the median beside the mean.
# - The alignment may use pixels that are known to belong together; a nearest-neighbour alignment can flatter.
# - Nearest is lenient: distances of the same pixel show how lenient.
# - Tables of point maps compare only under the same protocol.
#
# ## Exercises
#
# **1.** Keep only the half of the predicted points that lies nearest to the true surface, as a perfect confidence would.
# What becomes of both columns?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
sure = moved[accuracy <= np.median(accuracy)]
for name, cloud in (("all points", moved), ("the nearest half", sure)):
    acc, com = both_ways(cloud, surface)
    print(f"{name}: accuracy {acc.mean():.3f}, completeness {com.mean():.3f}")

# %% [markdown]
# **2.** Move every fiftieth point by five metres in a random direction. Which of mean and median notices?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
thrown = moved.copy()
away = rng.normal(size=thrown[::50].shape)
thrown[::50] += 5 * away / np.linalg.norm(away, axis=1, keepdims=True)
for name, cloud in (("as predicted", moved), ("thrown", thrown)):
    acc, _ = both_ways(cloud, surface)
    print(f"{name}: mean {acc.mean():.3f}, median {np.median(acc):.3f}")

# %% [markdown]
# **3.** Let ten steps of ICP go on from our alignment: pair each point with its nearest, fit a similarity, repeat. What
# happens to the accuracy, and to the root mean square distance between points of the same pixel?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
few = np.linspace(0, len(moved) - 1, 4000).astype(int)
cloud, aims, tree = moved[few], surface[few], cKDTree(surface[few])
for step in range(11):
    off, nearest = tree.query(cloud)
    if step in (0, 10):
        same = np.sqrt(((cloud - aims) ** 2).sum(1).mean())
        print(f"step {step}: accuracy {off.mean():.3f}, same pixel {same:.3f}")
    pair = [torch.from_numpy(x) for x in (cloud, aims[nearest])]
    cloud = fit_similarity(*pair).apply(pair[0]).numpy()
# ICP may lower the first number only by moving points away from where they belong: over all points our
# similarity has made the second one as small as a similarity can.

# %% [markdown]
# **4.** What would a *perfect* network score if its cloud and the truth were sampled at other places of the same
# surface? Split the true points at random into two halves, then into ever smaller parts.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
shuffled = rng.permutation(surface)
for count in (len(surface) // 2, 4000, 1000, 250):
    acc, _ = both_ways(shuffled[:count], shuffled[-count:])
    print(f"{count} points each: accuracy {acc.mean():.4f}")

# %% [markdown]
# ## Further reading
#
# {cite:t}`seitz2006comparison` for accuracy and completeness, {cite:t}`knapitsch2017tanks` for a benchmark that turns them
# into precision and recall at a threshold; {cite:t}`umeyama1991` for the alignment in closed form and
# {cite:t}`besl1992icp` for the iterated one. {cite:t}`wang2024dust3r` made point maps the output of a network, and
# {cite:t}`azinovic2022nrgbd` and {cite:t}`shotton2013scenes` made the rooms on which they are usually compared.
