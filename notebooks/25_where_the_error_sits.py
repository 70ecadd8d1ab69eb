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
# A mean over all pixels hides where a network fails: on what moves, or everywhere. And a confidence is worth something
# only if it is low where the error is high.
#
# **You will learn** how the depth error splits into moving and still pixels, how a sparsification curve is read, and
# what its area (AUSE) says.
#
# **Needs**: 1 GB of memory and a minute on any computer for the built-in networks on synthetic scenes. On Sintel, flow,
# depth and cameras together tell what moves:
#
# ```bash
# papermill notebooks/25_where_the_error_sits.ipynb mine.ipynb -p benchmark sintel -p root data/sintel \
#     -p weights vggt,nomask,mask -p out evaluation -p device cuda
# ```
#
# **The small run** uses rendered scenes with exact depth and masks. Nothing here was run on Sintel.

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
# ## Moving and still
#
# All pixels of a sequence are aligned with one scale, and only then told apart: a network that is right about the room
# and wrong about the people in it shows both. Weighed by their pixels, the two parts make up the whole.

# %%
from page4d.evaluate import failures, measured_on, open_study, scores_table

study = open_study("videodepth", benchmark, root=root, out=out)
results = []
for name in weights.split(","):
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    results.append(study.run(model, name))

# %%
columns = ("abs_rel", "abs_rel_still", "abs_rel_moving", "ause")
scores_table(results, columns).round(3)

# %% tags=["hide-input"]
print(measured_on(results))
print("\n".join(failures(results)) or "no sequence failed")

# %% [markdown]
# ## Does the confidence know?
#
# Take the least trusted pixels away, share by share, and look at the mean error of the rest. Under an oracle, which
# takes the worst pixels first, it falls fastest; under a confidence that knows nothing it stays where it is. AUSE is the
# area between the curve and the oracle's, zero for a confidence that orders pixels as their errors do.

# %%
import numpy as np
from page4d.evaluate import compared_frames, sparsification

sequence, label = study.sequences()[0], weights.split(",")[-1]
prediction = page4d.Prediction.load(study.predictions(label) / f"{sequence.name}.npz")
frames = compared_frames(sequence, prediction, study.rules)
scale = next(
    scores.sequences[0].notes["scale"]
    for scores in results
    if scores.origin["label"] == label
)

# %%
errors, trust = [], []
for frame in frames:
    seen = frame.gt > 0
    wrong = np.abs(scale * frame.pred[seen] - frame.gt[seen])
    errors.append(wrong / frame.gt[seen])
    trust.append(frame.confidence[seen])
curve = sparsification(np.concatenate(errors), np.concatenate(trust))

# %% mystnb={"figure": {"caption": "Mean relative depth error of the pixels that are left when the least trusted ones are taken away, as a share of the error of all pixels, in one sequence.", "name": "fig-sparsification"}}
import matplotlib.pyplot as plt

figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
axis.plot(curve.removed, curve.by_confidence, label="by confidence")
axis.plot(curve.removed, curve.by_error, label="by error (oracle)")
axis.axhline(1, color="gray", linestyle=":", label="by chance")
axis.set(xlabel="share of pixels taken away", xlim=(0, 1))
axis.set(ylabel="error of the rest / error of all", ylim=(0, None))
legend = axis.legend(fontsize=8)

# %% tags=["remove-cell"]
from myst_nb import glue

glue("ause", curve.ause, display=False)
glue("chance", curve.ause_of_chance, display=False)

# %% [markdown]
# In this sequence the area is {glue:text}`ause:.2f`, where a confidence without any knowledge has
# {glue:text}`chance:.2f`.
#
# ## What it costs
#
# The columns *s* and *GiB* of every table are seconds and the largest memory of a sequence. How both and the error change
# with the number of frames is one command:
#
# ```bash
# page4d evaluate density benchmark=videodepth-sintel root=data/sintel weights=mask density.frames=[2,4,8,16,32]
# page4d evaluate table out=evaluation against=vggt
# ```
#
# The second prints every model beside one, paired over sequences, with intervals and a verdict in words.
