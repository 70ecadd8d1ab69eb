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
# **You will learn** what three clocks do to one recording, how frames are chosen for the published TUM and Bonn numbers, what
# the manifest adds to them, how one missing depth map shifts a whole sequence, and how to see which poses a Bonn
# sequence really needs.
#
# **Needs**: seconds on any computer. With the downloads at hand:
#
# ```bash
# papermill notebooks/07_preparing_tum_and_bonn.ipynb mine.ipynb \
#     -p source data/tum/rgbd_dataset_freiburg3_walking_xyz -p frames 90 \
#     -p bonn data/bonn/rgbd_bonn_balloon2 -p bonn_first 30 -p bonn_frames 110
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
# The RGB-D benchmark of Munich {cite}`sturm2012tum` was filmed with a Kinect, carried by hand or on a robot, in a hall with
# motion capture cameras; Bonn's {cite}`palazzolo2019bonn` with a sensor of that kind, and with people, balloons and boxes
# that move. Both have the same layout: two folders of images and three index files. Depth and colour come from two sensors of one
# device that do not fire together, the poses from the motion capture at about 100 Hz, with a clock of its own. Nothing says which
# belong together but the time stamps.

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
# One look at the clocks before any rule:

# %%
import matplotlib.pyplot as plt
import numpy as np


def stamps_of(name):
    """Time stamps of an index file, in seconds."""
    lines = (sequence / name).read_text().splitlines()
    return np.array([float(x.split()[0]) for x in lines if x and x[0] != "#"])


kinds = {"colour": "rgb.txt", "depth": "depth.txt", "pose": "groundtruth.txt"}
clocks = {kind: stamps_of(name) for kind, name in kinds.items()}
middle = len(clocks["colour"]) // 2
begin = clocks["colour"][middle] - 0.25

# %% mystnb={"figure": {"caption": "Half a second of the recording. Each mark is one line of an index file. A line joins a colour image with the depth map that is nearest to it, unless that is more than 40 ms away.", "name": "fig-prepare-clocks"}} tags=["hide-input"]
figure, axis = plt.subplots(figsize=(5.6, 2.6), layout="constrained")
for row, (kind, stamps) in enumerate(clocks.items()):
    near = stamps[(stamps > begin) & (stamps < begin + 0.5)]
    axis.plot(1000 * (near - begin), np.full(len(near), row), "|", ms=16)
    if kind == "colour":
        images = near
for stamp in images:
    partner = clocks["depth"][np.abs(clocks["depth"] - stamp).argmin()]
    if abs(partner - stamp) <= 0.04:
        axis.plot([1000 * (t - begin) for t in (stamp, partner)], [0, 1], "0.6", lw=1)
axis.set(xlabel="time (ms)", yticks=range(3), yticklabels=clocks, ylim=(2.5, -0.5))
axis.grid(visible=False)

# %% [markdown]
# Read {numref}`fig-prepare-clocks` row against row. Marks of depth do not stand below those of colour, and in a real
# recording those of the poses have times of their own, too: a device that says "30 images a second" means it on average.
# Some marks are missing, here because we took them out, elsewhere because the computer that recorded was busy. And an
# image beside a gap may find a partner that is another image's as well. Whoever pairs by counting lines goes wrong from
# the first gap on, for good.
#
# How much does a wrong partner matter? Say a hand-held camera turns by 30 degrees a second. In 20 ms that is 0.6
# degrees, or five pixels at the focal length of a Kinect: one sees it at edges. A third of a second, which is what a
# shift by ten images makes, is a different view.
#
# ## Which frames
#
# The published numbers use this rule: colour images and poses are paired closest first, if they are less than 20 ms
# apart, and each is used once; every third pair is kept, 90 of them; each takes the depth map nearest in time, if that
# is within 40 ms. In a formula, with the stamps $a_i$ of images and $b_j$ of poses ([notation](../notation.md)): among all pairs with $|a_i - b_j| < 20$ ms
# take the one with the smallest difference, strike out its image and its pose, and repeat until no pair is left. This is
# the `associate.py` of the benchmark, from there it went into the scripts of {cite:t}`zhang2025monst3r` and of PAGE-4D. The
# stride counts *pairs*, not images: an image without a pose vanishes before each third one is taken, so two readers with
# different poses choose different images.
#
# Why closest first, and not the nearest pose for each image? Two images at 0 and 30 ms, poses at 14 and 60: the nearest
# pose of both is the one at 14, and giving it to both would say that the camera stood still between them. Closest first
# gives it to the image at 0, which is nearer by 2 ms. The other image finds nothing within 20 ms and is dropped, although
# a pose was written down 30 ms later: the rule would rather lose an image than give it a place where it was not taken.
#
# Three choices hide in the rule. Of all pairs every third is kept until there are 90: at 30 images a second that is nine
# seconds of film, so a sequence of a minute is judged by its beginning. A depth map may serve two images, a pose may not. And an image *without* depth stays in: the pose
# benchmark needs none.
#
# `page4d prepare tum` follows the rule exactly. It reads and checks everything before it writes anything.

# %%
from page4d.prepare import tum

options = tum.TUMPlanOptions(frames=frames, stride=stride, allow_fewer=True)
plan = tum.plan_tum(sequence, work / "tum", options)
print(
    f"{len(plan.manifest.frames)} of {frames} frames asked for, {len(plan.files)} files;",
    ", ".join(plan.notes) or "every frame has its depth map",
)

# %% mystnb={"figure": {"caption": "How far the chosen pose and the chosen depth map are from each colour image, in milliseconds. A gap is a frame without depth.", "name": "fig-prepare-offsets"}}
rows = plan.manifest.frames
pose_ms = [1000 * (row.pose_s - row.image_s) for row in rows]
depth_ms = [
    np.nan if row.depth_s is None else 1000 * (row.depth_s - row.image_s)
    for row in rows
]
figure, axis = plt.subplots(figsize=(5.4, 2.6), layout="constrained")
axis.plot(pose_ms, "o", label="pose")
axis.plot(depth_ms, "s", label="depth map")
axis.set(xlabel="frame of the benchmark", ylabel="after the image (ms)")
_ = axis.legend()

# %% [markdown]
# ## What is written
#
# {numref}`fig-prepare-offsets` is worth a look for each recording. Points that scatter about a line other than zero mean a
# constant delay between the clocks, which can be taken out (exercise 1); a slope means that one clock runs faster, which
# in a long recording cannot be left alone {cite}`furgale2013kalibr`.
#
# The folders have the names that public evaluation code expects. New is the manifest: it pairs files by name and holds
# the checksum of each. A second run finds everything in place and writes nothing; an interrupted run continues; a file
# that this command did not write is never touched. The public script deletes the images that it finds in its output
# folder and copies anew; whether a run was interrupted, its folder does not say.

# %%
print("written" if write_plan(plan) else "already complete")
print("written" if write_plan(plan) else "already complete")
print(sorted(path.name for path in (work / "tum").iterdir()))
print(rows[0])

# %% [markdown]
# ## Why pairing by position fails
#
# Public loaders sort both folders and take the n-th of each. A frame without depth has no file, so from there on every
# image gets the depth map of the next frame. The public preparation script makes just such folders: it writes the image
# and the pose of a frame without depth, and skips the depth. No error is raised, and every picture, looked at by itself,
# is fine.

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
# just that; `--protocol time` takes the same images and gives each its own pose; both report how far they are apart. The
# scripts do not say why the first 30 images are left out and why 110 are taken; both numbers came with the scripts of an
# earlier paper {cite}`zhang2025monst3r`. Such choices travel from table to table long after their reason has been forgotten.
#
# The small run writes the trajectory at three rows per image, as motion capture would.

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
    chosen = prepare_bonn.BonnPlanOptions(
        protocol, bonn_first, bonn_frames, allow_fewer=True
    )
    plan = prepare_bonn.plan_bonn(folder, work / protocol, chosen)
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
# In {numref}`fig-prepare-bonn` both trajectories have the same number of poses. The one that is paired by row starts
# elsewhere and covers another part of the way, and a shorter one where rows come more often than images. An ATE
# against the wrong part is not infinite, it is merely large, or, where the camera moves little, even small: a
# similarity is fitted first, and short paths resemble each other ([Camera pose](12_camera_pose.ipynb)).
#
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
#
# ## What else goes wrong
#
# - **Scale of depth.** Both data sets store depth in 16 bits with 5,000 steps per metre, not the usual 1,000. A reader with the
#   wrong number makes rooms five times too deep, and poses then no longer fit; [Looking at the data](08_looking_at_the_data.ipynb) finds it.
# - **Intrinsics.** The sequences of `freiburg3` come from a camera whose images were undistorted; its focal length is 535.4
#   px across. The public training loader uses 525 for all, which is the factory's value: 2 %.
# - **Sensor and body.** Bonn's poses are those of markers on the camera, and between them and the sensor lies a fixed
#   transform. The one in the public loader holds a scale of 1.06, so that its inverse is not its transpose.
# - **Names as numbers.** Files are called by their stamps, sometimes without trailing zeros: sorted as text, frame 9.5
#   stands after frame 10.25.
#
# ## Recap
#
# - Three clocks make a recording; only time stamps say what belongs together.
# - Choosing frames is part of a benchmark. Two readers who choose differently have two benchmarks.
# - Pair by name or by time, never by place in a list, and write down what was paired.
# - A protocol that is wrong can still be wanted, to compare with published rows. Then keep it, under its name.
#
# ## Exercises
#
# **1.** Estimate the delay of the depth clock from the offsets, and take it out. How many images lie nearer than 5 ms to
# their depth map before and after?


# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
def offsets(delay):
    """From each colour image to the nearest depth map, in seconds."""
    depth = clocks["depth"] - delay
    return np.array([depth[np.abs(depth - t).argmin()] - t for t in clocks["colour"]])


delay = np.median(offsets(0.0))
print(f"the depth clock is {1000 * delay:.0f} ms late in the median")
for name, shift in (("before", 0.0), ("after", delay)):
    print(f"{name}: {100 * np.mean(np.abs(offsets(shift)) < 0.005):.0f} % within 5 ms")

# %% [markdown]
# **2.** How far does this camera go, and how far does it turn, in the 20 ms that the rule allows?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
from scipy.spatial.transform import Rotation

first = np.loadtxt(work / "tum" / f"groundtruth_{frames}.txt")
seconds = np.diff(first[:, 0])
metres = np.linalg.norm(np.diff(first[:, 1:4], axis=0), axis=1)
turns = Rotation.from_quat(first[:, 4:])
degrees = np.degrees((turns[:-1].inv() * turns[1:]).magnitude())
print(f"in 20 ms: {1000 * np.median(0.02 * metres / seconds):.1f} mm", end=", ")
print(f"{np.median(0.02 * degrees / seconds):.2f} degrees (medians)")

# %% [markdown]
# **3.** Suppose one depth map in a hundred is lost. In a sequence of 90 frames that is read by position, how many images
# have a wrong partner on average?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
rng = np.random.default_rng(0)
lost = rng.random((20_000, 90)) < 0.01
wrong_now = (np.cumsum(lost, axis=1) > 0).mean(0)
print(f"{90 * wrong_now.mean():.0f} of 90", end=", ")
closed = sum(1 - 0.99 ** (i + 1) for i in range(90))
print(f"in closed form {closed:.1f}")
# From the first loss on every image is wrong, and the first loss comes early.

# %% [markdown]
# **4.** Stamps as text: sort `9.5`, `10.25` and `10.5` both ways.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
names = ["9.5.png", "10.25.png", "10.5.png"]
print("as text:   ", sorted(names))
print("as numbers:", sorted(names, key=lambda name: float(name.removesuffix(".png"))))

# %% [markdown]
# ## Further reading
#
# {cite:t}`sturm2012tum` and {cite:t}`palazzolo2019bonn` describe the recordings; {cite:t}`khoshelham2012kinect` what the
# depth of their sensor is worth; {cite:t}`furgale2013kalibr` how clocks of several sensors are calibrated properly.
# {cite:t}`zhang2025monst3r` and {cite:t}`wang2025cut3r` are the papers whose choice of frames PAGE-4D follows.
