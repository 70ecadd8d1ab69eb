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
# **You will learn** how single-image depth is scored, what AbsRel and the ratio threshold say, where a network is
# wrong in an image, and how to fill the published table with your own numbers.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in network on synthetic scenes. The real
# benchmark needs its data set, a GPU, and the released weights:
#
# ```bash
# papermill notebooks/10_monocular_depth.ipynb mine.ipynb -p benchmark sintel -p root data/sintel \
#     -p weights vggt,nomask,mask -p out evaluation -p device cuda
# ```
#
# With `out` the predictions are kept, and a second run goes on where the first one stopped.
#
# **The small run** scores a network of a few million parameters on rendered rooms and grounds. Its numbers do not
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
# ## Two loops with files between
#
# `predict` writes one file a sequence, `score` reads it beside the ground truth. The second loop needs no network, so
# another protocol costs seconds. A `Study` knows both loops for one benchmark under one protocol.

# %%
import page4d
from page4d.evaluate import (
    beside_quoted,
    failures,
    measured_on,
    open_study,
    quoted_rows,
)

studies = [
    open_study("monodepth", benchmark, protocol, root=root, out=out)
    for protocol in ("standard", "public")
]
results = []
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    results += [study.run(model, name) for study in studies]

# %% [markdown]
# The two protocols differ in these choices. `public` is what the released scripts do, `standard` what the field does.

# %% tags=["hide-input"]
import pandas as pd
from page4d.evaluate import OPTIONS, differences

pd.set_option("display.max_colwidth", None)
rows = [(o, *pair, OPTIONS[o].text) for o, pair in differences("monodepth").items()]
pd.DataFrame(rows, columns=["option", "public", "standard", "what it decides"])

# %% [markdown]
# ## The numbers
#
# AbsRel is the mean of $|p - g| / g$ over the pixels with ground truth, after each image's prediction $p$ was scaled
# by the ratio of the medians. The threshold is the share of pixels where neither $p / g$ nor $g / p$ reaches 1.25.
# Means over images are weighted by their pixels, as in all published tables.

# %%
table = beside_quoted(results, quoted_rows("monodepth"))
table.reset_index(drop=True).round(3)

# %% [markdown]
# Rows marked as quoted are published ones; *unchecked* means that nobody here has compared the number with the paper's
# own PDF yet. A measured row says when and on what it was made, and how many sequences its mean holds. Rows of
# different data sets do not compare with each other.

# %% tags=["hide-input"]
print(measured_on(results))
print("\n".join(failures(results)) or "no sequence failed")

# %% [markdown]
# What is such a number worth? One depth everywhere, scaled in the same way, needs no network:

# %%
import numpy as np
from page4d.evaluate import depth_errors, depth_options

study = studies[0]
options = depth_options(study.rules)
constant = []
for sequence in study.sequences():
    for path in sequence.depths:
        truth = sequence.read_depth(path)
        constant.append(depth_errors(np.ones_like(truth), truth, options))
pixels = [errors.valid_pixels for errors in constant]
flat = np.average([errors.abs_rel for errors in constant], weights=pixels)
print(f"AbsRel of one depth everywhere: {flat:.3f}")

# %% [markdown]
# ## One number hides a distribution
#
# The mean is made of frames that differ a lot. A curve that rises late but steeply is a network that fails on few
# scenes; a curve that is high everywhere is one that is coarse.

# %% mystnb={"figure": {"caption": "AbsRel of every single frame, sorted. The value at 0.5 is the median frame.", "name": "fig-mono-distribution"}}
from page4d.viz import error_distribution

curves = error_distribution(results)

# %% [markdown]
# ## Where it is wrong
#
# The frame of the median error, aligned as it was scored. Errors gather at the edges of bodies, where a coarse network
# draws a slope, and on whole bodies that it puts at a wrong distance.

# %%
from page4d.evaluate import compared_frames

study, scores = studies[0], results[-2]
done = [s for s in scores.sequences if s.error is None]
errors = [(e, s.name, i) for s in done for i, e in enumerate(s.items["abs_rel"])]
_, sequence_name, frame = sorted(errors)[len(errors) // 2]
sequence = next(s for s in study.sequences() if s.name == sequence_name)
label = weights.split(",")[-1]
prediction = page4d.Prediction.load(study.predictions(label) / f"{sequence_name}.npz")
compared = compared_frames(sequence, prediction, study.rules)[frame]

# %% mystnb={"figure": {"caption": "Truth, scaled prediction and relative error of the median frame. Grey: no ground truth.", "name": "fig-mono-frame"}}
from page4d.evaluate import align_depth, apply_fit, error_map, valid_pixels
from page4d.viz import Row, contact_sheet

options = depth_options(study.rules)
valid = valid_pixels(compared.pred, compared.gt, options)
_, fit = align_depth(compared.pred[valid], compared.gt[valid], options)
scaled = apply_fit(compared.pred, fit, options)
relative = error_map(compared.pred, compared.gt, fit, options)
limits = tuple(np.percentile(compared.gt[valid], (2, 98)))
unit, valid, title = study.benchmark.unit, [valid], f"{sequence_name}, frame {frame}"
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
# page4d evaluate run benchmark=monodepth-sintel root=data/sintel weights=nomask protocol=public out=evaluation
# page4d evaluate run benchmark=monodepth-sintel root=data/sintel weights=vggt out=evaluation
# page4d evaluate table out=evaluation
# ```
#
# The last line prints every score below `out` and writes it as Markdown, CSV and LaTeX. With several GPUs,
# `accelerate launch` in front of `page4d evaluate predict ...` splits the sequences over processes and machines.
