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
# # Video depth
#
# A video's depth is scaled once for all frames, so a network must also keep its scale over time.
#
# **You will learn** why one scale for all frames is a harder question than one for each, what the three alignments forgive,
# why "scale and shift" depends on who fits it, how error moves along a sequence, and what the released scripts score
# as depth.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in networks on synthetic scenes. The real
# benchmark needs its data set, a GPU, and the released weights:
#
# ```bash
# papermill notebooks/11_video_depth.ipynb mine.ipynb -p benchmark sintel -p root data/sintel \
#     -p weights vggt,nomask,mask -p out evaluation -p device cuda
# ```
#
# With `out` the predictions are kept, and a second run goes on where the first one stopped.
#
# **The small run** uses short rendered sequences; published ones have 20 to 120 frames.

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
# ## Flicker, before any formula
#
# Take a network that is perfect on every single frame of a clip, up to a factor, and let that factor change: to and fro
# from frame to frame, or slowly from the first frame to the last. Monocular depth, scored image by image, calls both
# perfect. Anybody who watches the video as a point cloud sees the walls breathe, or the far end of a corridor
# shrink. The measure of this chapter must see what that person sees, so it may not fit a new scale for each frame.

# %%
import matplotlib.pyplot as plt
import numpy as np
import page4d
from page4d.evaluate import DepthOptions, depth_errors, open_study, printed

standard = open_study("videodepth", benchmark, root=root, out=out)
sequence = standard.sequences()[0]
truth = np.stack([sequence.read_depth(path) for path in sequence.depths])
known = truth > 0
time = np.linspace(-1, 1, len(truth))
factors = {
    "steady, half as large": np.full(len(truth), 0.5),
    "flickers by 10 %": 1 + 0.1 * (-1.0) ** np.arange(len(truth)),
    "drifts by 20 %": 1 + 0.1 * time,
}

# %% mystnb={"figure": {"caption": "Depth that is exact up to a factor of its own in every frame. Above: the factor. Below: AbsRel of each frame under one scale for the clip, where one scale for each frame would leave no error at all.", "name": "fig-video-flicker"}} tags=["hide-input"]
figure, (upper, lower) = plt.subplots(2, 1, figsize=(5, 5), layout="constrained")
under_one, under_each = {}, {}
for name, factor in factors.items():
    guess = truth * factor[:, None, None].astype(truth.dtype)
    fit = depth_errors(guess, truth, DepthOptions("l1_scale")).fit
    per_frame = [np.abs(fit.scale * f - 1) for f in factor]
    under_one[name] = depth_errors(guess, truth, DepthOptions("l1_scale")).abs_rel
    each = [
        depth_errors(g, t, DepthOptions("l1_scale")).abs_rel
        for g, t in zip(guess, truth, strict=True)
    ]
    under_each[name] = np.mean(each)
    upper.plot(factor, marker="o", label=name)
    lower.plot(per_frame, marker="o")
upper.set(xlabel="frame", ylabel="predicted / true depth", ylim=(0, None))
lower.set(xlabel="frame", ylabel="AbsRel", ylim=(-0.005, None))
legend = upper.legend(fontsize=8)

# %%
import pandas as pd

columns = {"one scale for the clip": under_one, "one for each frame": under_each}
printed(pd.DataFrame(columns), 4)

# %% [markdown]
# The steady network is forgiven everything, as it should be. The other two pay, and {numref}`fig-video-flicker` tells them
# apart by their shape, not by their size: the best single scale of a drift is right somewhere inside the clip and wrong
# at both ends; that of a flicker sides with every other frame and leaves the whole error to the rest. Keep the two shapes
# in mind for the curve of the real networks below.
#
# How can a network keep its scale at all? Nothing in a single frame fixes it. A network like VGGT sees all frames at
# once, its global attention compares them, and training has normalized every sequence to one mean distance
# ([losses](20_losses_with_formulas.ipynb)). So its scale is arbitrary but common. Methods that work frame by frame, or pair
# by pair, need another stage that makes them agree: {cite:t}`luo2020consistent` fine-tune a network on the very video,
# {cite:t}`zhang2025monst3r` optimize over all pairs, and {cite:t}`chen2025videodepthanything` train attention over time.
#
# ## Three alignments
#
# With $p$ the predicted and $g$ the true depth of all valid pixels of *all* frames of a sequence ([notation](../notation.md)),
#
# $$ \begin{aligned}
#    \texttt{metric}: &\quad p, \\
#    \texttt{scale}: &\quad s\,p, \\
#    \texttt{scale}\,\&\,\texttt{shift}: &\quad s\,p + t, \\
#    (s, t) = &\quad \arg\min \sum |s\,p + t - g| . \end{aligned} $$
#
# Then AbsRel and $\delta_{1.25}$ are taken as for single images ([Monocular depth](10_monocular_depth.ipynb)). The sum has
# absolute values and not squares, so that a few pixels at the horizon do not decide the scale of a room. The predictions
# are made once; each further row is scored from the same files.
#
# The last rows are answers without a network, on the same clips: one depth for all pixels, and for each image row the
# depth that it usually has in the training split ([Monocular depth](10_monocular_depth.ipynb)). Neither ever flickers:
# steadiness alone is no merit. They have no unit, so there is no `metric` row of them, and a constant under
# `scale&shift` is the median depth of the clip. The column *seconds* is how long a network took for a sequence in the
# mean, *GiB* the largest memory that it needed; an answer without a network has neither.

# %%
from dataclasses import replace

from page4d.evaluate import beside_quoted, failures, measured_on, quoted_rows

results = []
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    standard.predict(model, name)
    results += [
        replace(standard, align=align).score(name, model)
        for align in ("scale", "scale&shift", "metric")
    ]

# %%
from page4d.evaluate import depth_yardsticks, scores_table

yardsticks, shifted_too = (
    depth_yardsticks(replace(standard, align=align))
    for align in ("scale", "scale&shift")
)
shown = scores_table(results + yardsticks + shifted_too)
shown = shown.drop(columns=["benchmark", "protocol", "frames"])
printed(shown)

# %% tags=["remove-input"]
from IPython.display import Markdown
from page4d.evaluate import beside_strongest

scaled = [s for s in results if s.protocol["align"] == "scale"]
told, means = [], []
for scores in scaled:
    who, found = beside_strongest(scores, yardsticks, "abs_rel")
    told.append(f"- {scores.origin['label']}, beside *{who}*: {found}")
for scores in yardsticks:
    each = [q.values["abs_rel"] for q in scores.sequences if q.error is None]
    means.append(f"{np.mean(each):.3f} for *{scores.origin['label']}*")
Markdown(
    "AbsRel under one scale beside the stronger answer without a network, paired by sequence. Each sequence counts the "
    f"same here, which gives {' and '.join(means)}; the table weighs sequences by their valid pixels, and where two "
    "answers are close, that can turn their order:\n\n" + "\n".join(told)
)

# %% [markdown]
# The network's depth has a unit of its own, so `metric` mostly measures that unit. `scale&shift` is the most
# forgiving: it also takes out a depth that is off by a constant, which no rescaling of a true scene can be. The shift has
# a history. Networks trained on stereo films, whose baseline and convergence nobody knows, learn *disparity* up to scale
# and shift {cite}`ranftl2022midas`, and their scores must allow both. For a network whose depth is lifted into a
# point cloud, a shift is a serious error: it bends every plane that is not parallel to the image.
#
# The columns *still* and *moving* divide the same error by what the pixel does, where a data set says so. With one scale
# for all, moving things pay for two reasons: they are harder, and they are few, so the scale is chosen without them. *AUSE*
# asks whether the network knows where it is wrong; [Where the error sits](25_where_the_error_sits.ipynb) explains it.
#
# ## A fit that has not converged
#
# Both fits minimize $\sum |s\,p + t - g|$. The released one takes at most 1000 Adam steps {cite}`kingma2015adam` of
# length 0.0001 from the median ratio. Adam divides a gradient by its own size, so a step is as long as the learning
# rate and no longer, and after 1000 of them $s$ and $t$ have moved by about 0.1, whatever the unit is (E15). Ours finds the
# minimum. The fit of a scale alone has a fault of its own: ten rounds of reweighted least squares, with weights that
# explode at pixels hit by chance, so that the last digit of the data moves it ([E24](../differences.md)). The next
# cell plants a shift into perfect depth and lets both fits of scale and shift take it out again.

# %%
shifts = np.linspace(0, 2, 9)
left_over = {}
for name, fit in (("released", "lad2_video"), ("converged", "l1_scale_shift")):
    options = DepthOptions(fit, 70.0)
    moved = [truth + np.float32(shift) for shift in shifts]
    left_over[name] = [depth_errors(pred, truth, options).abs_rel for pred in moved]

# %% mystnb={"figure": {"caption": "Error that remains after a constant was added to perfect depth and a scale-and-shift fit took it out again.", "name": "fig-video-shift"}}
figure, axis = plt.subplots(figsize=(6.4, 3), layout="constrained")
for name, values in left_over.items():
    axis.plot(shifts, values, marker="o", label=name, clip_on=False)
axis.set(xlabel=f"planted shift ({standard.benchmark.unit})")
axis.set(ylabel="AbsRel left", ylim=(0, None))
legend = axis.legend()

# %% [markdown]
# In {numref}`fig-video-shift` the converged fit lies on the axis. A shift of metres written in centimetres would be a hundred
# times longer for the released fit and no harder for the converged one: published "scale & shift" numbers depend on the
# unit of the data set. Nobody has cheated here. The fit came down from script to script, the loss falls in each run,
# and a fit that stops early looks like one that is done. The habit to take from it: plant an error whose answer you know,
# and see whether the scorer finds it.
#
# ## Along the sequence
#
# One scale serves all frames, so a drift of scale shows as error that differs from frame to frame, as in the lower half
# of {numref}`fig-video-flicker`. {numref}`fig-video-time` is the same plot for the networks. The first frame has a special
# place in VGGT, because it is the world; whether that makes it easier, the curve says. In the clips of the small run a
# drift has little time to grow. On 110 frames of Bonn this is the plot to look at before any mean.

# %% mystnb={"figure": {"caption": "AbsRel of the n-th frame under one scale for the whole sequence: mean over sequences and their middle half.", "name": "fig-video-time"}}
from page4d.viz import error_over_time

curves = error_over_time([s for s in results if s.protocol["align"] == "scale"])

# %% tags=["remove-input"]
told, harder = [], 0
of_scale = [s for s in results if s.protocol["align"] == "scale"]
for scores in of_scale:
    rows = [s.items["abs_rel"] for s in scores.sequences if s.error is None]
    length = min(map(len, rows))
    first, *rest = np.mean([row[:length] for row in rows], 0)
    harder += first > np.mean(rest)
    told.append(f"`{scores.origin['label']}` {first:.3f} against {np.mean(rest):.3f}")
Markdown(
    f"The first frame against the mean of the others: {', '.join(told)}. The world's own frame has the larger error in "
    f"{harder} of {len(of_scale)} networks."
)

# %% [markdown]
# ## The released protocol
#
# The released scripts differ in most choices. The one that is hardest to see is what they call depth: the $z$ of each
# pixel in the *first* camera's frame instead of its own (E1). A wall two metres ahead of a camera that has walked one
# metre forward has a depth of 2 there and of 3 in their files, and if the camera turned round, a negative one. The ground
# truth has 2. They also leave a sequence of Sintel out of this table and not of the others (E3); the synthetic
# benchmark does so too, as `n` in the column `status` shows there. And they take the first 120 frames only (E4), which
# matters for DyCheck. [What the protocol is worth](14_what_the_protocol_is_worth.ipynb) takes the choices one by one.

# %%
public = open_study("videodepth", benchmark, "public", root=root, out=out)
names = weights.split(",")
# The second protocol costs a second run of each network; on made-up scenes one says enough.
twice = names[-1:] if benchmark == "synthetic" else names
results_public = []
for name in twice:
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    results_public.append(public.run(model, name))
scored = scaled + results_public + yardsticks
table = beside_quoted(scored, quoted_rows("videodepth", align="scale"))
table.reset_index(drop=True).round(3)

# %% [markdown]
# Quoted rows are published ones; *unchecked*: not yet compared with the paper's own PDF. Those with scale and shift:

# %%
from page4d.evaluate import quoted_table

shifted = [row for row in quoted_rows("videodepth") if row.align == "scale&shift"]
quoted_table(shifted).round(3)

# %% [markdown]
# The paper also trains without the mask, and with more or fewer layers, and scores video depth for each; that ablation stands
# in [Reproducing PAGE-4D](22_reproducing_page4d.ipynb), beside ours.

# %% tags=["remove-input"]
from page4d.evaluate import between

told = [
    f"- {name}: {between(scores, scaled[0], 'abs_rel')}"
    for name, scores in zip(names[1:], scaled[1:], strict=True)
]
Markdown(
    f"Our own rows with one scale under the standard protocol, AbsRel beside `{names[0]}`, paired by sequence:\n\n"
    + ("\n".join(told) or "One network only, nothing to compare.")
)

# %% tags=["hide-input"]
print(measured_on(results + results_public))
print("\n".join(failures(results + results_public)) or "no sequence failed")

# %% [markdown]
# ## Results of other networks
#
# Depth of CUT3R, MonST3R or any other model enters the same table: a folder `<sequence>/<image name>.npy` of depth in
# each frame's own camera is enough.
#
# ```bash
# page4d evaluate convert benchmark=videodepth-bonn root=data/bonn label=CUT3R --depth results/cut3r
# page4d evaluate score benchmark=videodepth-bonn root=data/bonn label=CUT3R
# ```
#
# The check worth doing with foreign results: their depth must be $z$ in the frame's own camera, not the length of the
# ray and not a disparity, and the folder must hold one file for each image of the benchmark. Our `convert` refuses
# sizes and counts that do not fit. A wrong *kind* of depth it cannot see, but you can: put the score beside that of one
# depth for all (exercise 2).
#
# ## Recap
#
# - One scale for all frames makes consistency over time part of the score.
# - `scale&shift` forgives an error that ruins a point cloud; report it beside `scale`, never instead of it.
# - A fit that has not converged makes numbers depend on the unit. Plant an error and see whether it is found.
# - What a script calls depth decides what its table compares.
#
# ## Exercises
#
# **1.** A network's scale flickers between 0.9 and 1.1. Show by hand what AbsRel must be under one scale, and find out
# whether a median over three frames removes the flicker.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
flicker = factors["flickers by 10 %"]
one = DepthOptions("l1_scale")
guess = truth * flicker[:, None, None].astype(truth.dtype)
found = depth_errors(guess, truth, one)
by_hand = np.average(np.abs(found.fit.scale * flicker - 1), weights=known.sum((1, 2)))
print(f"AbsRel {found.abs_rel:.4f}, by hand {by_hand:.4f}")
middle = [np.median(flicker[max(0, i - 1) : i + 2]) for i in range(len(flicker))]
print("after a median of three:", np.round(middle, 2).tolist())
# The median of three takes the neighbours' value: it does not remove a flicker, it turns it round.
# A mean of neighbours would; better is a network that sees all frames at once.

# %% [markdown]
# **2.** Score disparity, $1 / g$, as if it were depth, beside one depth for all. Which is worse?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
safe = np.where(known, truth, 1)
wrong_kind = {"disparity": 1 / safe, "one depth": np.ones_like(truth)}
for name, guess in wrong_kind.items():
    print(f"{name}: AbsRel {depth_errors(guess, truth, one).abs_rel:.3f}")

# %% [markdown]
# **3.** Write the truth of the clip in centimetres and repeat the smallest planted shift but one. What do both fits
# leave now?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
cm = 100 * truth
for name, fit in (("released", "lad2_video"), ("converged", "l1_scale_shift")):
    options = DepthOptions(fit, 7000.0)
    error = depth_errors(cm + np.float32(100 * shifts[1]), cm, options).abs_rel
    print(f"{name}: {error:.4f}, in metres it was {left_over[name][1]:.4f}")

# %% [markdown]
# **4.** Does a shift bend a plane? Lift a slanted plane of depth with an offset of half a metre, and fit a plane to it.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
x, y = np.meshgrid(np.linspace(-0.5, 0.5, 60), np.linspace(-0.4, 0.4, 48))
plane = 3 / (1 + 0.8 * x)
for shift in (0.0, 0.5):
    z = plane + shift
    points = np.stack((x * z, y * z, z), -1).reshape(-1, 3)
    _, spread, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    print(
        f"shift {shift} m: off the best plane by {spread[-1] / len(points) ** 0.5:.4f} m"
    )
# A plane's inverse depth is linear in the pixel; adding a constant to depth destroys that.

# %% [markdown]
# ## Further reading
#
# {cite:t}`luo2020consistent` made the consistency of video depth a subject; MonST3R {cite}`zhang2025monst3r` and CUT3R
# {cite}`wang2025cut3r` set the tables that PAGE-4D continues, with their scripts; Video Depth Anything
# {cite}`chen2025videodepthanything` and VGGT {cite}`wang2025vggt` stand for the two ways to see all frames at once.
# {cite:t}`palazzolo2019bonn` filmed Bonn, {cite:t}`butler2012sintel` made Sintel, {cite:t}`gao2022dycheck` DyCheck.
