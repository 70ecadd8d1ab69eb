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
# # Does the mask help?
#
# Five networks that differ in one thing each, examined on the same unseen moving scenes, would answer the question. This
# page shows what came out, whether or not it is what one hopes for, and says so where nothing has been run.
#
# **You will learn** what fine-tuning on moving scenes changes, what the mask adds to it, and how sure one can be.
#
# **Needs**: seconds. The page reads stored results; one cell runs a small network. To make them (four trainings for each
# seed):
#
# ```bash
# page4d train --study "seeds=[0,1,2]"
# ```
#
# **The small run**: these are small networks on synthetic scenes. They show whether the mechanism works at this size;
# they are no statement about the released network.

# %% tags=["parameters"]
results = ""
exams = ""
reference = "middle"
weights = "tiny"
clips = 16

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %%
from page4d.evaluate import read_result, stored_results

files = sorted(stored_results("study", results).glob("*.json"))
documents = {path.stem: read_result(path) for path in files}
if documents:
    print(f"{len(documents)} results")
else:
    print("THE STUDY HAS NOT BEEN RUN: no results are stored.")
    print("The sections on its arms are empty until `page4d train --study` fills it.")

# %% [markdown]
# ## The arms
#
# In the study all arms start from one network that has seen still scenes only. *Everything* trains all of it on moving scenes;
# *middle pairs* trains only the blocks that could use a mask, without one; the last two add the mask, once fading
# away during training as the paper does, once kept.

# %% tags=["hide-input"]
import pandas as pd

made = {
    name: {
        "arm": d["about"]["label"],
        "seed": d["about"]["seed"],
        "sequences": d["n"],
        "frames": d["about"]["frames"],
        "date": d["provenance"]["date"],
        "code": d["provenance"]["code_revision"][:10],
        "weights": d["weights_sha256"][:10],
    }
    for name, d in documents.items()
}
for hardware in sorted({d["provenance"]["hardware"] for d in documents.values()}):
    print("examined on", hardware)
pd.DataFrame(made).T if made else print("not run")

# %% [markdown]
# ## What was measured
#
# Depth: AbsRel after one median scale per clip. Rotation: mean angle to the true rotation relative to the first frame,
# as a ratio to what a camera that never moves would score, so that 1 is knowing nothing. No trajectory error after an
# alignment is shown: on clips of four frames a straight line, fitted without any network, beats every arm. A sequence's
# score is the mean over the seeds of its arm; intervals are 95 %, by resampling sequences. They do not hold the luck of
# a seed, so the seeds are shown one by one below.

# %%
import numpy as np
from page4d.evaluate import average_of, difference, interval, stored_table

tables, labels = {}, {}
for document in documents.values():
    about = document["about"]
    tables.setdefault(about["variant"], []).append(stored_table(document))
    labels[about["variant"]] = about["label"]
averaged = {
    arm: {name: np.mean([t[name] for t in parts], 0) for name in parts[0]}
    for arm, parts in tables.items()
}
order = ["pretrained", "all", "middle", "mask", "mask_kept"]
arms = [arm for arm in order if arm in averaged]

# %% mystnb={"figure": {"caption": "Each arm on the unseen moving scenes: depth and rotation error with 95 % intervals. Lower is better.", "name": "fig-study-arms"}}
from page4d.viz import estimates_figure

quantities = {"AbsRel": "abs_rel", "rotation ratio": "rotation_ratio"}
panels = {
    title: {
        labels[arm]: (average_of(averaged[arm], name), *interval(averaged[arm], name))
        for arm in arms
    }
    for title, name in quantities.items()
}
sheet = estimates_figure(panels) if arms else None

# %% tags=["hide-input"]
numbers = {
    title: {
        arm: f"{v:.3f} ({low:.3f} to {high:.3f})" for arm, (v, low, high) in row.items()
    }
    for title, row in panels.items()
}
pd.DataFrame(numbers) if arms else print("not run")

# %% [markdown]
# Seed by seed:

# %% tags=["hide-input"]
by_seed = {
    title: {
        labels[arm]: ", ".join(f"{average_of(t, name):.3f}" for t in tables[arm])
        for arm in arms
    }
    for title, name in quantities.items()
}
pd.DataFrame(by_seed) if arms else print("not run")

# %% [markdown]
# ## The difference the mask makes
#
# Every arm saw the same sequences, so differences are taken sequence by sequence: that removes what makes one
# sequence harder than another. An interval that holds 0 is no evidence either way.

# %%
others = [arm for arm in arms if arm != reference and reference in averaged]
seeds = {arm: len(tables[arm]) for arm in arms}


def seed_changes(arm, name):
    """The change of every seed; an arm without seeds of its own meets all of the other's."""
    n = max(seeds[arm], seeds[reference])
    pairs = zip((tables[arm] * n)[:n], (tables[reference] * n)[:n], strict=True)
    return [average_of(ours, name) - average_of(base, name) for ours, base in pairs]


# %% mystnb={"figure": {"caption": "Change against the arm that trains the same blocks without a mask, paired by sequence, with 95 % intervals. Left of 0 is better.", "name": "fig-study-difference"}}
changes = {
    title: {
        labels[arm]: difference(averaged[arm], averaged[reference], name)
        for arm in others
    }
    for title, name in quantities.items()
}
sheet = estimates_figure(changes, zero=True) if others else None

# %% [markdown]
# In words, made from the same numbers. A change counts as better or worse if its interval leaves out 0 and all seeds
# agree in sign. Three seeds of no effect agree one time in four, so read the size before the verdict: below a percent
# it is of no use to anyone.

# %% tags=["hide-input"]
for title, name in quantities.items() if others else ():
    base = average_of(averaged[reference], name)
    for arm in others:
        value, low, high = changes[title][labels[arm]]
        each = seed_changes(arm, name)
        better, worse = high < 0 and max(each) < 0, low > 0 and min(each) > 0
        verdict = "better" if better else "worse" if worse else "no clear difference"
        span = f"{value / base:+.1%} ({low / base:+.1%} to {high / base:+.1%})"
        told = ", ".join(f"{change / base:+.1%}" for change in each)
        print(f"{title}, {labels[arm]}: {span}, {verdict}; seeds {told}")
if others and max(seeds.values()) == 1:
    print("\nEach arm was run with one seed, and no interval holds the luck of a seed:")
    print("a difference of about a percent says nothing.")
if not others:
    print("not run: no verdict")

# %% [markdown]
# ## Where it should matter: moving pixels
#
# The mask is there to keep moving things out of the poses. If it does, its advantage should grow with the share of
# the picture that moves.

# %% mystnb={"figure": {"caption": "Rotation error over the share of moving pixels in a sequence: mean and standard error in five bins of equal width, the number of sequences below.", "name": "fig-study-motion"}}
from page4d.viz import binned_figure

if arms:
    share = averaged[arms[0]]["moving_share"]
    edges = np.linspace(0, float(np.nanquantile(share, 0.99)), 6)
    single = {labels[arm]: averaged[arm]["rotation"] for arm in arms}
    still = averaged[arms[0]]["rotation_identity"]
    single["a camera that never turns"] = still
    axes = "share of moving pixels", "rotation error (degrees)"
    sheet = binned_figure(share, single, list(edges), *axes)

# %% [markdown]
# ## What the small family was to reach
#
# Aims were set before anything was trained. Three of these networks come with the package; their exams say which aims
# they meet, and whether they are ahead of the best answers that need no network: one depth for all or for each image
# row, a camera that stands still or moves straight on, and classical two-view geometry.

# %% tags=["hide-input"]
from page4d.evaluate import outcomes

files = sorted(stored_results("builtin", exams).glob("*.json"))
exam = {path.stem: read_result(path) for path in files}
met = {}
for name, document in exam.items():
    for aim in outcomes(document):
        verdict = f"{aim.measured}, {'reached' if aim.reached else 'missed'}"
        met.setdefault(f"{aim.title}: {aim.wanted}", {})[name] = verdict
pd.DataFrame(met).T if exam else print("no exams are stored")

# %% [markdown]
# Why depth misses its aim can be seen where the error sits. The next cell splits it by what the pixel shows.

# %%
from page4d import PAGE4D, predict
from page4d.world import split_clip

model = PAGE4D.from_pretrained(weights)
size = model.config.img_size
parts = {"still pixels": [], "moving pixels": []}
for index in range(clips):
    clip = split_clip("dynamic-test", index, height=size, width=size, frames=4)
    true, moving = clip.depth.numpy(), clip.moving.numpy()
    depth = predict(model, clip.images).depth
    depth = depth * np.median(true[true > 0]) / np.median(depth[true > 0])
    off = np.abs(depth - true) / np.maximum(true, 1e-6)
    for part, where in zip(parts, (~moving, moving), strict=True):
        parts[part].append(off[where & (true > 0)])

# %% tags=["hide-input"]
told = {part: f"{np.concatenate(errors).mean():.3f}" for part, errors in parts.items()}
pd.Series(told, name="mean relative error").to_frame()

# %% [markdown]
# What moves stands close to the camera, and where it is taken for background the relative error is large. Rotation asks for
# fine vision: in pictures of 48 pixels one degree is less than a pixel, and a patch has eight. The cards say how long
# these networks were trained; the commands are ready for longer runs.

# %% [markdown]
# ## Reading
#
# Verdicts are computed, not written; without results there is none. Three cautions go with them. The networks are small, and small networks
# have less to protect. The scenes are synthetic: what moves is easy to tell apart by texture alone. And a seed
# changes the fine-tuning, not the pre-trained network, so the intervals do not hold the luck of pre-training.
#
# The paper's own ablation is for the full network on real data {cite}`zhou2025page4d`; it cannot be compared number by
# number with this page.
