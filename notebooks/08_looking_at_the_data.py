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
# # Looking at the data
#
# Wrong data train quietly: the loss still falls. This chapter looks at a dataset before that, and names what is wrong.
#
# **You will learn** what `page4d check-data` measures, how it tells an inverted pose from a flipped axis, a wrong scale
# and a shifted depth map, and when it cannot tell.
#
# **Needs**: seconds of any computer for the small run, a minute or two for a real dataset:
#
# ```bash
# papermill notebooks/08_looking_at_the_data.ipynb mine.ipynb -p loader sintel -p root data/sintel
# ```
#
# **The small run** writes two synthetic scenes as a TUM download and looks at that.

# %% tags=["parameters"]
loader = "tum"
root = ""
clips = 4
frames = 6
width = 64

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %%
import tempfile
from pathlib import Path

from page4d.prepare import SyntheticOptions, plan_scenes, write_plan

work = Path(tempfile.mkdtemp())
options = SyntheticOptions(
    "static-train", scenes=2, frames=24, height=48, width=64, frame_rate_hz=10
)
if not root:
    for _, plan in plan_scenes(work / "download", options):
        write_plan(plan)

# %% [markdown]
# ## One call
#
# Clips are drawn at two strides: neighbouring frames show a depth map that belongs to the wrong image, distant frames
# have the parallax that shows a wrong scale.

# %%
from page4d.check import CheckSettings, inspect, write_report
from page4d.data import ingredient_from

entry = {"loader": loader, "root": root or str(work / "download")}
dataset = ingredient_from(entry)
settings = CheckSettings(clips=clips, frames=frames, width=width, show=1)
report = inspect(loader, dataset, work, settings)
print(f"{report.about}: {report.verdict}")
for finding in report.findings:
    print(f"   {finding.level}: {finding.text}")

# %% mystnb={"figure": {"caption": "A clip as training sees it: pictures, and depth with one colour scale.", "name": "fig-check-clip"}}
from page4d.viz import clip_sheet

sheet = clip_sheet(report.samples[0].clip)

# %% [markdown]
# ## What is measured
#
# Pixels that stand still are lifted by their depth, carried into another frame by the poses, and compared there with
# its depth and its colours. `reprojection_px` is how far such a pixel misses itself after going there and back.

# %%
import pandas as pd

wanted = [
    "valid_share",
    "landed_share",
    "agreeing_share",
    "reprojection_px",
    "depth_error_relative",
    "fov_deg",
]
values = {name: getattr(report.numbers, name) for name in wanted}
pd.Series(values, name=loader).round(4).to_frame()

# %% [markdown]
# ## How a mistake is named
#
# The share of pixels that agree is computed for the data as they are and again under every known mistake: poses
# inverted, camera axes flipped, quaternions read in another order, depth scaled against the poses, depth or poses up to
# five frames off. In good data nothing explains more than the data themselves.

# %%
import matplotlib.pyplot as plt


def best_of(found):
    kinds = {
        "poses": found.poses,
        "depth scale": found.scales,
        "depth pairing": found.shifts,
    }
    return {"as they are": found.as_is} | {
        kind: max(v for _, v in scored) for kind, scored in kinds.items()
    }


# %% mystnb={"figure": {"caption": "Share of still pixels that agree between frames (0 to 1): as the data are, and with the best hypothesis of each kind undone.", "name": "fig-check-scores"}}
shares = best_of(report.diagnosis)
figure, axis = plt.subplots(figsize=(6, 2.2))
axis.barh(
    list(shares),
    list(shares.values()),
    color=["#2b62c4", "#9aa3b2", "#9aa3b2", "#9aa3b2"],
)
axis.set(xlabel="share of still pixels that agree", xlim=(0, 1))
axis.invert_yaxis()

# %% [markdown]
# ## Mistakes on purpose
#
# The same clips with one mistake each. The first words of the answer name it.

# %%
from dataclasses import replace

import torch
from page4d.check import diagnose, draw_clips, judge, measure, verdict
from page4d.geometry import invert

good = draw_clips(dataset, settings)
opengl = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
planted = {
    "poses inverted": lambda c: replace(c, cam_from_world=invert(c.cam_from_world)),
    "OpenGL axes": lambda c: replace(c, cam_from_world=opengl @ c.cam_from_world),
    "depth times 4": lambda c: replace(c, depth=c.depth * 4),
    "depth one frame early": lambda c: replace(c, depth=c.depth.roll(-1, 0)),
}

# %%
for name, plant in planted.items():
    wrong = [plant(clip) for clip in good]
    findings = judge(measure(wrong), diagnose(wrong))
    print(f"{name}: {verdict(findings)}\n   {findings[0].text}")

# %% [markdown]
# ## What the datasets say about motion
#
# Pixels that move are left out of the comparison where a dataset marks them. Where it does not, all pixels take part,
# and what moves lowers the share that agrees.
#
# | dataset | moving mask | instances | tracks | flow |
# |---|---|---|---|---|
# | PointOdyssey | none | `masks/` | `anno.npz` | none |
# | Dynamic Replica | `masks/` (people and animals) | not read | `trajectories/` | not read |
# | Kubric | bodies whose pose changes | `segmentation_*.png` | `page4d prepare kubric-tracks` | none |
# | Spring | maps of non-rigid motion | none | none | not read |
# | CO3D | nothing moves | none | none | none |
# | Waymo | boxes faster than 0.5 m/s | not read | none | none |
# | MPI Sintel | none | none | none | `flow/` |
# | DyCheck, Bonn, TUM | none | none | none | none |
# | RLBench | none | `*_mask/` | none | none |
# | your own folders | `moving/` | none | none | none |
#
# *None* is not in the release. What is *not read* is there: Dynamic Replica's instance ids are in no documented
# encoding, and the flow of the two films and the boxes' identities are of no use to this training.

# %% [markdown]
# ## What it cannot tell
#
# A camera on a tripod has no direction of motion to get wrong, and a camera that only turns shows no scale: then the
# verdict is *not decided*. Where bodies move in front of a still camera, a shifted depth map still shows, because the
# edges of depth no longer lie on edges of the picture. A mistake that no hypothesis knows gives a low agreement without
# a name. And a scale that is wrong by less than about a third passes.
#
# ## The page
#
# `page4d check-data` does this for every dataset of a configuration and writes one page with numbers, pictures, tracks
# and videos, with point clouds beside it. It ends with exit code 1 if a dataset is wrong.
#
# ```bash
# page4d check-data data=sintel paths.sintel=data/sintel --out sintel_check
# page4d check-data experiment=paper paths.data=/datasets --clips 20
# ```

# %%
page = write_report([report], work)
kilobytes = page.stat().st_size / 1024
print(
    f"{page.name}: {kilobytes:.0f} kB, and {', '.join(sorted(p.name for p in work.glob('*.ply')))}"
)
