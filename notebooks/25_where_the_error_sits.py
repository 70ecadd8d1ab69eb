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
# # Where the error sits
#
# A mean over all pixels hides where a network fails. This page takes the depth error apart: into what moves and what
# stands still, into trusted and distrusted pixels, and, on one pair of photographs, into a picture of the error.
#
# **You will learn** how the depth error splits into moving and still pixels, how a sparsification curve is read, and
# what its area (AUSE) says; whether more frames mean less error; and how small networks that saw nothing but a synthetic world do on a photograph.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in networks on synthetic scenes. On Sintel, flow,
# depth and cameras together tell what moves:
#
# ```bash
# papermill notebooks/25_where_the_error_sits.ipynb mine.ipynb -p benchmark sintel -p root data/sintel \
#     -p weights vggt,nomask,mask -p out evaluation -p device cuda
# ```
#
# **The small run** uses rendered scenes with exact depth and masks, and the stereo pair that comes with scikit-image.
# Nothing here was run on Sintel.

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
# ## Where in the picture
#
# Numbers say how much, a map says where, and it is worth a look before any number. Each network predicts the sequences, and
# {numref}`fig-error-map` shows for the last one the relative error of one frame beside the confidence with which it was
# given. Three places to look at first: edges, where half a pixel of misplacement is a whole step of depth; what is far, where
# little parallax is left; and what moves.

# %%
from page4d.evaluate import failures, measured_on, open_study, scores_table

study = open_study("videodepth", benchmark, root=root, out=out)
results = []
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    results.append(study.run(model, name))

# %%
import numpy as np
from page4d.evaluate import compared_frames, depth_options, valid_pixels

sequence, label = study.scored(results[-1])[0], weights.split(",")[-1]
prediction = page4d.Prediction.load(study.predictions(label) / f"{sequence.name}.npz")
frames = compared_frames(sequence, prediction, study.rules)
noted = {one.name: one.notes for one in results[-1].sequences}
scale = noted[sequence.name]["scale"]
options = depth_options(study.rules)


def counted(one):
    """The pixels of a frame that are scored: measured, and not beyond the limit of the benchmark."""
    return valid_pixels(one.pred, one.gt, options)


# %%
frame = frames[len(frames) // 2]
known = counted(frame)
error = np.abs(scale * frame.pred - frame.gt) / np.where(known, frame.gt, 1)

# %% mystnb={"figure": {"caption": "One frame: the picture, the relative error of its depth (bright is wrong, cut at 0.5, grey is unknown), the logarithm of its confidence (bright is sure), and what truly moves.", "name": "fig-error-map"}}
import matplotlib.pyplot as plt

heat = plt.get_cmap("inferno").with_extremes(bad="0.85")
shown = {
    "relative error": (np.where(known, error, np.nan), heat, 0.5),
    "log confidence": (np.log(frame.confidence), "viridis", None),
}
if frame.motion is not None:
    shown["moves"] = (frame.motion.moving, "gray", 1)
figure, axes = plt.subplots(1, 1 + len(shown), figsize=(9, 2.6), layout="constrained")
axes[0].imshow(prediction.images[prediction.frame_names.index(frame.name)])
axes[0].set_title("frame")
for axis, (name, (values, colours, most)) in zip(axes[1:], shown.items(), strict=True):
    axis.imshow(values, cmap=colours, vmin=0, vmax=most)
    axis.set_title(name)
for axis in axes:
    axis.set_anchor("N")  # of other sizes the network sees a little less than the truth
    done = axis.set_axis_off()

# %% [markdown]
# ## Moving and still
#
# All pixels of a sequence are aligned with one scale, and only then told apart: a network that is right about the room
# and wrong about the people in it shows both. Weighed by their pixels, the two parts make up the whole. With $p_i$
# and $g_i$ the predicted and the true depth of pixel $i$ ([notation](../notation.md)), $s$ the one scale of the sequence, $n$
# the number of pixels and $A$ the set of those that move,
#
# $$\begin{aligned}\mathrm{AbsRel} &= \frac{1}{n} \sum_i \frac{|s\,p_i - g_i|}{g_i} \\
# &= \frac{|A|}{n}\,\mathrm{AbsRel}_{A} + \Big(1 - \frac{|A|}{n}\Big)\,\mathrm{AbsRel}_{\text{still}}.\end{aligned}$$
#
# The order of the two steps matters. If the moving part were aligned by a scale of its own, a person who floats a metre
# before the place where he stands would come out right, for his shape is. Aligned with the room, he is wrong by that
# metre, and this is the error that a robot or a film editor meets. On the other hand the scale follows the majority, so
# in a picture that is mostly a moving thing, the *still* part carries the error of a scale that was fitted to the other.
#
# That moving things are harder is plausible: multi-view geometry says nothing about them ([Why moving scenes break
# poses](18_why_moving_scenes_break_poses.ipynb)), so that a network has to fall back on how such a thing looks in a single
# picture. Plausible is not measured. Things that move here are also nearer, smaller, and have more edge for their area, and
# each of these alone makes a relative error larger.

# %%
from page4d.evaluate import depth_yardsticks, printed

yardsticks = depth_yardsticks(study)
split = ("abs_rel_still", "abs_rel_moving")
columns = ("abs_rel", *split, "ause")
shown = scores_table(results + yardsticks, columns)
printed(shown.drop(columns=["benchmark", "protocol"]))

# %% tags=["remove-input"]
from IPython.display import Markdown
from page4d.evaluate import beside_strongest

told, ratios = [], {}
divided = [s for s in results + yardsticks if set(split) <= s.mean.keys()]
for scores in divided:
    moving, still = scores.mean["abs_rel_moving"], scores.mean["abs_rel_still"]
    ratios[scores.origin["label"]] = moving / still
    line = f"- {scores.origin['label']}: the error on what moves is {moving / still:.2f} times that on what stands still"
    for part in ("still", "moving") if scores in results else ():
        who, found = beside_strongest(scores, yardsticks, f"abs_rel_{part}")
        line += f"; {part} pixels beside *{who}*: {found}"
    told.append(line)

# %% tags=["remove-input"]
least = min((ratios[s.origin["label"]] for s in divided[len(results) :]), default=0)
beyond = [name for name in weights.split(",") if ratios.get(name, 0) > least]
if not divided:
    name = study.benchmark.name
    told.append(f"`{name}` does not tell moving pixels from still ones: no ratio here.")
elif beyond:
    told.append(f"\nAbove the smaller ratio of the last two: {', '.join(beyond)}.")
else:
    told.append("\nNo network has a ratio above the smaller of the last two.")
Markdown("\n".join(told))

# %% [markdown]
# The last two rows are answers without a network, on the same clips: one depth for all pixels, and the depth that each
# image row usually has in the training split ([Monocular depth](10_monocular_depth.ipynb)). They have no confidence, so
# no AUSE. What they are good for here is to say how much of the gap between moving and still is a property of the
# *pictures*. Neither of them has an opinion about motion, so if their error on moving pixels is larger as well, then
# moving things simply stand where depth is far from the usual, in front of everything else. Only the part of a
# network's gap that goes beyond theirs can be put down to motion. The ratio in a row is therefore read beside the
# ratio of the last two, and the effect of each part beside the stronger of them.

# %% tags=["hide-input"]
print(measured_on(results))
print("\n".join(failures(results)) or "no sequence failed")

# %% [markdown]
# ## Does the confidence know?
#
# The network gives each depth a confidence $c \geq 1$. It was trained with it: the loss multiplies each pixel's error by
# its confidence and takes $\alpha \log c$ off as a reward ([Losses, with formulas](20_losses_with_formulas.ipynb)), so that
# the best $c$ for a pixel is inversely proportional to the error that the network has to expect there
# {cite}`kendall2017uncertainties`. Whether it learned to expect its errors is a question of its own. No scale of $c$ is
# comparable between networks, so only the order is asked for.
#
# Take the least trusted pixels away, share by share, and look at the mean error of the rest. Under an oracle, which
# takes the worst pixels first, it falls fastest; under a confidence that knows nothing it stays where it is. AUSE is the
# area between the curve and the oracle's, zero for a confidence that orders pixels as their errors do. A confidence can
# also be worse than none: if it trusts most where it is most wrong, its curve rises above one. Pixels of equal confidence
# are taken away together on average, so that the order in which they are stored cannot help. {numref}`fig-sparsification` has
# the three curves.

# %%
from page4d.evaluate import sparsification

errors, trust = [], []
for one in frames:
    seen = counted(one)
    wrong = np.abs(scale * one.pred[seen] - one.gt[seen])
    errors.append(wrong / one.gt[seen])
    trust.append(one.confidence[seen])
curve = sparsification(np.concatenate(errors), np.concatenate(trust))

# %% mystnb={"figure": {"caption": "Mean relative depth error of the pixels that are left when the least trusted ones are taken away, as a share of the error of all pixels, in one sequence.", "name": "fig-sparsification"}}
figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
axis.plot(curve.removed, curve.by_confidence, label="by confidence")
axis.plot(curve.removed, curve.by_error, label="by error (oracle)")
axis.axhline(1, color="gray", linestyle=":", label="by chance")
axis.set(xlabel="share of pixels taken away", xlim=(0, 1))
axis.set(ylabel="error of the rest / error of all", ylim=(0, None))
legend = axis.legend(fontsize=8)

# %% tags=["remove-input"]
Markdown(
    f"In this sequence the area is {curve.ause:.2f}, where a confidence without any knowledge has "
    f"{curve.ause_of_chance:.2f}."
)

# %% [markdown]
# The absolute area says little, because it depends on how unequal the errors are: where all
# pixels are equally wrong, nothing can be ordered and every confidence is as good as any other. Read it beside the area
# of chance.

# %% [markdown]
# ## Near and far
#
# A relative error weighs a centimetre at arm's length like ten centimetres at ten arms' lengths. Split by true depth it
# shows whether a network is wrong by a *share* everywhere, which a wrong scale would do, or at one end of the room.

# %%
import itertools

import pandas as pd

gt = np.concatenate([f.gt[counted(f)] for f in frames])
wrong = np.concatenate(errors)
ends = np.quantile(gt, [0, 0.25, 0.5, 0.75, 1])
bands = {}
for nearest, farthest in itertools.pairwise(ends):
    inside = (gt >= nearest) & (gt <= farthest)
    bands[f"{nearest:.2f} to {farthest:.2f}"] = {
        "mean relative error": wrong[inside].mean()
    }
by_depth, unit = pd.DataFrame(bands).T, study.benchmark.unit
by_depth.rename_axis(f"true depth, {unit}").reset_index().round(3)

# %% tags=["remove-input"]
worst = by_depth["mean relative error"].idxmax()
spread = by_depth["mean relative error"].max() / by_depth["mean relative error"].min()
Markdown(
    f"The quarter of pixels with depth {worst} ({unit}) is the worst; its error is {spread:.1f} times that of the best quarter."
)

# %% [markdown]
# ## A photograph
#
# Everything so far was rendered. "Motorcycle" is a pair of photographs from the Middlebury stereo data of 2014
# {cite}`scharstein2014middlebury`, with depth measured by structured light; scikit-image carries it at a quarter of its
# size. The two cameras look the same way, 19 centimetres apart. Depth is given for the left picture.
#
# The small networks never saw a photograph. So this is no benchmark but a single pair, shown because it is easy to fool
# oneself in a world that one made oneself. Each network stands beside the two answers without one, each under one scale,
# the ratio of the medians: the same depth everywhere, and the rows of the synthetic world, which never saw a photograph either.
# {numref}`fig-motorcycle` shows the pair itself.

# %%
from page4d.evaluate import stereo_pair
from page4d.viz import Row, contact_sheet

photographs = {}
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    clip = stereo_pair().at(model.config.img_size, model.config.patch_size)
    photographs[name] = page4d.predict(model, clip.images)
true_depth = clip.depth[0].numpy()
measured = true_depth > 0


def off(depth):
    """Relative error where depth was measured, after one scale, the ratio of the medians."""
    ours, true = depth[measured], true_depth[measured]
    return np.abs(ours * np.median(true) / np.median(ours) - true) / true


# %%
stored = study.predictions("usual depth of each row") / f"{sequence.name}.npz"
rows = page4d.Prediction.load(stored).depth[0, :, 0]
at, known_at = (np.linspace(0, 1, count) for count in (len(true_depth), len(rows)))
usual = np.tile(np.interp(at, known_at, rows)[:, None], (1, true_depth.shape[1]))
guessed = {
    "one depth everywhere": off(np.ones_like(true_depth)).mean(),
    "usual depth of each row": off(usual).mean(),
}
real = {name: off(found.depth[0]).mean() for name, found in photographs.items()}
pd.DataFrame({"mean relative error": real | guessed}).round(3)

# %% tags=["remove-input"]
best = min(guessed, key=guessed.get)
told = []
for name in photographs:
    change = 1 - real[name] / guessed[best]
    size = (
        "no difference seen (below 2 %)"
        if abs(change) < 0.02
        else f"{100 * abs(change):.0f} % {'better' if change > 0 else 'worse'}"
    )
    told.append(f"- {name} beside *{best}*: {size}")
Markdown(
    "\n".join(told)
    + "\n\nOne pair has no interval: this is what happened on this picture, not how networks do on photographs."
)

# %% mystnb={"figure": {"caption": "The two photographs, and of the left one its measured depth (grey: not measured), and what the last network makes of it after one scale. One colour scale for both depths.", "name": "fig-motorcycle"}}
found = photographs[weights.split(",")[-1]].depth[0]
scaled = found * np.median(true_depth[measured]) / np.median(found[measured])
low, high = np.quantile(true_depth[measured], [0.02, 0.98])
known_only = np.where(measured, true_depth, np.nan)
rows = [
    Row(clip.images.permute(0, 2, 3, 1).numpy(), "photographs"),
    Row([known_only, scaled], "depth of the left", "z (m)", limits=(low, high)),
]
sheet = contact_sheet(
    rows,
    ["left; its measured depth", "right; depth predicted for the left"],
    width_in=7,
)

# %% [markdown]
# What the networks say of the two cameras of this pair, beside a camera that never moves and beside classical matching of
# points, stands on their cards, the texts beside the weights in
# `page4d/model/builtin`.
#
# ## How many frames, how far apart?
#
# More frames mean more views of the same wall, and should mean less error. They also reach over more time, in which
# the camera goes further away from what it saw first, while one scale still has to fit all of them. Which of the two wins
# is one command, and its result for the built-in network comes with the package: the same sequences, their first 2 to 32
# frames, of every frame, every second, every fourth ({numref}`fig-density`).

# %%
import json

from page4d.evaluate import stored_results

stored = json.loads((stored_results("speed") / "density.json").read_text())
density = pd.DataFrame(stored["rows"])
density["reach"] = (density["frames"] - 1) * density["every"]
print(stored["about"]["command"])
print(f"{stored['about']['machine']}, {stored['about']['date']}")
guesses = ["one constant depth", "usual depth of each row"]
density[["frames", "every", "AbsRel", *guesses]].round(3)

# %% mystnb={"figure": {"caption": "Depth error of the built-in network under one scale for each clip, over the number of frames (left) and over the reach from the first to the last (right). One curve per frame rate; bands are 95 % intervals over the sequences.", "name": "fig-density"}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
for axis, over in zip(axes, ("frames", "reach"), strict=True):
    for every, part in density.groupby("every"):
        name = "every frame" if every == 1 else f"one frame of {every}"
        (line,) = axis.plot(part[over], part["AbsRel"], "o-", ms=4, label=name)
        ends = part["AbsRel low"], part["AbsRel high"]
        axis.fill_between(part[over], *ends, color=line.get_color(), alpha=0.12, lw=0)
    axis.set_xscale("log", base=2)
    ticks = [
        2**k for k in range(7) if density[over].min() <= 2**k <= density[over].max()
    ]
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
axes[0].set(xlabel="frames", ylabel="AbsRel", ylim=(0, None))
axes[1].set(xlabel="reach, in frames of the film")
legend = axes[0].legend(fontsize=8)

# %% tags=["remove-input"]
full = density[density["every"] == 1]
few, many = full.iloc[0], full.iloc[-1]
apart = (
    few["AbsRel high"] < many["AbsRel low"] or many["AbsRel high"] < few["AbsRel low"]
)
word = "are apart" if apart else "overlap"
ranks = density[["frames", "reach", "AbsRel"]].rank().corr()["AbsRel"]
Markdown(
    f"From {few['frames']:.0f} to {many['frames']:.0f} neighbouring frames the error goes from {few['AbsRel']:.3f} to "
    f"{many['AbsRel']:.3f}, and the intervals of the two {word}. Over all settings its rank correlation is "
    f"{ranks['frames']:.2f} with the number of frames and {ranks['reach']:.2f} with the reach. A sequence of "
    f"{many['frames']:.0f} frames took {many['seconds']:.0f} seconds, one of {few['frames']:.0f} took {few['seconds']:.1f}."
)

# %% tags=["remove-input"]
best = density[guesses].min(axis=1)
ahead = int((density["AbsRel high"] < best).sum())
Markdown(
    f"In {'all' if ahead == len(density) else f'{ahead} of the'} {len(density)} settings the network's whole interval lies below the better answer without a "
    f"network, whose error goes from {best.min():.3f} to {best.max():.3f}."
)

# %% [markdown]
# The two columns without a network are a control. A second view has nothing to give them, so whatever changes in them
# from row to row is the difficulty of the clips: those that reach farther show more depths under one scale. Where a
# network's error rises with the reach and theirs rises alike, the clips have become harder. Where only the network's
# rises, it is losing its scale. Where the network's falls and theirs does not, it has made something of the views.
#
# Read the right panel against the left one. Where curves of different frame rates lie on each other over the *reach*, it is
# the time that a clip spans that the error follows, and packing more frames into the same time buys nothing. With so few
# sequences the bands are wide, and since all settings share their sequences, the bands of two settings rise and fall
# together: overlap is no proof of equality. For your own network and data:
#
# ```bash
# page4d evaluate density benchmark=videodepth-sintel root=data/sintel weights=mask density.frames=[2,4,8,16,32]
# page4d evaluate table out=evaluation against=vggt
# ```
#
# The second prints every model beside one, paired over sequences, with intervals and a verdict in words. The columns *s* and
# *GiB* of every table are seconds and the largest memory of a sequence.
#
# ## Recap
#
# - One scale for the whole picture first, then parts: moving and still, near and far.
# - A confidence is judged by the order in which it puts pixels, beside the oracle's and beside chance.
# - An error map finds in a second what no table says.
# - A photograph is another world than a rendered one. A network stands beside answers without one in both.
#
# ## Exercises
#
# **1.** Check that the two parts make up the whole, on the frame of the error map.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
if frame.motion is not None:
    moving = frame.motion.moving[known]
    share = moving.mean()
    parts = (
        share * error[known][moving].mean() + (1 - share) * error[known][~moving].mean()
    )
    print(f"whole {error[known].mean():.4f}, parts together {parts:.4f}")

# %% [markdown]
# **2.** Replace the confidence by nearness: trust what is predicted to be near. Is its area smaller than that of the
# network's own confidence?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
nearness = np.concatenate([-f.pred[counted(f)] for f in frames])
plain = sparsification(np.concatenate(errors), nearness)
print(f"AUSE by nearness {plain.ause:.2f}, by confidence {curve.ause:.2f}")
# A rule without learning is the baseline that a learned confidence has to beat.

# %% [markdown]
# **3.** Any growing function of the confidence orders pixels alike. Show that the area does not change under a logarithm,
# and turns over under a change of sign.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
order = np.concatenate(trust)
for name, values in {"c": order, "log c": np.log(order), "-c": -order}.items():
    print(f"{name:>6}: {sparsification(np.concatenate(errors), values).ause:.3f}")

# %% [markdown]
# **4.** How much of the error sits on edges of depth? Compare pixels whose depth differs from a neighbour's by more than
# 5 % with the others.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
steps = np.abs(np.diff(frame.gt, axis=1, append=frame.gt[:, -1:]))
steps = np.maximum(steps, np.abs(np.diff(frame.gt, axis=0, append=frame.gt[-1:])))
edge = (steps > 0.05 * frame.gt)[known]
held = error[known][edge].sum() / error[known].sum()
print(f"{100 * edge.mean():.0f} % of the pixels are edges", end=" and ")
print(f"hold {100 * held:.0f} % of the error")
# Compare the two shares: if edges hold no more of the error than their number, the error sits elsewhere.

# %% [markdown]
# ## Further reading
#
# {cite:t}`kendall2017uncertainties` for a confidence that a network learns, {cite:t}`eigen2014depth` for depth errors and
# the scale in them, {cite:t}`butler2012sintel` for the film with exact depth, {cite:t}`scharstein2014middlebury` for the
# photographs, {cite:t}`zhou2025page4d` for a network that treats moving pixels apart.
