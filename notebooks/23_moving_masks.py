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
# # Moving masks
#
# A mask of what moves can be judged like a segmentation: by its overlap with the true mask (J), which falls when too much
# is marked as well as when too little is, and by how well it follows the outline (F). The mask inside PAGE-4D was made for another purpose.
#
# **You will learn** what J and F count, how to score the network's mask, the geometric one and anybody else's, and why a
# mask that helps the poses need not be a good segmentation.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in networks on synthetic scenes. The real
# benchmark needs DAVIS, a GPU, and the released weights:
#
# ```bash
# papermill notebooks/23_moving_masks.ipynb mine.ipynb -p benchmark davis-2016 \
#     -p root data/DAVIS-2016 -p weights mask -p out evaluation -p device cuda
# ```
#
# **The small run** uses rendered scenes, in which what moves is known exactly. Nothing here was run on DAVIS. The
# network `page4d-tiny-mask` was *taught* its mask by true motion, which the paper does not do: its J is no measure of the
# paper's training.

# %% tags=["parameters"]
weights = "page4d-tiny-mask"
benchmark = "synthetic"
root = ""
out = ""
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## Two masks of one prediction
#
# The network's own mask comes from its mask head: a number for each patch, below zero where pose tokens are told to
# look away. The geometric mask needs no mask head: a pixel moves where depth and cameras contradict a still world. Both
# are brought to the pixels of the truth; all moving things count as one.
#
# The two know different things. The network's mask is learned: it may go by what something *looks like*, and can then
# be right about a person who stands still for a moment (exercise 4 makes one stand). It pays for that with its grain, a patch of pixels at a time, and
# with the fact that nobody in the paper's training tells it what moves: the mask is rewarded when the camera comes out
# right {cite}`zhou2025page4d`. What hinders the pose may be pushed down for any reason. (The built-in network that this
# page scores by default is an exception: it was told.) The geometric mask follows an argument. Take a pixel's depth, carry the
# point into another frame with the two cameras, and look there: if that frame sees *through* the place where the point
# should be, or if the picture there has moved in another way than the cameras explain, the point was not still. This
# needs no training, but it needs depth and cameras, and every error in them looks like motion. It cannot see a thing
# that moves slowly along the line of sight, and it says nothing about a single frame.
#
# So neither mask is "the" motion mask of the network, and a table has to say which one it scored.

# %%
from dataclasses import replace

from page4d.evaluate import failures, measured_on, open_study, scores_table

study = open_study("mask", benchmark, root=root, out=out)
results = []
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    study.predict(model, name)
    # Weights that run without a mask have the geometric one alone.
    ways = ("geometric", "model") if model.aggregator.alpha else ("geometric",)
    results += [replace(study, moving=way).score(name, model) for way in ways]

# %% [markdown]
# ## What they look like
#
# {numref}`fig-masks-of-a-frame` shows one frame with the truth and both masks.

# %%
import numpy as np
from page4d.result import model_score, moving_mask

sequence, label = study.scored(results[-1])[0], weights.split(",")[-1]
prediction = page4d.Prediction.load(study.predictions(label) / f"{sequence.name}.npz")
middle = len(prediction) // 2
truth = sequence.read_motion(sequence.images[middle]).moving
masks = {"truth": truth, "geometric": moving_mask(prediction, "geometric")[middle]}
if prediction.mask is not None:
    masks["model"] = model_score(prediction)[middle] > 0

# %% mystnb={"figure": {"caption": "The middle frame of the first sequence, and in it what truly moves, what geometry calls moving and what the network's mask calls moving.", "name": "fig-masks-of-a-frame"}}
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 1 + len(masks), figsize=(9, 2.4), layout="constrained")
axes[0].imshow(prediction.images[middle])
axes[0].set_title("frame")
for axis, (name, mask) in zip(axes[1:], masks.items(), strict=True):
    axis.imshow(mask, cmap="gray", vmin=0, vmax=1)
    axis.set_title(f"{name}, {100 * np.mean(mask):.0f} % moving")
for axis in axes:
    axis.set_anchor("N")  # of other sizes the network sees a little less than the truth
    done = axis.set_axis_off()

# %% [markdown]
# ## J and F
#
# Write $\hat A$ for the set of pixels that a mask calls moving and $A$ for those that truly move ([notation](../notation.md)).
# The region measure of a frame is the intersection over the union {cite}`perazzi2016davis`,
#
# $$J = \frac{|\hat A \cap A|}{|\hat A \cup A|}.$$
#
# It is 1 for a perfect mask and 0 for one that misses everything, and it is harsh in between: a mask that finds all of
# $A$ and as much again elsewhere has a $J$ of one half, and so has a mask that finds exactly half of $A$ and nothing
# else. *J mean* is the mean over frames and sequences, *J recall* the share of frames whose $J$ is above one half. A
# frame in which nothing moves and nothing is called moving scores one, for nothing was there to find.
#
# The outline measure asks where the edge runs. A pixel of the predicted outline counts as right if a pixel of the true
# outline lies within 0.8 % of the image's diagonal, rounded up to whole pixels; that share is the precision. Asked the
# other way round it is the recall, and
#
# $$F = \frac{2 \cdot \text{precision} \cdot \text{recall}}{\text{precision} + \text{recall}}.$$
#
# For the same error along its edge a larger object has a higher $J$; $F$ counts pixels of the outline. On the small
# pictures of this page the allowed distance is two pixels, which asks much of a mask that knows one number for each
# patch of eight by eight, however smoothly it is drawn between them.

# %%
scores_table(results).drop(columns=["benchmark", "protocol"]).round(3)

# %% tags=["hide-input"]
print(measured_on(results))
print("\n".join(failures(results)) or "no sequence failed")

# %% [markdown]
# ## Beside masks that know nothing
#
# A $J$ or an $F$ means nothing until one knows what a mask without any knowledge scores. Three such masks need no network. The first
# calls everything moving: its $J$ is the share of pixels that move. The second calls nothing moving and scores only in
# frames where nothing moves. The third is an ellipse in the middle, a quarter of the picture's area, because
# people point cameras at what they care about. Where the ellipse does well, a data set is easy in a way that has nothing
# to do with motion.

# %%
from page4d.evaluate import mask_scores
from page4d.result import iou


def true_masks(sequence):
    read = (sequence.read_motion(image) for image in sequence.images)
    return [truth.moving & truth.known for truth in read if truth is not None]


def answers(shape):
    h, w = shape
    y, x = np.mgrid[:h, :w]
    far = ((y - h / 2) / h) ** 2 + ((x - w / 2) / w) ** 2
    middle = far < 0.25 / np.pi
    return {
        "everything moves": np.full(shape, True),
        "nothing moves": np.full(shape, False),
        "an ellipse in the middle": middle,
    }


# %%
import pandas as pd

rows = []
for one in study.scored(results[-1]):
    moves = np.stack(true_masks(one))
    for name, answer in answers(moves[0].shape).items():
        found = mask_scores(np.broadcast_to(answer, moves.shape), moves)
        rows.append((name, one.name, found.region_mean, found.boundary_mean))
floors = pd.DataFrame(rows, columns=["mask", "sequence", "J mean", "F mean"])
floors.groupby("mask", sort=False)[["J mean", "F mean"]].mean().round(3)

# %% tags=["remove-input"]
from IPython.display import Markdown
from page4d.evaluate import beside_strongest

told = []
for measure, key in {"J mean": "region_mean", "F mean": "boundary_mean"}.items():
    table = floors.pivot(index="mask", columns="sequence", values=measure)
    for scores in results:
        way = scores.protocol["moving"]
        strongest, beside = beside_strongest(scores, table.T.to_dict(), key)
        found = f"{measure} {scores.mean[key]:.2f}"
        best = f"beside *{strongest}* ({table.mean(axis=1)[strongest]:.2f})"
        told.append(
            f"- {scores.origin['label']}, {way} mask: {found}, {best}: {beside}"
        )
Markdown(
    "Beside the strongest of the three, sequence by sequence:\n\n" + "\n".join(told)
)

# %% [markdown]
# The score is the network's mask with its sign turned, so that high means moving. It is cut at zero here, because that
# is where the network turns from looking at a patch to looking away. A mask that orders pixels rightly but never crosses
# zero has a J near zero and still steers the attention; the exams of the built-in networks
# ([glossary](../glossary.md)) measure that order (*mask AUC*).
#
# ## Where to cut
#
# Zero is where the network turns away, but nothing makes zero the best place to cut for $J$. In
# {numref}`fig-mask-cut` the cut moves over all values that a mask can take. On the left nothing is cut away and
# everything moves, on the right nothing does. If a curve has a top far from zero, and well above what everything moving
# scores, the mask has the right order and the wrong zero; if it is low everywhere, it does not know what moves in that
# sequence. The best cut is found by looking at the truth, so it is an upper bound and never a result: a number reported at a
# cut that was tuned on the test set flatters.


# %%
def as_seen(mask, box, original, shape):
    """The truth at the pixels that the network saw."""
    h, w = shape
    x0, y0, x1, y1 = box
    scale = np.array(mask.shape) / original
    rows = (y0 + (y1 - y0) * (np.arange(h) + 0.5) / h) * scale[0]
    columns = (x0 + (x1 - x0) * (np.arange(w) + 0.5) / w) * scale[1]
    return mask[np.ix_(rows.astype(int), columns.astype(int))]


def truths_of(sequence, prediction):
    boxes, sizes = prediction.box_in_original, prediction.original_hw
    frames = zip(true_masks(sequence), boxes, sizes, strict=True)
    return np.stack([as_seen(*frame, prediction.depth.shape[1:]) for frame in frames])


# %%
cuts = np.linspace(-0.5, 0.5, 61)
curves, shares = [], []
for one in study.scored(results[-1]):
    found = page4d.Prediction.load(study.predictions(label) / f"{one.name}.npz")
    moves = truths_of(one, found)
    shares.append(moves.mean())
    marks = model_score(found) if found.mask is not None else []
    of_frames = [
        [iou(mark > cut, true) for cut in cuts]
        for mark, true in zip(marks, moves, strict=False)
    ]
    curves += [np.mean(of_frames, 0)] if of_frames else []

# %% mystnb={"figure": {"caption": "J against the place where the network's mask is cut: each sequence (thin) and their mean (thick), the network's own zero, and the mean J of calling everything moving.", "name": "fig-mask-cut"}}
figure, axis = plt.subplots(figsize=(6.4, 3), layout="constrained")
for curve in curves:
    axis.plot(cuts, curve, color="tab:blue", lw=0.7, alpha=0.6)
if curves:
    axis.plot(cuts, np.mean(curves, 0), "tab:blue", lw=2.5, label="the network's mask")
    axis.axvline(0, color="gray", linestyle=":", label="its zero")
axis.axhline(np.mean(shares), color="tab:orange", label="everything moves")
axis.set(xlabel="cut", ylabel="J", ylim=(0, 1))
legend = axis.legend(fontsize=8)

# %% tags=["remove-input"]
words = "These weights have no mask, so there is nothing to cut."
if curves:
    mean, tops = np.mean(curves, 0), np.max(curves, 1)
    words = f"At zero the mean J is {mean[np.argmin(abs(cuts))]:.2f}. At the best cut for all sequences, {cuts[mean.argmax()]:.2f}, it would "
    words += f"be {mean.max():.2f}, and with a cut of its own for each sequence {tops.mean():.2f}; everything called moving has "
    words += f"{np.mean(shares):.2f}. (All at the pixels that the network saw.)"
Markdown(words.replace("-", "\N{MINUS SIGN}"))

# %% [markdown]
# ## Why a good mask for poses may be a bad segmentation
#
# The mask enters the attention of the camera tokens as a bias: a patch with a low value is looked at less
# ([Inside the model II: the mask](04_inside_the_model_mask.ipynb)). For the pose it does not matter whether the whole of a
# walking person is marked. It matters that the patches that would mislead the camera lose weight, and that enough still
# patches keep theirs. A mask that marks a man's legs, which move, and leaves his chest, which hardly does, is right for
# the pose and has a $J$ of about one half, if legs are half of him. A mask that also marks a blank sky may cost the pose
# little and ruins $J$. The other way round, a perfect segmentation of everything that *can* move also takes
# away parked cars, which are as good as houses to a camera.
#
# Therefore this page does not say whether the mask helps. [Does the mask help?](06_does_the_mask_help.ipynb) asks that,
# with poses; methods that take a mask out of such a network without training {cite}`chen2025easi3r` are judged by the mask
# itself, because there it is the result.
#
# ## Anybody else's mask
#
# Masks as pictures, bright where something moves, are scored in the same way:
#
# ```bash
# page4d evaluate convert benchmark=mask-davis-2017 root=data/DAVIS label=other --masks results/other
# page4d evaluate run benchmark=mask-davis-2017 root=data/DAVIS weights=external:other moving=model
# page4d evaluate run benchmark=mask-davis-2016 root=data/DAVIS-2016 weights=mask moving=model
# ```
#
# DAVIS 2016 has one mask per frame for all that moves; DAVIS 2017 tells objects apart, and here they count as one. DAVIS's
# own scripts leave out the first and the last frame, which `page4d evaluate` does too on DAVIS.
#
# ## Recap
#
# - J measures overlap, F the outline.
# - The learned mask and the geometric one answer different questions, and a table says which it scored.
# - A J stands beside that of a mask that knows nothing, and a cut chosen on the truth is an upper bound.
# - The mask is there for the poses. Its J is not its success.
#
# ## Exercises
#
# **1.** A mask finds exactly half of what moves and nothing else. Another finds all of it and as many pixels besides.
# Compute both $J$ before you run the cell.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
strip = np.arange(100) < 20
half, twice = np.arange(100) < 10, np.arange(100) < 40
print(f"half of it: {iou(half, strip):.2f}, twice of it: {iou(twice, strip):.2f}")
# Both are one half: J does not tell a careful mask from a greedy one.

# %% [markdown]
# **2.** Shift the true masks of the first sequence sideways by 1, 2, 4 and 8 pixels. How fast does $J$ fall, and for what
# sort of things would it fall faster?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
truths = truths_of(sequence, prediction)
for step in (1, 2, 4, 8):
    moved = np.roll(truths, step, axis=2)
    overlap = np.mean([iou(a, b) for a, b in zip(moved, truths, strict=True)])
    print(f"{step} px: J {overlap:.2f}")
# What is lost is a rim of that width, so small and thin things lose most.

# %% [markdown]
# **3.** Make the true mask as coarse as the network's: a block of 8 x 8 pixels moves if half of it does. What is the best
# $J$ that any mask of patches can have here?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
h, w = (8 * (n // 8) for n in truths.shape[1:])
inside = truths[:, :h, :w]
blocks = inside.reshape(len(inside), h // 8, 8, w // 8, 8).mean((2, 4)) >= 0.5
coarse = blocks.repeat(8, 1).repeat(8, 2)
overlap = np.mean([iou(a, b) for a, b in zip(coarse, inside, strict=True)])
print(f"J of the truth in patches: {overlap:.2f}")
# A little below the bound: half a block is a rule of thumb, not the best choice of blocks. The scored mask is drawn
# smoothly between patches, so it may come above this.

# %% [markdown]
# **4.** Does the network's mask see motion or things? Show it a film that repeats the middle frame of the first sequence, and
# compare how well it marks what moves in the sequence itself.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
import torch
from page4d.result import moving_auc

if prediction.mask is not None:
    picture = torch.from_numpy(prediction.images[middle]).permute(2, 0, 1)
    film = (picture / 255).expand(len(prediction), -1, -1, -1)
    still_film = page4d.predict(model, film)
    for name, found in {
        "in the clip": prediction,
        "standing still": still_film,
    }.items():
        area = moving_auc(model_score(found)[middle], truths[middle])
        print(f"{name}: right in {area:.2f} of all pairs of pixels")
# If the second number is no smaller, motion had no part in the first. One frame is an example; the chapter on the mask
# does this with many clips.

# %% [markdown]
# ## Further reading
#
# {cite:t}`perazzi2016davis` define J and F and say why both are needed. {cite:t}`chen2025easi3r` read moving masks out of
# the attention of a network that was never trained for them, {cite:t}`zhang2025monst3r` get theirs from flow and geometry
# as the geometric mask here does, and {cite:t}`bescos2018dynaslam` show what masks of things that can move do for a
# tracker of cameras. {cite:t}`zhou2025page4d` introduce the mask of this book.
