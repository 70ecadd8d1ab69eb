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
# # Reproducing PAGE-4D
#
# Every table and figure of the paper, with the command that makes it, the hardware that it needs, the paper's numbers
# marked as quoted, and ours beside them where they have been measured.
#
# **You will learn** what "reproduced" can mean and which of its meanings hold here, what stands between this repository and
# the paper's tables, what each costs, how to fill in the missing columns, and how much a difference of two single numbers
# can say.
#
# **Needs**: seconds for the page. To fill it: the public data sets, the released weights (two downloads of 5 GB), and a
# GPU; the training needs 80 GB of GPU memory.
#
# **The small run** shows what is quoted and which results are missing. Give the folder that `page4d evaluate` wrote:
#
# ```bash
# papermill notebooks/22_reproducing_page4d.ipynb mine.ipynb -p evaluation path/to/evaluation
# ```
#
# The paper is PAGE-4D {cite}`zhou2025page4d`. Its numbers here were transcribed from arXiv 2510.17568 by a third
# party. Which of its versions (v6 was the newest then) was not noted, and nobody here has compared them with a PDF yet;
# *unchecked* stands beside each until somebody has.

# %% tags=["parameters"]
evaluation = ""

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## Three meanings of one word
#
# A network can be *reproduced* in three ways, and they get harder from one to the next.
#
# **The same function.** Given the same weights and pictures, our code computes the same numbers as the public code. This
# can be tested without data and without a large GPU, and a difference beyond rounding has one cause: a mistake. On seeded
# weights every output of a small network, of the patch encoder and of the image loaders agrees with stored arrays of the
# public code, most to a thousandth (`tests/test_model.py` has each bound; tracks, which repeat themselves, drift further),
# and the full model has exactly the tensors of the released checkpoints by name and shape.
#
# **The same scores.** The released weights, on the public data, under the paper's protocol, give the paper's tables. Here a
# difference may come from the weights, the data as somebody prepared them, or any of the choices of a protocol
# ([What the protocol is worth](14_what_the_protocol_is_worth.ipynb)), and two right programs may disagree.
#
# **The same finding.** Somebody who trains again, with another seed, perhaps at another size, sees the same effect. This
# is what a reader really wants to know, it is the only one of the three that can tell whether the *idea* is good, and
# the one that is most rarely tried, because it costs a training and not a download.
#
# This page says for each table and figure where it stands in these three. The first holds in our tests. The second
# waits for weights and data that were not at hand where this book was made. For the third there is a study at a size
# that one can afford.
#
# ## What there is to reproduce
#
# Every number below takes the way of {numref}`fig-data-flow`. A file stands between any two stages, so a table can be scored
# anew, or drawn anew, without a network; only predicting and training need a GPU.

# %% mystnb={"figure": {"caption": "The way of a number through the package, from a raw download to a page, with the file that stands between every two stages.", "name": "fig-data-flow"}}
from page4d.viz import data_flow_diagram

data_flow_diagram()

# %% [markdown]
# The status is computed: *measured* if the folder given above holds scores of that benchmark, *runs small* if a chapter
# of this book runs the same code on synthetic scenes and small networks, *not run yet* otherwise. Which number of the paper
# each table has was not noted when its rows were written down, so tables are called by what they measure.

# %%
from pathlib import Path

import pandas as pd

files = sorted(Path(evaluation, "scores").glob("*/*.json")) if evaluation else []
measured = [page4d.Scores.load(file) for file in files]
networks = [s for s in measured if s.origin["source"] != "yardstick"]
have = {(scores.task, scores.benchmark) for scores in networks}
if evaluation and not files:
    print(f"{evaluation} holds no Scores: all rows below are quoted")

# %% tags=["hide-input"]
WORK = {
    "video depth": ("videodepth", "sintel bonn dycheck", "Video depth", "24 GB"),
    "single-image depth": (
        "monodepth",
        "sintel bonn dycheck",
        "Monocular depth",
        "12 GB",
    ),
    "camera poses": ("pose", "sintel tum", "Camera pose", "40 GB"),
    "point maps": ("points", "dycheck", "Point maps", "40 GB"),
}

# %% tags=["hide-input"]
rows = []
for what, (task, datasets, chapter, memory) in WORK.items():
    for dataset in datasets.split():
        done = any(t == task and dataset in name for t, name in have)
        status = "measured" if done else "runs small; real data not run yet"
        command = f"page4d evaluate run benchmark={task}-{dataset} root=data/{dataset} weights=nomask"
        rows.append((what, dataset, chapter, f"one GPU, {memory}", status, command))
pd.set_option("display.max_colwidth", None)
heads = ["table", "data", "chapter", "hardware, estimated", "status", "command"]
pd.DataFrame(rows, columns=heads)

# %% [markdown]
# Add `protocol=public` for what the released scripts do, and `weights=vggt` for the other row of each table, `weights=mask`
# for the network that keeps its mask. The released scripts evaluate with the mask switched off (E23,
# [differences](../differences.md)); weights that were trained to keep it should be scored with it. Memory is an estimate from
# the architecture. A row takes minutes to an hour, most of it for reading pictures, and goes on where it stopped. All of them
# together, with every chapter's figures, are one command, `page4d book --profile gpu --paths my_paths.yaml`, and with
# `--dry-run` it first says what is missing.
#
# | figure or experiment | how it is made here | hardware | status |
# |---|---|---|---|
# | Figure 2, what the layers see | [Figure 2: what the layers see](15_figure_2.ipynb), with `vggt = "vggt"`, `page4d_weights = "mask"` | one GPU, 16 GB | runs small; released weights not run yet |
# | pictures of predictions | [Seeing it in 4-D](16_seeing_it_in_4d.ipynb), [Your own video](17_your_own_video.ipynb) | one GPU, 16 to 24 GB | run small; released weights not run yet |
# | ablation: whole model, middle layers, with mask | `page4d train --study`, [Does the mask help?](06_does_the_mask_help.ipynb) | one GPU, minutes for each arm | our study, below; at full size not run |
# | the training itself | `page4d train experiment=paper`, [Masked fine-tuning](05_masked_finetuning.ipynb) | 80 GB, about 20 hours by computation | written, not run |
# | parameter counts | the next cell | any computer | measured, exact |
#
# ## What can be checked to the last digit
#
# A network can be built without its weights, as a list of shapes, in seconds. So the paper's parameter counts can be
# checked at once. They are the one table of this page in which quoted and measured *must* agree.

# %%
import torch

with torch.device("meta"):
    full = page4d.PAGE4D(page4d.PAGE4DConfig())


def millions(part):
    return sum(tensor.numel() for tensor in part.parameters()) / 1e6


aggregator = millions(full.aggregator)
counted = {
    "aggregator, VGGT": aggregator - millions(full.aggregator.spatial_mask_head),
    "aggregator with mask head": aggregator,
}
for head in ("camera", "track", "depth", "point"):
    counted[f"{head} head"] = millions(getattr(full, f"{head}_head"))

# %%
from page4d.evaluate import quoted_rows

quoted = {row.method: row.values["millions"] for row in quoted_rows("parameters")}
counts = pd.DataFrame({"quoted": quoted, "counted": counted})
counts.rename_axis("millions of parameters").round(3)

# %% tags=["remove-input"]
from IPython.display import Markdown

differs = [n for n in counts.index if round(counted[n], 1) != quoted[n]]
added = 1e3 * millions(full.aggregator.spatial_mask_head)
text = f"The mask head adds {added:.0f} thousand parameters, {added / aggregator / 10:.2f} % of the aggregator. "
text += (
    "All counts agree to the digit that is printed."
    if not differs
    else f"**These differ:** {', '.join(differs)}."
)
Markdown(text)

# %% [markdown]
# Whatever the mask does, it does not do it by size. That makes the ablation below a fair one in this respect: an arm
# with the mask is not a larger network.
#
# ## The paper's numbers, and ours
#
# Quoted rows are the paper's. Ours are added below them as soon as they exist. Video depth with one scale for a sequence:

# %%
from page4d.evaluate import beside_quoted, quoted_table


def beside(task, align=""):
    """The paper's rows of a task under one alignment, and ours if there are any."""
    asked = [s for s in measured if s.task == task]
    ours = [s for s in asked if s.protocol.get("align", "") == align]
    rows = [row for row in quoted_rows(task) if row.align == align]
    table = beside_quoted(ours, rows) if ours else quoted_table(rows)
    return table.reset_index(drop=True).round(3)


beside("videodepth", align="scale")

# %% [markdown]
# The same with a scale and a shift, which forgives more ([Video depth](11_video_depth.ipynb) says why that matters; the
# released fit of it does not converge, E15):

# %%
beside("videodepth", align="scale&shift")

# %% [markdown]
# Depth from single images:

# %%
beside("monodepth")

# %% [markdown]
# Camera poses. Lengths are metres for TUM and the film's own unit for Sintel:

# %%
beside("pose")

# %% [markdown]
# Point maps:

# %%
beside("points")

# %% [markdown]
# No public script exists for point maps; which frames, alignment and clean-up the paper used is not known, so our rows
# there are not comparable with it.
#
# ## How much better, in the paper's own numbers
#
# Two rows of one table can be compared, for they share a protocol. The share by which PAGE-4D's error is below VGGT's:

# %%
gains = {}
for task, metric in (
    ("videodepth", "abs_rel"),
    ("monodepth", "abs_rel"),
    ("pose", "ate"),
):
    for row in quoted_rows(task):
        where = f"{task}, {row.dataset}" + (f", {row.align}" if row.align else "")
        gains.setdefault(where, {})[row.method] = row.values[metric]
below = {w: 1 - g["PAGE-4D"] / g["VGGT"] for w, g in gains.items()}
gain = 100 * pd.Series(below, name="error below VGGT's (from quoted values)")
gain.map("{:.0f} %".format).to_frame()

# %% [markdown]
# Three things should be asked of such a column before it is believed. *What is the partner?* PAGE-4D was trained further,
# on moving scenes; VGGT was not. The gain is that of the mask **and** of more training on fitting data, and the table cannot
# part the two; the ablation can. *Is the partner's row right?* Exercise 3 finds VGGT's numbers in other papers. And
# *how large is luck?* A single number in a table has no interval, and the papers give none: what part of a gain belongs to
# one training, to the protocol or to the choice of sequences cannot be read off it.
#
# ## The ablation, beside our study
#
# The paper trains the whole model, the middle layers, and the middle layers with the mask, and reports video depth. The
# quoted rows, with the change against the middle layers without a mask, the only fair partner:

# %%
ablation = {}
for row in quoted_rows("ablation"):
    ablation.setdefault(row.variant, {})[row.dataset] = row.values["abs_rel"]
table = pd.DataFrame(ablation).T
change = (100 * (table / table.loc["middle layers"] - 1)).map("{:+.1f} %".format)
change.loc["middle layers"] = "the partner"
table.join(change.add_suffix(", change"))

# %% [markdown]
# Our study trains the same arms, and more, as small networks on synthetic moving scenes, each from the same start, and
# examines them on unseen sequences ([Does the mask help?](06_does_the_mask_help.ipynb) has all arms and every score). Each
# is set beside *middle pairs*, which are the paper's middle layers, sequence by sequence:

# %%
from page4d.evaluate import (
    average_of,
    effect,
    guesses_on,
    read_result,
    stored_results,
    stored_table,
    trainings_text,
)

ARMS = {"whole model": "all", "middle layers": "middle", "with mask": "mask"}
study = {}
documents = [read_result(f) for f in sorted(stored_results("study").glob("*.json"))]
for document in documents:
    study.setdefault(document["about"]["variant"], []).append(stored_table(document))


# %%
def over_seeds(variant):
    """Each sequence's scores, the mean over the trainings that differ in their seed alone."""
    parts = study[variant]
    return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}


# %% tags=["hide-input"]
paper = (table / table.loc["middle layers"] - 1).mean(axis=1)
rows, effects = {}, {}
for title, variant in ARMS.items():
    told = {
        "paper, change of AbsRel (mean of 3 quoted)": f"{100 * paper[title]:+z.1f} %"
    }
    if {variant, "middle"} <= study.keys():
        effects[title] = effect(over_seeds(variant), over_seeds("middle"), "abs_rel")
        seeds = [average_of(part, "abs_rel") for part in study[variant]]
        told["ours, AbsRel by seed"] = ", ".join(f"{value:.3f}" for value in seeds)
        same = "the partner" if variant == "middle" else str(effects[title])
        told["ours, beside middle pairs"] = same
    rows[title] = told
if effects:
    exam = read_result(stored_results("builtin") / "page4d-tiny.json")
    for title, guess in guesses_on(exam, over_seeds("middle")).items():
        if "abs_rel" in guess:
            value = f"{average_of(guess, 'abs_rel'):.3f}"
            rows[title] = {"ours, AbsRel by seed": value}
pd.DataFrame(rows).T.fillna("-")

# %% [markdown]
# The last rows are answers about the same clips that need no network. The same for cameras is in [Does the mask
# help?](06_does_the_mask_help.ipynb).

# %% tags=["remove-input"]
text = "**Our study has not been run** on the present synthetic world; `page4d train --study` runs it."
if effects:
    mask, whole = effects["with mask"], effects["whole model"]
    words = {
        "better": "the mask improves depth",
        "worse": "the mask harms depth",
        "none": "the mask does not change depth",
        "undecided": "the study does not decide about the mask",
    }
    quoted = {name: f"{100 * change:+z.1f} %" for name, change in paper.items()}
    text = f"In our study {words[mask.verdict]}: {mask}. The paper's three quoted values change by {quoted['with mask']} in the mean. "
    text += f"Training the whole model instead of the middle layers: {whole}; in the paper {quoted['whole model']}."
    agree = (mask.verdict == "better") == (paper["with mask"] < -0.02)
    text += (
        " The finding about the mask is "
        + ("seen" if agree else "**not** seen")
        + " at our size."
    )
    text += f"\n\n{trainings_text(documents)}"
Markdown(text)

# %% [markdown]
# A result at another size is neither a proof nor a refutation. These networks are some two hundred times smaller than the
# paper's, their world is made of rooms and boxes, each arm has seen a few thousand clips; the mechanism may need a network that knows
# enough about the world to tell a walker from a wall. What the study does show is what a fair comparison takes: one start,
# one difference, the same sequences, more than one seed, and a size below which a difference is called none, settled
# beforehand. At the full size it is the same command with another network, and about a day of a large GPU for each arm.
#
# ## If your numbers differ from the paper's
#
# Before anything else is suspected, go through this list; each line is a mistake that gives no error.
#
# 1. *Weights and mask.* Is the mask on for the weights that keep it, off for the others? The origin stored in each score
#    says which weights by their hash.
# 2. *Protocol.* Predict and score under `protocol=public` as well. If that moves the number towards the paper's, read
#    [What the protocol is worth](14_what_the_protocol_is_worth.ipynb).
# 3. *Sequences and frames.* The column `n` says how many sequences a mean holds. One sequence more or less moves Sintel's.
# 4. *Data.* Depth scaled by 1000 instead of 5000, poses of another clock ([Preparing TUM and Bonn](07_preparing_tum_and_bonn.ipynb)).
#    `page4d check-data` looks at every batch.
# 5. *The quoted number itself.* Rows here are unchecked, and the paper has several versions.
#
# ## Recap
#
# - Reproduced can mean the same function, the same scores, or the same finding; each is harder than the one before.
# - The paper's numbers are quoted and unchecked; ours are computed and say on what.
# - One command per row fills the tables; both protocols are needed to know what a difference means.
# - Training the paper's network takes a GPU of 80 GB; everything before it runs small in this book.
#
# ## Exercises
#
# **1.** In which of the quoted tables is the gain largest, and in which smallest?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
largest, smallest = (pick(below, key=below.get) for pick in (max, min))
print(f"largest in {largest}, smallest in {smallest}")

# %% [markdown]
# **2.** By the quoted ablation, how much of the gain over the whole model comes from training only the middle layers, and
# how much from the mask?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
order = ["whole model", "middle layers", "with mask"]
steps = table.loc[order].diff().iloc[1:].mean(axis=1)
steps.round(4).to_frame("change of AbsRel")
# Mean change of AbsRel over the three data sets; a step below zero is a gain.

# %% [markdown]
# **3.** VGGT's row on Bonn is worse in this paper than in others. Find the numbers, and say what they have to do with the
# gains above.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
elsewhere = {r.variant: r.values for r in quoted_rows("vggt elsewhere", "bonn")}
pd.DataFrame(elsewhere).T
# A baseline that scores worse than elsewhere makes every gain over it larger; the protocol chapter measures why.

# %% [markdown]
# **4.** Suppose that the error of one training differs from that of another seed by a normal 2 %, one
# standard deviation. How often will an arm that is no better at all look at least 3 % better than its partner, by luck?
# And the best of six such arms?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
from scipy.stats import norm

one = norm.sf(
    3 / (2 * 2**0.5)
)  # both numbers are lucky or not: the deviations add as squares
print(
    f"one arm: {100 * one:.0f} %; the best of six, taken as independent: {100 * (1 - (1 - one) ** 6):.0f} %"
)

# %% [markdown]
# ## Further reading
#
# {cite:t}`musgrave2020reality` for a field whose progress shrank when baselines were trained as well as the new methods,
# and {cite:t}`recht2019imagenet` for what happens to scores when a test set is collected again.
# {cite:t}`zhou2025page4d` and {cite:t}`wang2025vggt` for the tables; {cite:t}`palazzolo2019bonn`,
# {cite:t}`sturm2012tum`, {cite:t}`butler2012sintel` and {cite:t}`gao2022dycheck` for the data behind them.
