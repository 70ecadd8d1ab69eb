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
# # Monocular depth
#
# One image in, one depth map out; each map is scaled by one number to the truth, and what is left is the error.
#
# **You will learn** how single-image depth is scored, what AbsRel and the ratio threshold see and what they do not, why
# the scale is a ratio of medians, where a network is wrong in an image, what the released scripts do differently, and
# how to fill the published table with your own numbers.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in networks on synthetic scenes. The real
# benchmark needs its data set, a GPU, and the released weights:
#
# ```bash
# papermill notebooks/10_monocular_depth.ipynb mine.ipynb -p benchmark sintel -p root data/sintel \
#     -p weights vggt,nomask,mask -p out evaluation -p device cuda
# ```
#
# With `out` the predictions are kept, and a second run goes on where the first one stopped.
#
# **The small run** scores networks of a few million parameters on rendered rooms and grounds. Their numbers do not
# compare with published ones; the code that makes them is the same.

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
# ## Four wrong answers, before any formula
#
# One picture does not say how large the world is. A doll's house photographed from ten centimetres and a house
# photographed from ten metres can give the same image, so a network that sees a single frame may be asked for the
# *shape* of depth, never for metres. Every monocular benchmark therefore multiplies the prediction by one number
# before it compares. What that number forgives, and what it does not, is seen best on answers whose mistake is known.
# Here is a true depth map of the benchmark, and four ways to spoil it: all of it three times too large; a tenth of the
# depth range added everywhere; the right half a quarter too far; and one depth for all.

# %%
import numpy as np
import page4d
from page4d.evaluate import (
    DepthOptions,
    depth_errors,
    depth_options,
    open_study,
    valid_pixels,
)

studies = [
    open_study("monodepth", benchmark, protocol, root=root, out=out)
    for protocol in ("standard", "public")
]
study = studies[0]
options = depth_options(study.rules)
sequence = study.sequences()[0]
truth = sequence.read_depth(sequence.depths[0])
known = valid_pixels(truth, truth, options)
right_half = np.arange(truth.shape[1]) >= truth.shape[1] // 2

# %%
spoiled = {
    "three times too large": 3 * truth,
    "a constant added": truth + 0.1 * np.ptp(truth[known]),
    "right half 25 % too far": np.where(right_half, 1.25, 1) * truth,
    "one depth for all": np.full_like(truth, 1.0),
}
seen = {name: depth_errors(guess, truth, options) for name, guess in spoiled.items()}

# %% mystnb={"figure": {"caption": "The relative error that is left in four spoiled depth maps after each was multiplied by the number that the benchmark allows. Titles give AbsRel, the mean over the picture. Grey: no true depth, or one beyond the limit.", "name": "fig-mono-spoiled"}} tags=["hide-input"]
import matplotlib.pyplot as plt
from page4d.evaluate import align_depth, error_map

figure, axes = plt.subplots(2, 2, figsize=(5.4, 4.6), layout="constrained")
for axis, (name, guess) in zip(axes.flat, spoiled.items(), strict=True):
    _, fit = align_depth(guess[known], truth[known], options)
    shown = axis.imshow(
        np.where(known, error_map(guess, truth, fit, options), np.nan),
        cmap=plt.get_cmap("magma").with_extremes(bad="0.85"),
        vmin=0,
        vmax=0.5,
    )
    axis.set_axis_off()
    axis.set_title(f"{name}\nAbsRel {seen[name].abs_rel:.3f}", fontsize=9)
colours = figure.colorbar(shown, ax=axes, shrink=0.7, label="relative error")

# %% [markdown]
# Read {numref}`fig-mono-spoiled` from the top left. A wrong factor leaves nothing: that is what the scale is for. A
# constant that is added is *not* forgiven, since no factor turns $z + t$ into $z$: what lies at the median depth comes out
# right, what is nearer too far, and what is farther too near. In the third map only one half was spoiled, and yet both
# halves may be wrong afterwards: the one number has to serve them together, and settles on a compromise that depends on
# which half has more pixels near the middle of the range. The fourth is the answer of somebody who never looked at the
# picture. Its number is the bar that everything below has to clear.
#
# ## The formulas
#
# Let $p$ be the prediction and $g$ the measured depth of a pixel, both distances along the viewing axis, and let $M$ be
# the pixels that have a measurement below the benchmark's largest depth ([notation](../notation.md)). For every image alone:
#
# $$ \begin{aligned}
#    s &= \frac{\operatorname{median}_M\, g}{\operatorname{median}_M\, p}, \qquad
#    \text{AbsRel} = \frac{1}{|M|} \sum_M \frac{|s\,p - g|}{g}, \\
#    \delta_{1.25} &= \frac{1}{|M|}\, \Big|\big\{ \max\big(\tfrac{s\,p}{g}, \tfrac{g}{s\,p}\big) < 1.25 \big\}\Big| . \end{aligned} $$
#
# Why *relative* errors? Stereo, structured light and human eyes all measure far things less well than near ones, and
# a centimetre matters on a cup and not on a mountain; {cite:t}`eigen2014depth` already report the relative error
# beside scale-invariant ones. Why *medians*? A mean would follow the few farthest pixels, which are those where
# depth is least certain. The ratio of medians became a habit with networks that learn from video without any ground
# truth, whose scale is arbitrary by construction {cite}`zhou2017sfmlearner,godard2019monodepth2`. Nothing says that it is the
# *best* scale: the one that makes AbsRel smallest is another (exercise 3). It is a convention, and as long as everybody
# keeps it, rows compare.
#
# The two numbers are not two views of the same thing. AbsRel is a mean, so a hundredth of the pixels at ten times
# their depth costs 0.09 on its own. The threshold counts, so it does not care whether a wrong pixel is wrong by 26 % or by a
# factor of ten. A network that is good with a few catastrophes has a high $\delta$ and a poor AbsRel; one that is
# a little wrong everywhere has the reverse.
#
# Means over images are weighted by their valid pixels, as in the tables that are quoted below. With laser scans or a depth camera, an
# image with many holes therefore counts less.
#
# ## Two loops with files between
#
# `predict` writes one file per sequence, `score` reads it beside the ground truth. The second loop needs no network, so
# another protocol costs seconds unless it changes what the network sees, and only the first one needs a GPU. A `Study` knows both loops for one benchmark under
# one protocol. In monocular depth each image goes through the network by itself, as a sequence of one frame: nothing of
# what VGGT can do with several views is used.

# %%
from page4d.evaluate import beside_quoted, failures, measured_on, quoted_rows

names = weights.split(",")
# The second protocol costs a second run of each network; on made-up scenes one says enough.
twice = names[-1:] if benchmark == "synthetic" else names
results, results_public = [], []
for name in names:
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    results.append(studies[0].run(model, name))
    results_public += [studies[1].run(model, name)] if name in twice else []

# %% [markdown]
# The two protocols differ in these choices. `public` is what the released scripts do, `standard` what the field does.
# Codes of the reasons stand on the page of [differences](../differences.md): squashing is E5, the cut portraits E2,
# pairing by place in a sorted list E8.

# %% tags=["hide-input"]
import pandas as pd
from page4d.evaluate import OPTIONS, differences

pd.set_option("display.max_colwidth", None)
rows = [(o, *pair, OPTIONS[o].text) for o, pair in differences("monodepth").items()]
pd.DataFrame(rows, columns=["option", "public", "standard", "what it decides"])

# %% [markdown]
# `squash` deserves a thought. The released launchers resize every image to 518 x 518, whatever its shape. A frame of
# Sintel becomes more than twice as tall as it should be, a frame of KITTI more than three times. VGGT was trained on
# pictures whose shape is kept, so squashing asks it about a world of stretched people; `keep_aspect` does not. Which of
# the two gives the better number is not for a reader to guess: the table has both.
#
# ## The numbers

# %%
from page4d.evaluate import depth_yardsticks

yardsticks = depth_yardsticks(study)
scored = results + results_public + yardsticks
table = beside_quoted(scored, quoted_rows("monodepth"))
table.reset_index(drop=True).round(3)

# %% [markdown]
# Rows marked as quoted are published ones; *unchecked* means that nobody here has compared the number with the paper's
# own PDF yet. A measured row says when and on what it was made, and how many sequences its mean holds. Rows of
# different data sets do not compare with each other. The last two measured rows are no networks.

# %% tags=["hide-input"]
print(measured_on(results + results_public))
print("\n".join(failures(results + results_public)) or "no sequence failed")

# %% [markdown]
# ## What is such a number worth?
#
# Two answers need no network, and the table has both. *One constant depth* is the first. *Usual depth of each row* knows
# one thing more, which is true of most photographs: what stands lower in the picture is nearer. It gives each image row
# the depth that this row has in the middle of 128 clips of the training split, in shares of a clip's median depth. It is
# the same in every picture and has never seen those that are scored. Both are scored like a network's prediction, under
# the same protocol and on the same pictures. On a real data set the rows are still those of the synthetic world.
#
# How far sequences differ is seen below, and in the comparison behind it. There each sequence counts the same, so the
# means are not quite those of the table above, which weighs sequences by their valid pixels.

# %%
spread = {}
for scores in yardsticks:
    found = [sequence.values["abs_rel"] for sequence in scores.sequences]
    spread[scores.origin["label"]] = found
pd.DataFrame(spread).describe().loc[["mean", "min", "max"]].round(3)

# %% tags=["remove-input"]
from IPython.display import Markdown
from page4d.evaluate import beside_strongest

told = []
for name, scores in zip(names, results, strict=True):
    who, effect = beside_strongest(scores, yardsticks, "abs_rel")
    told.append(f"- {name}, beside *{who}*: {effect}")
Markdown(
    "AbsRel of each network under the standard protocol, sequence by sequence, beside the stronger of the two:\n\n"
    + "\n".join(told)
)

# %% [markdown]
# A table without such a bar invites over-reading. How low it lies depends on the scenes: where most pictures show a floor
# that runs away from the camera, rows are good, and in a data set of drones they would be useless.

# %% [markdown]
# ## One number hides a distribution
#
# The mean is made of frames that differ a lot. In {numref}`fig-mono-distribution` every frame is one step of a curve. A curve
# that rises late but steeply is a network that fails on few scenes; a curve that is high everywhere is one that is
# coarse. Where two curves cross, the ranking of two networks depends on which frames a benchmark happened to choose, and
# a difference of their means says little.

# %% mystnb={"figure": {"caption": "AbsRel of every single frame, sorted. The value at 0.5 is the median frame.", "name": "fig-mono-distribution"}}
from page4d.viz import error_distribution

curves = error_distribution(results + results_public)

# %% [markdown]
# ## Where it is wrong
#
# {numref}`fig-mono-frame` shows the frame of the median error of the last network, aligned as it was scored. Three kinds of mistakes are worth
# telling apart. *Edges*: depth jumps at the outline of a body, and a network with few pixels draws a slope there; such
# errors are narrow and bright. *Whole bodies* at a wrong distance: one patch of even colour with a sharp outline. *A drift*
# across the picture, smooth and wide, as if the room were bent. The first is what one sees first in a point cloud. Whether
# it also makes the number is counted, on one frame, in exercise 4 of [Where the error sits](25_where_the_error_sits.ipynb).

# %%
from page4d.evaluate import compared_frames

scores = results[-1]
done = [s for s in scores.sequences if s.error is None]
errors = [(e, s.name, i) for s in done for i, e in enumerate(s.items["abs_rel"])]
_, sequence_name, frame = sorted(errors)[len(errors) // 2]
sequence = next(s for s in study.sequences() if s.name == sequence_name)
label = names[-1]
prediction = page4d.Prediction.load(study.predictions(label) / f"{sequence_name}.npz")
compared = compared_frames(sequence, prediction, study.rules)[frame]

# %% mystnb={"figure": {"caption": "Truth, scaled prediction and relative error of the median frame of the network that the title names. Grey: no ground truth.", "name": "fig-mono-frame"}}
from page4d.evaluate import apply_fit
from page4d.viz import Row, contact_sheet

valid = valid_pixels(compared.pred, compared.gt, options)
_, fit = align_depth(compared.pred[valid], compared.gt[valid], options)
scaled = apply_fit(compared.pred, fit, options)
relative = error_map(compared.pred, compared.gt, fit, options)
limits = tuple(np.percentile(compared.gt[valid], (2, 98)))
unit, valid = study.benchmark.unit, [valid]
title = f"{label}: {sequence_name}, frame {frame}"
rows = [
    Row([compared.gt], "truth", unit, limits=limits, valid=valid),
    Row([scaled], "prediction", unit, limits=limits),
    Row([relative], "error", "relative", "magma", (0, 0.5), valid),
]
sheet = contact_sheet(rows, titles=[title], width_in=5)

# %% [markdown]
# ## On the command line
#
# ```bash
# page4d evaluate run benchmark=monodepth-sintel root=data/sintel weights=nomask \
#     protocol=public out=evaluation
# page4d evaluate run benchmark=monodepth-sintel root=data/sintel weights=vggt out=evaluation
# page4d evaluate table out=evaluation
# ```
#
# The last line prints every score below `out` and writes it as Markdown, CSV and LaTeX. With several GPUs,
# `accelerate launch` in front of `page4d evaluate predict ...` splits the sequences over processes and machines.
#
# ## What goes wrong in practice
#
# - **Pairing by place.** The released scorer sorts both folders and compares the n-th prediction with the n-th truth
#   (E8). One missing file shifts all that follow, and the number only gets a little worse, so nobody notices. Here frames
#   are paired by name, and what has no partner is an error.
# - **Leftovers.** The released scorer decides by the *number of files* whether it is looking at all of Sintel (E9). Files
#   of an earlier run change the list. Here the list stands in the data set's configuration.
# - **Two limits for one data set.** Monocular depth on DyCheck has no largest depth, video depth has 70 m (E20); both
#   protocols keep that, because the published rows were made so. Do not compare the two tables.
# - **Clamped truth.** DyCheck's files hold the smaller of the measured depth and 3 m, so a value of exactly 3 means "3 or
#   more". `standard` takes it as no measurement.
# - **A mean of roots.** RMSE over a data set is the weighted mean of each image's RMSE, not the root of a mean (E18). It is kept,
#   since the quoted tables are made so, but it is another number than a textbook's.
#
# ## Recap
#
# - One factor per image is forgiven, nothing else: an offset or a bent room costs.
# - AbsRel is a mean of relative errors and feels catastrophes; $\delta_{1.25}$ counts pixels and does not.
# - A number means something beside an answer that needs no network.
# - Predictions are files. Another protocol is another look at the same files, unless it changes what the network sees.
#
# ## Exercises
#
# **1.** A network is right on 70 % of the pixels and 50 % too far on the others. What does the ratio of medians make of
# it, and what would a least-squares scale?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
rng = np.random.default_rng(0)
deep = rng.uniform(2, 8, (100, 100))
guess = np.where(rng.random(deep.shape) < 0.7, 1, 1.5) * deep
for name in ("median", "l1_scale"):
    found = depth_errors(guess, deep, DepthOptions(name))
    print(f"{name}: scale {found.fit.scale:.3f}, AbsRel {found.abs_rel:.3f}")
square = float((guess * deep).sum() / (guess**2).sum())
print(f"least squares: scale {square:.3f}", end=", ")
print(f"AbsRel {np.mean(np.abs(square * guess - deep) / deep):.3f}")
# The absolute fit keeps the majority exact; medians and squares make everybody a little wrong.

# %% [markdown]
# **2.** Let the logarithm of $p / g$ be Gaussian with standard deviation $\sigma$. Then $\text{AbsRel} \approx \sigma
# \sqrt{2/\pi}$ for small $\sigma$. Which $\delta_{1.25}$ belongs to the published AbsRel of each row, and on which side of
# it do the published values lie?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
from scipy.stats import norm

rows = {}
for row in quoted_rows("monodepth"):
    sigma = row.values["abs_rel"] * np.sqrt(np.pi / 2)
    rows[row.dataset, row.method] = {
        "AbsRel": row.values["abs_rel"],
        "δ of a Gaussian": 2 * norm.cdf(np.log(1.25) / sigma) - 1,
        "δ as published": row.values["delta_1"],
    }
pd.DataFrame(rows).T.round(3)
# Both departures say that real errors have heavier tails than a Gaussian: where AbsRel is small,
# more pixels are beyond 25 % than it would have; where it is large, few very wrong ones make it so.

# %% [markdown]
# **3.** For one depth everywhere, which scale makes AbsRel smallest, and by how much is it better than the ratio of
# medians? (Each pixel pulls with a weight of $1 / g$.)

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
g = np.sort(truth[known].astype(float))
pull = np.cumsum(1 / g)
best = g[np.searchsorted(pull, pull[-1] / 2)]
for name, scale in (("median", np.median(g)), ("best", best)):
    print(f"{name}: {scale:.2f}, AbsRel {np.mean(np.abs(scale - g) / g):.3f}")
# A median with weights 1/g: it lies nearer, because being wrong about a near pixel costs more.

# %% [markdown]
# **4.** One hundredth of the pixels is ten times too far, everything else is exact. What do AbsRel and the threshold
# say, and what if it is 4 % of the pixels at 1.5 times their depth?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
for share, factor in ((0.01, 10), (0.04, 1.5)):
    wrong = rng.random(deep.shape) < share
    found = depth_errors(np.where(wrong, factor, 1) * deep, deep, DepthOptions())
    print(f"{100 * share:.0f} % at {factor}: ", end="")
    print(f"AbsRel {found.abs_rel:.3f}, δ {found.delta_1:.3f}")

# %% [markdown]
# ## Further reading
#
# {cite:t}`eigen2014depth` for depth from one image and most of these measures; {cite:t}`zhou2017sfmlearner` and
# {cite:t}`godard2019monodepth2` for networks whose scale is unknown and how they are scored; {cite:t}`ranftl2022midas` for
# why scale *and* shift are unknown once training data are mixed; {cite:t}`yang2024depthanything2` for how far single images
# go today. {cite:t}`butler2012sintel` and {cite:t}`silberman2012nyu` made two of the data sets. The video case is [the next
# chapter](11_video_depth.ipynb).
