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
# # What the protocol is worth
#
# One set of predictions has a different score under each protocol; this chapter measures how different, with predictions
# whose error is known.
#
# **You will learn** which choices separate the released scripts from the field's protocol, how to test a scorer with an
# answer whose error is known, what each choice is worth alone, for a still and for a moving camera, and how much of a
# published gap could come from the protocol.
#
# **Needs**: two minutes on any computer. The network's rows can be made on a real data set, whose planted predictions
# need its cameras and depth only:
#
# ```bash
# papermill notebooks/14_what_the_protocol_is_worth.ipynb mine.ipynb -p benchmark sintel -p root data/sintel \
#     -p weights nomask -p device cuda
# ```
#
# **The small run** uses rendered scenes, where the truth is exact. That is the point of this chapter: a *perfect*
# network can be scored, and whatever error it gets, the protocol has made.

# %% tags=["parameters"]
weights = "tiny"
benchmark = "synthetic"
root = ""
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## One wall, two depths
#
# Nobody writes a scorer to be unfair. Scorers grow: a line is taken over from an earlier paper, a data set is added, a
# default changes, and each step looks small. Fields that went back and measured one paper's numbers under another's
# protocol found different things: in metric learning most of the progress was protocol {cite}`musgrave2020reality`, in image
# classification a new test set lowered all numbers and left the order {cite}`recht2019imagenet`. This chapter does it for video depth, where one line
# matters most. Here it is as a picture: a camera walks towards a wall, and turns a little.

# %% mystnb={"figure": {"caption": "A camera (circles, with viewing axes) walks towards a wall, seen from above. Blue: depth of one point of the wall in the camera's own frame, which is what depth sensors and ground truth mean. Red: its z in the first camera's frame, which does not change.", "name": "fig-protocol-wall"}} tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

steps, turn = np.linspace(0, 2, 4), np.radians([0, 8, 16, 24])
wall, point = 4.0, np.array([0.6, 4.0])
figure, axis = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
axis.plot([-0.8, 4.8], [wall, wall], color="0.4", lw=4)
for number, (at, a) in enumerate(zip(steps, turn, strict=True)):
    camera, ahead = np.array([0.35 * at, at]), np.array([np.sin(a), np.cos(a)])
    own = (point - camera) @ ahead
    axis.annotate("", camera + 0.7 * ahead, camera, arrowprops={"arrowstyle": "->"})
    axis.plot(*camera, "o", color="black")
    text = f"frame {number}: own {own:.2f}"
    axis.text(1.3, at, text, color="#2b62c4", va="center", size=9)
    axis.text(3.4, at, f"world {wall:.2f}", color="#c43c2b", va="center", size=9)
axis.plot(*point, "*", color="black", ms=12)
_ = axis.set(xlabel="x (m)", ylabel="z (m)", xlim=(-0.8, 4.8), aspect="equal")

# %% [markdown]
# No single factor turns the red numbers of {numref}`fig-protocol-wall` into the blue ones, and one factor for the whole
# video is all that the protocol allows.
#
# ## The choices
#
# A protocol here is a set of options with a name. `public` is what the released scripts do, `standard` what the
# field does with the defects mended. For video depth the options of
# {numref}`tab-protocol-options` differ:

# %% mystnb={"figure": {"caption": "Options in which the two protocols of video depth differ, what each decides, and the rows of the page of differences that say where it stands in the public code.", "name": "tab-protocol-options"}}
import pandas as pd
from page4d.evaluate import OPTIONS, STANDARD, differences

pd.set_option("display.max_colwidth", None)
rows = [
    (o, *pair, OPTIONS[o].text, OPTIONS[o].oddities)
    for o, pair in differences("videodepth").items()
]
columns = ["option", "public", "standard", "what it decides", "oddity"]
pd.DataFrame(rows, columns=columns).fillna("all")

# %% [markdown]
# The codes in its last column are rows of the page of [differences](../differences.md), which says where each stands in
# the public code. They are of three kinds. Some decide *what the network sees* (shape, cut portraits, number of frames):
# switching them needs the network. Some decide *what is compared with what* (which depth, where in the picture, which
# file): they work on stored predictions. And one decides *how well a fit was done*.

# %% [markdown]
# ## A perfect network
#
# How does one test a scorer? Like any instrument: by measuring something known. A scale is checked with a weight, and a
# benchmark with a network whose error is known to be nothing. If the scorer then says anything but 0, the protocol has said
# it. {cite:t}`northcutt2021errors` examine the labels of benchmarks in this spirit; here it is their procedure.
#
# Two sets of scenes: a camera on a tripod and one that moves; with `benchmark` and `root` set, the sequences of that
# data set take the place of both. The predictions are the truth itself: depth, poses and intrinsics. Every row
# of {numref}`tab-protocol-perfect` switches one option of the standard protocol to its public value.

# %%
import shutil
from dataclasses import replace

from page4d.evaluate import Planted, one_at_a_time, open_study, plant, printed

base = open_study("videodepth", benchmark, root=root)
worlds = {
    "still camera": {"camera_speed": 0.0, "tripod_chance": 1.0},
    "moving camera": {"camera_speed": (0.5, 1.5), "tripod_chance": 0.0},
}


# %%
def with_world(study, **changes):
    settings = dict(study.benchmark.settings or {})
    settings["world"] = {**settings.get("world", {}), **changes}
    return replace(study, benchmark=replace(study.benchmark, settings=settings))


studies = {name: with_world(base, **changes) for name, changes in worlds.items()}
if benchmark != "synthetic":
    studies = {benchmark: base}


# %%
def planted_scores(study, errors, protocols):
    """AbsRel of one planted network under each of several protocols."""
    means = {}
    for name, protocol in protocols.items():
        under_it = replace(study, protocol=protocol)
        folder = under_it.predictions("planted")
        if not folder.is_dir():  # the first protocol that shows a network these frames
            plant(under_it, "planted", errors)
        means[name] = under_it.score_folder(folder, "planted").mean["abs_rel"]
    # The next one goes to the same place; on a real data set each takes gigabytes.
    shutil.rmtree(study.out / "predictions" / "planted")
    return means


# %% mystnb={"figure": {"caption": "AbsRel of a perfect network under the standard protocol, with one option at a time switched to its public value, and with all of them (last row).", "name": "tab-protocol-perfect"}}
protocols = one_at_a_time("videodepth")
perfect = {
    name: planted_scores(study, Planted(), protocols) for name, study in studies.items()
}
printed(pd.DataFrame(perfect), 4)

# %% mystnb={"figure": {"caption": "AbsRel that the protocol alone gives a perfect network. One option of the standard protocol is switched at a time; the last row switches all.", "name": "fig-protocol-perfect"}}
from page4d.viz import option_bars

bars = option_bars(perfect)

# %% tags=["remove-input"]
from IPython.display import Markdown

last = list(perfect)[-1]
worst = max(list(protocols)[1:-1], key=lambda k: perfect[last][k])
text = (
    f"Under the standard protocol a perfect network scores {perfect[last]['standard']:.4f}. "
    f"With `{worst}` alone switched it scores {perfect[last][worst]:.3f} ({last})"
)
first = next(iter(perfect))
text += f", and {perfect[first][worst]:.4f} ({first})." if first != last else "."
Markdown(text)

# %% [markdown]
# The reason is the line of {numref}`fig-protocol-wall`: the script lifts each depth map into the *world* and keeps the last
# coordinate ([notation](../notation.md)),
#
# $$ z_\text{world} = \big( R^\top (z\, K^{-1} \mathbf{u} - \mathbf{t}) \big)_3 \quad \text{instead of} \quad z . $$
#
# That is the distance from the first camera's plane, not from the frame's own. On a tripod both are the same. With a
# camera that walks or turns they part, and no single scale brings them together. The ground truth has depth in each
# frame's own camera. Behind the first camera $z_\text{world}$ is even negative, and a relative error of a negative depth
# is whatever the scorer makes of it (E17).
#
# In {numref}`fig-protocol-perfect` each of the other options by itself changes nothing for a perfect network: it has no
# cropped rows, its depth is exact in every shape, and any fit finds a scale of one. In the last row they meet the error
# that world z makes, and then it matters which sequences the mean holds and how the scale is fitted, so that row need not
# be the one of `depth_source`. For a network with errors, below, some of them matter, too. This
# is also the limit of the method. A perfect answer finds what is *biased*; it does not find what only makes errors larger.
#
# ## Two networks under world z
#
# Which difference between two networks does world z show? Two series of planted networks: in the first, depth gets
# worse and poses are exact; in the second, depth is equally good and each camera is turned a little more.

# %%
moving = studies[list(studies)[-1]]
series = {
    "depth error (standard deviation of its logarithm)": [
        (sigma, Planted(depth_sigma=sigma)) for sigma in (0.0, 0.05, 0.1, 0.2)
    ],
    "rotation error (degrees about each axis)": [
        (angle, Planted(depth_sigma=0.05, rotation_deg=angle))
        for angle in (0.0, 2.0, 4.0, 8.0)
    ],
}
sources = {
    "own camera": STANDARD,
    "world z": replace(STANDARD, name="standard world_z", depth_source="world_z"),
}

# %%
curves = {}
for what, planted in series.items():
    rows = {size: planted_scores(moving, errors, sources) for size, errors in planted}
    for name, values in pd.DataFrame(rows).T.items():
        curves[what, name] = values

# %% mystnb={"figure": {"caption": "AbsRel of planted networks on moving cameras. Left: depth gets worse, poses are exact. Right: depth is equally good (standard deviation 0.05), rotations get worse.", "name": "fig-protocol-planted"}}
figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
for axis, what in zip(axes, series, strict=True):
    for name in sources:
        curves[what, name].plot(ax=axis, marker="o", label=name)
    axis.set(xlabel=what, ylabel="AbsRel", ylim=(0, None))
    axis.margins(y=0.1)
    axis.locator_params(axis="x", nbins=5)
legend = axes[0].legend()

# %% tags=["remove-input"]
left, right = ({n: curves[what, n] for n in sources} for what in series)
rise = {n: v.iloc[-1] - v.iloc[0] for n, v in left.items()}
gap = {n: v.iloc[-1] - v.iloc[0] for n, v in right.items()}
Markdown(
    f"From the first to the last network on the left, AbsRel rises by {rise['own camera']:.3f} in the own camera and by "
    f"{rise['world z']:.3f} in world z. On the right it rises by {gap['own camera']:.3f} and by "
    f"{gap['world z']:.3f}, although the depth is the same."
)

# %% [markdown]
# A good measure of depth would rise on the left of {numref}`fig-protocol-planted` and be level on the right. World z does
# two things. It adds the motion of the camera as the network sees it, which all networks with true poses
# pay, and which hides differences between good ones. And it adds the error of the pose, so a better video-depth score
# can be a better *pose*. PAGE-4D improves both over VGGT in the paper's tables; from these tables alone one cannot
# tell how much of the depth column is depth.
#
# ## A real network
#
# Options that change the input need the network to run again: squashed to a square, or with its shape kept. On made-up
# scenes two of them change nothing that the network sees, and are not run: there no picture is taller than wide, and no
# video has more than 120 frames. {numref}`tab-protocol-network` has all others, {numref}`fig-protocol-network` draws
# those that change anything.

# %% mystnb={"figure": {"caption": "AbsRel of each network under the standard protocol, with one option at a time switched to its public value, and with all of them (last row).", "name": "tab-protocol-network"}}
import page4d

idle = {"portrait", "max_frames"} if benchmark == "synthetic" else set()
protocols = {k: v for k, v in protocols.items() if k not in idle}
names = weights.split(",")
network = {}
for name in names:
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    for world, study in studies.items():
        rows = {k: replace(study, protocol=p) for k, p in protocols.items()}
        means = {k: s.run(model, name).mean["abs_rel"] for k, s in rows.items()}
        network[f"{name}, {world}"] = means
pd.DataFrame(network).round(4)

# %% mystnb={"figure": {"caption": "AbsRel of each network under the standard protocol, on moving cameras where the scenes are rendered, with one option switched at a time; the last row switches all. Options that change nothing are left out.", "name": "fig-protocol-network"}}
shown = {n.split(", ")[0]: v for n, v in network.items() if n.endswith(last)}
matters = [
    k
    for k in protocols
    if k == "standard" or any(abs(v[k] - v["standard"]) >= 5e-4 for v in shown.values())
]
bars = option_bars({n: {k: v[k] for k in matters} for n, v in shown.items()})

# %% tags=["remove-input"]
told, minus = [], "\N{MINUS SIGN}"
for name, values in network.items():
    changes = {k: values[k] - values["standard"] for k in list(protocols)[1:]}
    seen = ", ".join(f"`{k}` {v:+.3f}" for k, v in changes.items() if abs(v) >= 5e-4)
    told.append(f"- {name}: {seen.replace('-', minus) or 'none'}")
Markdown("Changes of AbsRel against the standard protocol:\n\n" + "\n".join(told))

# %% tags=["remove-input"]
moved = [v["depth_source"] - v["standard"] for v in network.values()]
by_world = dict(zip(network, moved, strict=True))
largest, truth_pays = max(map(abs, moved)), perfect[last]["depth_source"]
who = "these networks" if len(names) > 1 else "this network"
text = f"World z changes the AbsRel of {who} by at most {largest:.4f}; a perfect one pays {truth_pays:.4f}. "
if largest < 0.1 * truth_pays:
    text += (
        "That does not make it harmless. The predicted cameras hardly move, and for a camera that stands still, "
        "world z *is* the depth in the own camera. A network that ignores the camera's motion escapes a price that a "
        "network with true poses pays. "
    )
tripod = [v for n, v in by_world.items() if n.endswith("still camera")]
if tripod and max(map(abs, tripod)) >= 0.002:
    text += (
        "On a tripod too a network pays, as far as it believes that the camera moved."
    )
elif tripod:
    text += f"On a tripod the two depths are nearly the same for {who}, too."
Markdown(text)

# %% [markdown]
# ## Portraits
#
# An image that is taller than wide is cut to a square by the released loader, and the prediction is then stretched
# over the whole ground truth, so nothing is where it belongs (E2). DyCheck is made of portraits: of a 3:4 picture the
# middle three quarters remain, and what belongs to them is compared with all four quarters. A mug that the network saw at
# the edge of the cut is scored against the tabletop below it. {numref}`tab-protocol-portrait` has each network on
# rendered scenes in portrait format, or on the data set of this page. A data set without portraits is cut nowhere, and its three rows are alike:

# %%
tall = base
if benchmark == "synthetic":
    size = base.benchmark.settings["world"]
    tall = with_world(base, height=size["width"], width=size["height"])
choices = {
    "all rows, in their place": {},
    "cut, in its place": {"portrait": "crop"},
    "cut, stretched": {"portrait": "crop", "registration": "stretch"},
}
portrait = {}
for name in names:
    model = page4d.PAGE4D.from_pretrained(name, device=device)
    rows = {
        k: replace(tall, protocol=replace(STANDARD, name=k, **v))
        for k, v in choices.items()
    }
    portrait[name] = {k: s.run(model, name) for k, s in rows.items()}

# %% mystnb={"figure": {"caption": "AbsRel with all rows of a portrait, and with the released loader's cut in its place or stretched, and the share of the truth that is compared.", "name": "tab-protocol-portrait"}}
first = portrait[names[0]]
covered = {
    k: np.mean([q.notes["covered"] for q in s.sequences if q.error is None])
    for k, s in first.items()
}
errors = {n: {k: s.mean["abs_rel"] for k, s in p.items()} for n, p in portrait.items()}
pd.DataFrame({**errors, "share of the truth compared": covered}).round(3)

# %% tags=["remove-input"]
from page4d.evaluate import between

told = [
    f"`{n}` {between(p['cut, stretched'], p['cut, in its place'], 'abs_rel')}"
    for n, p in portrait.items()
]
Markdown(
    f"What stretching does to AbsRel, beside the cut in its place: {'; '.join(told)}. Here each sequence counts the same; "
    "the table weighs them by the pixels that are compared. Its rows also compare different pixels, and the first gives "
    "the network a narrower picture."
)

# %% [markdown]
# ## A sequence left out
#
# The released video script skips one Sintel sequence, `market_5`, in video depth and nowhere else (E3). How much does a
# mean over this benchmark move when one sequence is missing?

# %%
scores = moving.score(names[0])
kept = [s for s in scores.sequences if s.error is None]


def mean_of(sequences):
    weight = sum(s.weight for s in sequences)
    return sum(s.weight * s.values["abs_rel"] for s in sequences) / weight


without = {s.name: mean_of([q for q in kept if q is not s]) for s in kept}
change = pd.Series(without) - mean_of(kept)
change.rename("change of AbsRel without this sequence").round(4).to_frame()

# %% tags=["remove-input"]
from page4d.evaluate import quoted_rows

rows_of = {
    (r.dataset, r.method): r.values for r in quoted_rows("videodepth", align="scale")
}
gains = [
    1 - rows_of[d, "PAGE-4D"]["abs_rel"] / rows_of[d, "VGGT"]["abs_rel"]
    for d, _ in rows_of
]
Markdown(
    f"Of {len(kept)} sequences one is worth up to {100 * change.abs().max() / mean_of(kept):.0f} % of the mean. The paper's "
    f"networks differ by {100 * min(gains):.0f} % to {100 * max(gains):.0f} % in this measure (quoted)."
)

# %% [markdown]
# A sequence that is left out is no reason to suspect anybody; it is a reason to pair by sequence and to give intervals,
# as the verdicts of this book do.
#
# ## What this can and cannot explain
#
# Other papers have a row of VGGT on the same data sets, too. Here they stand beside the row of the PAGE-4D paper:

# %%
from page4d.evaluate import quoted_table

printed(quoted_table(quoted_rows("vggt elsewhere")))

# %% [markdown]
# A planted network of about the depth error that other papers report for VGGT on Bonn, scored in both ways:

# %%
alike = planted_scores(moving, Planted(depth_sigma=0.08), sources)
pd.Series(alike, name="AbsRel").round(3).to_frame()

# %% tags=["remove-input"]
rows = {r.variant: r.values for r in quoted_rows("vggt elsewhere", "bonn")}
published = rows["PAGE-4D paper"]["abs_rel"]
excess = published - rows["other papers, highest"]["abs_rel"]
added = alike["world z"] - alike["own camera"]
Markdown(
    f"*Depth.* The published excess on Bonn is {excess:.3f}. On the sequences of this page ({last}) world z adds "
    f"{added:.3f} to a network of AbsRel {alike['own camera']:.3f}: {100 * added / excess:.0f} % of that excess. The share "
    "on Bonn itself depends on how far its cameras move against the size of its rooms, which this page does not know."
)

# %% [markdown]
# *Poses.* World z does not enter a trajectory. What remains for TUM is the squash of the input, which
# {numref}`tab-protocol-network` prices for the networks of this page and depth only, the choice of frames, and the run
# itself. The built-in networks were trained on other shapes than VGGT, so their price of the squash is not VGGT's. **This
# experiment does not explain the pose gap.**
#
# What would: VGGT's released weights through both protocols on Bonn and TUM.
#
# ```bash
# page4d evaluate run benchmark=videodepth-bonn root=data/bonn weights=vggt protocol=public out=evaluation
# page4d evaluate run benchmark=videodepth-bonn root=data/bonn weights=vggt protocol=standard out=evaluation
# page4d evaluate run benchmark=pose-tum root=data/tum weights=vggt protocol=public out=evaluation
# page4d evaluate run benchmark=pose-tum root=data/tum weights=vggt protocol=standard out=evaluation
# page4d evaluate table out=evaluation
# ```
#
# Until that is run, the two columns of a published table compare two networks under one protocol, and rows of
# different papers do not compare at all.
#
# ## Recap
#
# - Test a scorer with an answer whose error you know, before you believe it about one whose error you do not.
# - World z charges depth for the camera's motion and for errors of poses. On a tripod nobody notices.
# - Options that decide what the network sees need another run; all others are another look at the same files.
# - Rows of one table under one protocol compare; rows of different papers do not, until somebody has run both.
#
# ## Exercises
#
# **1.** How much error does world z give a perfect network whose camera only turns, by an angle $a$ in every frame but the
# first, in front of a wall at distance 1? Compute it for a field of view of 60 degrees.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
x = np.tan(np.radians(30)) * np.linspace(-1, 1, 201)
for degrees in (0, 5, 10, 20):
    a = np.radians(degrees)
    depth = 1 / (np.cos(a) - x * np.sin(a))  # own depth of the wall, a ray at slope x
    world = depth * (np.cos(a) - x * np.sin(a))  # z in the first camera: the wall's 1
    scale = np.median(depth) / np.median(world)
    error = np.mean(np.abs(scale * world - depth) / depth)
    print(f"{degrees} degrees: AbsRel {error:.3f}")

# %% [markdown]
# **2.** Two planted networks: A has the better depth, B the better poses. Find sizes of errors for which the two
# protocols rank them differently.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
two = {
    "A": Planted(depth_sigma=0.05, rotation_deg=12),
    "B": Planted(depth_sigma=0.07),
}
rows = {x: planted_scores(moving, errors, sources) for x, errors in two.items()}
ranks = pd.DataFrame(rows).T
for name, found in ranks.items():
    print(f"{name}: {found.idxmin()} is ahead")
ranks.round(3)

# %% [markdown]
# **3.** Could a shift of all files by one frame be found with a perfect network? Score one whose depth maps are each
# their neighbour's, for a still and a moving camera.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
from page4d.evaluate import DepthOptions, depth_errors

for name, study in studies.items():
    late = []
    for sequence in study.sequences():
        truth = np.stack([sequence.read_depth(path) for path in sequence.depths])
        options = DepthOptions("l1_scale")
        late.append(depth_errors(np.roll(truth, 1, 0), truth, options).abs_rel)
    print(f"{name}: AbsRel {np.mean(late):.3f}")
# Where the camera stands still, only what moves gives it away.

# %% [markdown]
# **4.** Suppose two networks are equally good and the sequences of a benchmark differ as in the table above. How often
# does leaving out one sequence change which of them is ahead? Draw their errors and count.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
each = np.array([q.values["abs_rel"] for q in kept])
rng = np.random.default_rng(0)
turned = 0
for _ in range(2000):
    one, other = (each * np.exp(rng.normal(0, 0.1, len(each))) for _ in range(2))
    ahead = (one - other).sum() < 0
    without_one = (one - other).sum() - (one - other)
    turned += bool(((without_one < 0) != ahead).any())
print(f"in {turned / 20:.0f} % of the draws some sequence decides the ranking")

# %% [markdown]
# ## Further reading
#
# {cite:t}`musgrave2020reality` and {cite:t}`recht2019imagenet` ran old methods under one protocol and a new test set;
# {cite:t}`northcutt2021errors` look for errors in the tests themselves. {cite:t}`zhang2018trajectory` do for trajectories
# what this page does for depth. The released scripts descend from those of {cite:t}`zhang2025monst3r` and
# {cite:t}`wang2025cut3r`; every difference to them that we found stands on the page of [differences](../differences.md).
