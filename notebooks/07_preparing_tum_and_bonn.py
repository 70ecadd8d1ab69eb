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
# # Preparing TUM and Bonn
#
# A benchmark folder is right when every image stands beside its own depth map and its own pose; this chapter makes
# such folders from the raw downloads and shows how the usual way goes wrong.
#
# **You will learn** how frames are chosen for the published TUM and Bonn numbers, what the manifest adds to them, how
# one missing depth map shifts a whole sequence, and how to see which poses a Bonn sequence really needs.
#
# **Needs**: seconds of any computer. With the downloads at hand:
#
# ```bash
# papermill notebooks/07_preparing_tum_and_bonn.ipynb mine.ipynb -p source data/tum/rgbd_dataset_freiburg3_walking_xyz \
#   -p frames 90 -p bonn data/bonn/rgbd_bonn_balloon2 -p bonn_first 30 -p bonn_frames 110
# ```
#
# **The small run** films a synthetic room and stores it as a download, with a sensor whose depth comes late.

# %% tags=["parameters"]
source = ""
frames = 12
stride = 3
bonn = ""
bonn_first = 5
bonn_frames = 20

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## A download
#
# A TUM sequence is two folders of images and three index files. Depth and colour come from two sensors with their own
# clocks, the poses from motion capture at 100 Hz. Nothing says which belong together but the time stamps.

# %%
import tempfile
from pathlib import Path

from page4d.prepare import SyntheticOptions, plan_scenes, write_plan

work = Path(tempfile.mkdtemp())
options = SyntheticOptions(scenes=1, first=2, frames=40, height=48, width=64)
sequence = Path(source)
if not source:
    ((sequence, plan),) = plan_scenes(work / "download", options)
    write_plan(plan)
for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
    lines = (sequence / name).read_text().splitlines()
    print(f"{name}: {len(lines)} lines, the last is\n   {lines[-1]}")

# %% [markdown]
# The synthetic sensor is too good. Its depth now gets 11 ms of delay, and three depth maps in a row are lost, so that one
# image of the benchmark finds none in time. Both happen in real recordings.


# %%
def late(line):
    stamp, name = line.split()
    return f"{float(stamp) + 0.011:.6f} {name}"


if not source:
    index = sequence / "depth.txt"
    lines = index.read_text().splitlines()[1:]
    lost = range(len(lines) // 2 - 1, len(lines) // 2 + 2)
    kept = [late(line) for i, line in enumerate(lines) if i not in lost]
    index.write_text("# timestamp filename\n" + "\n".join(kept) + "\n")

# %% [markdown]
# ## Which frames
#
# The published numbers use this rule: colour images and poses are paired closest first, if they are less than 20 ms
# apart, and each is used once; every third pair is kept, 90 of them; each takes the depth map nearest in time, if that
# is within 40 ms. `page4d prepare tum` follows it exactly. It reads and checks everything before it writes anything.

# %%
from page4d.prepare import tum

options = tum.TUMPlanOptions(frames=frames, stride=stride, allow_fewer=True)
plan = tum.plan_tum(sequence, work / "tum", options)
print(
    f"{len(plan.manifest.frames)} frames, {len(plan.files)} files; {', '.join(plan.notes) or 'nothing is missing'}"
)

# %% mystnb={"figure": {"caption": "How far the chosen pose and the chosen depth map are from each colour image, in milliseconds. A gap is a frame without depth.", "name": "fig-prepare-offsets"}}
import matplotlib.pyplot as plt
import numpy as np

rows = plan.manifest.frames
pose_ms = [1000 * (row.pose_s - row.image_s) for row in rows]
depth_ms = [
    np.nan if row.depth_s is None else 1000 * (row.depth_s - row.image_s)
    for row in rows
]
figure, axis = plt.subplots(figsize=(7, 2.6))
axis.plot(pose_ms, "o", label="pose")
axis.plot(depth_ms, "s", label="depth map")
axis.set(xlabel="frame of the benchmark", ylabel="after the image (ms)")
_ = axis.legend()

# %% [markdown]
# ## What is written
#
# The folders have the names that public evaluation code expects. New is the manifest: it pairs files by name and holds
# the checksum of each. A second run finds everything in place and writes nothing; an interrupted run continues; a file
# that this command did not write is never touched.

# %%
print("written" if write_plan(plan) else "already complete")
print("written" if write_plan(plan) else "already complete")
print(sorted(path.name for path in (work / "tum").iterdir()))
print(rows[0])

# %% [markdown]
# ## Why pairing by position fails
#
# Public loaders sort both folders and take the n-th of each. A frame without depth has no file, so from there on every
# image gets the depth map of the next frame.

# %%
by_name = [row.depth for row in rows]
by_position = sorted({name for name in by_name if name})
wrong = [
    i
    for i, name in enumerate(by_name)
    if name != (by_position[i] if i < len(by_position) else None)
]
print(
    f"paired by position, {len(wrong)} of {len(rows)} images would get a wrong depth map or none"
)

# %% [markdown]
# ## Bonn
#
# The published selection takes entries 30 to 139 of three lists: colour images, depth images, rows of
# `groundtruth.txt`. That is right only if there is one row for each image. `page4d prepare bonn --protocol public` does
# just that; `--protocol time` takes the same images and gives each its own pose; both report how far they are apart.
#
# The small run writes the trajectory at three rows an image, as motion capture would.

# %%
from page4d.prepare import bonn as prepare_bonn

if not bonn:
    poses = np.loadtxt(sequence / "groundtruth.txt")
    at = np.arange(0, len(poses) - 1, 1 / 3)
    dense = np.stack(
        [np.interp(at, np.arange(len(poses)), column) for column in poses.T], -1
    )
    np.savetxt(sequence / "groundtruth.txt", dense, fmt="%.6f")
folder = Path(bonn) if bonn else sequence
for protocol in ("public", "time"):
    chosen = prepare_bonn.BonnOptions(
        protocol, bonn_first, bonn_frames, allow_fewer=True
    )
    plan = prepare_bonn.plan_sequence(folder, work / protocol, chosen)
    write_plan(plan)
    print(f"{protocol}: {len(plan.manifest.frames)} frames")
print(plan.notes[0])

# %% mystnb={"figure": {"caption": "Camera paths that the two protocols give to the same images, seen from above. Where rows and images do not come at the same rate, the published pairing uses another part of the path.", "name": "fig-prepare-bonn"}}
figure, axis = plt.subplots(figsize=(5, 4))
for protocol, style in (("public", "o-"), ("time", "s-")):
    path = np.loadtxt(work / protocol / f"groundtruth_{bonn_frames}.txt")
    axis.plot(path[:, 1], path[:, 3], style, markersize=3, label=protocol)
axis.set(xlabel="x (m)", ylabel="z (m)", aspect="equal")
_ = axis.legend()

# %% [markdown]
# ## On the command line
#
# ```bash
# page4d prepare tum data/tum --out prepared/tum
# page4d prepare bonn data/bonn --out prepared/bonn --protocol time
# page4d prepare kubric-tracks data/kubric
# page4d prepare synthetic dynamic-test --out data/synthetic
# ```
#
# Training and evaluation do not need these folders: `page4d.data.datasets.TUM` and `Bonn` read the downloads
# themselves. The folders are for code of others, and for comparing with it.
