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
# # Adding your own data set
#
# A recording becomes training and test data once its images, depth and cameras stand in one folder and agree.
#
# **You will learn** which files to write, which four conventions they follow, how to see in a minute whether
# axes, units and pairing are right, how to train on the result, and how to write a loader when the files already exist in
# another layout.
#
# **Needs**: half an hour of yours, seconds on any computer. For your own recording:
#
# ```bash
# papermill notebooks/09_adding_your_own_dataset.ipynb mine.ipynb -p root my/recordings -p sequence kitchen
# ```
#
# **The small run** has no recording, so it films a synthetic room first and writes the files as you would.

# %% tags=["parameters"]
root = ""
sequence = "kitchen"
depth_per_unit = 1000.0
frames = 8

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## The files
#
# One folder for each sequence, under one root:
#
# ```text
# root/kitchen/
#   images/000000.png       8-bit colour, PNG or JPEG; the last number in a name is the frame number
#   depth/000000.png        16-bit grey (or .pgm): z in millimetres, 0 where nothing was measured;
#                           or .npy in metres
#   intrinsics.txt          fx fy cx cy in pixels, one row (or one for each image)
#   poses.txt               number tx ty tz qx qy qz qw, one row for each image that has a pose
#   moving/000000.png       optional: white where something moves
# ```
#
# There is no file that describes the folder, on purpose: whoever finds it in five years needs no documentation but this
# list. Numbers in names pair image, depth, mask and pose, so a gap stays a gap. Four conventions decide whether it works,
# and {numref}`fig-own-dataset-conventions` draws the first three:
#
# - Depth is **z**, along the camera's axis, not the length of the ray.
# - A pose is **world from camera**: it takes points of the camera to the world, so its translation is where the camera
#   stands. Quaternions are x, y, z, w.
# - Camera axes are OpenCV's: x to the right, y down, z forward. From OpenGL or Blender, negate the second and third
#   column of the rotation.
# - The centre of the first pixel is (0, 0). A tool that counts from the pixel's edge gives a principal point that is
#   0.5 px larger.
#
# Depth of 0 means no measurement. Sky, holes and everything beyond the sensor's reach must be 0: a far number there
# becomes a point, and the network learns it.
#
# Many recordings are nearly there. Five frames of a depth camera as `color/1.png`, `depth/1.pgm` and a `pose.txt` with
# one row `tx ty tz qx qy qz qw` an image need no program, only names and a number before each row:
#
# ```bash
# mkdir -p my/recordings/kitchen && cd my/recordings/kitchen
# ln -s /elsewhere/color images && ln -s /elsewhere/depth depth
# awk '{print NR, $0}' /elsewhere/pose.txt > poses.txt
# echo "518 519 325.5 253.5" > intrinsics.txt
# ```

# %%
import matplotlib.pyplot as plt
import numpy as np

a = np.radians(25)
right_, ahead = np.array([np.cos(a), -np.sin(a)]), np.array([np.sin(a), np.cos(a)])
stands, star = np.array([1.0, 0.5]), np.array([1.6, 2.9])
z = (star - stands) @ ahead

# %% mystnb={"figure": {"caption": "A camera from above, at (1.0, 0.5) in a world whose x and z are drawn. Its pose is where it stands and where its axes point. Depth z of the star is measured along the viewing axis; the ray is longer.", "name": "fig-own-dataset-conventions"}} tags=["hide-input"]
figure, axis = plt.subplots(figsize=(5, 4), layout="constrained")
places = {"x: right": (right_, (4, 2)), "z: forward": (ahead, (10, -5))}
for name, (arrow, beside) in places.items():
    tip = stands + 0.6 * arrow
    axis.annotate("", tip, stands, arrowprops={"arrowstyle": "->", "lw": 2})
    axis.annotate(name, tip, beside, textcoords="offset points", color="0.4")
ends = {"depth": (stands + z * ahead, "-", "left"), "ray": (star, ":", "right")}
for name, (end, style, side) in ends.items():
    axis.plot(*zip(stands, end, strict=True), style, color="#2b62c4", zorder=0)
    length = np.linalg.norm(end - stands)
    gap = 8 if side == "left" else -8
    look = {"ha": side, "textcoords": "offset points", "color": "#2b62c4"}
    axis.annotate(f"{name} {length:.2f}", (stands + end) / 2, (gap, 0), **look)
axis.plot(*zip(star, stands + z * ahead, strict=True), "0.7", lw=1)
axis.plot(*star, "*", color="black", ms=12)
axis.plot(*stands, "o", color="black")
_ = axis.set(xlabel="world x (m)", ylabel="world z (m)", aspect="equal")
_ = axis.set(xlim=(0, 3), ylim=(0, 3.3))

# %% [markdown]
# ## Writing them
#
# Here the recording is a synthetic clip, whose arrays stand for what your sensor delivers.

# %%
import tempfile
from pathlib import Path

from page4d.data import write_depth_png
from page4d.world import split_clip
from PIL import Image

filmed = not root
root = Path(root or tempfile.mkdtemp())
clip = split_clip(
    "dynamic-test", 2, environment="room", frames=frames, camera_speed=1.0
)
folder = root / sequence
for name in ("images", "depth", "moving") if filmed else ():
    (folder / name).mkdir(parents=True)

# %%
from page4d.geometry import invert, matrix_to_quaternion

world_from_camera = invert(clip.cam_from_world)
rows = []
for i in range(len(clip) if filmed else 0):
    image = (clip.images[i] * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(image).save(folder / f"images/{i:06d}.png")
    Image.fromarray(clip.moving[i].numpy()).save(folder / f"moving/{i:06d}.png")
    write_depth_png(
        folder / f"depth/{i:06d}.png", clip.depth[i].numpy(), depth_per_unit
    )
    quaternion = matrix_to_quaternion(world_from_camera[i, :, :3])
    rows.append([i, *world_from_camera[i, :, 3].tolist(), *quaternion.tolist()])

# %%
if filmed:
    np.savetxt(folder / "poses.txt", rows, fmt="%.9f")
    K = clip.K[0]
    np.savetxt(folder / "intrinsics.txt", [[K[0, 0], K[1, 1], K[0, 2], K[1, 2]]])

# %% [markdown]
# ## Reading them back
#
# The loader is named `folder`. What it refuses, it says with the file and the line: an image that has no depth, a depth
# map of another size, a row of poses with seven numbers, a time that comes twice. A file with a mistake should not
# become a tensor, since from there on nobody knows which file it was.

# %%
from page4d.data import dataset_from

entry = {"loader": "folder", "root": str(root)}
entry["options"] = {"depth_per_unit": depth_per_unit}
dataset = dataset_from(entry)
numbers = dataset.frame_numbers(sequence)[:frames]
loaded = dataset.load(sequence, numbers)
print(f"{loaded.name}: {len(loaded)} frames of {tuple(loaded.images.shape[-2:])} px")

# %% mystnb={"figure": {"caption": "Frames as the loader gives them, six of them at most, from the first to the last: picture, depth in metres with one colour scale, and the moving mask where the recording has one.", "name": "fig-own-dataset-frames"}}
from page4d.viz import clip_sheet

sheet = clip_sheet(loaded)

# %% [markdown]
# ## Do the frames agree?
#
# The sheet of {numref}`fig-own-dataset-frames` shows what one frame can show: that depth follows the picture, that holes
# are empty, that the mask lies on what moves. It cannot show a pose. A wrong axis or unit shows as soon as points of one
# frame are carried into another; `page4d check-data` does it for whole data sets. Here are its measurements of one clip. `reprojection_px` is how far a still pixel misses
# itself after going to another frame and back by the depth found there: about half a pixel or less is right.

# %%
from page4d.check import diagnose, judge, measure, verdict

numbers_found = measure([loaded])
findings = judge(numbers_found, diagnose([loaded]))
print("verdict:", verdict(findings))
print(f"back to the same pixel within {numbers_found.reprojection_px:.2f} px")
print(f"relative error of depth {numbers_found.depth_error_relative:.4f}")
print(f"share of pixels with depth {numbers_found.valid_share:.2f}")

# %% [markdown]
# Would the check have noticed? A clip from a tripod passes with any poses, so a good answer is worth what the clip can
# show. Plant one mistake into yours and ask again, here poses the wrong way round; what other mistakes look like, and how
# each is named, is told in [Looking at the data](08_looking_at_the_data.ipynb).

# %%
from dataclasses import replace

wrong = replace(loaded, cam_from_world=invert(loaded.cam_from_world))
worst = judge(measure([wrong]), diagnose([wrong]))
print(f"verdict: {verdict(worst)}\n   {worst[0].text}")

# %% [markdown]
# ## How much is enough?
#
# For a check, a second of film. For fine-tuning, the *number of different scenes* counts and not the number of frames:
# a network that sees one kitchen from ten thousand places learns the kitchen. What teaches poses is a camera that moves
# sideways and not only turns; what teaches depth under motion is people and things that move while the camera does. And
# what hurts is depth that is wrong where the sensor was unsure, at edges, on glass, in the sky (exercise 3 counts it).
# Leave it out: 0 costs nothing, a wrong metre costs a gradient.
#
# Keep something back before you train. Split by *sequence*, never by frame: two neighbouring frames show the same wall from
# nearly the same place, so a test frame whose neighbours were trained on asks what the network remembers and not what it
# understands. If several sequences were filmed in one room, the room goes to one side as a whole. And write the list of
# what was kept back into a file beside the data, before the first run, so that nobody can choose it afterwards. A handful
# of sequences is enough to see a gross mistake; whether one network is a little better than another takes more of them, and
# an interval over sequences says how many more ([Does the mask help?](06_does_the_mask_help.ipynb)).
#
# Poses may come from anywhere: motion capture, the tracking of a phone, or COLMAP {cite}`schoenberger2016colmap`, whose
# scale is arbitrary. Then depth and poses disagree by one factor, which the check names; multiply the translations by it.
# If depth is a laser's and poses are a motion capture's, clocks come in ([Preparing TUM and
# Bonn](07_preparing_tum_and_bonn.ipynb)).
#
# Intrinsics are the file that people guess. Ask the device first: depth cameras and phones tell the focal length and the
# principal point of each image size, and they differ between sizes, since a film is cut from the middle of the sensor.
# Where nobody tells, film a printed chessboard and calibrate; COLMAP's own estimate will do if the camera travels. A lens
# that bends straight lines must be undone first, for $K$ has no number for it, and then the intrinsics are those of the
# undistorted pictures.
#
# ## Training on it
#
# A data set is an entry of a mix: weight, strides, crops. On the command line the same entry is `data=folder`:
#
# ```bash
# page4d check-data data=folder paths.folder=my/recordings
# page4d train data=folder paths.folder=my/recordings start.weights=tiny
# page4d train data=mix/held_out +data.datasets.kitchen='{loader: folder, root: my/recordings, weight: 5000}'
# ```
#
# The last line puts your recording beside the others. Fine-tuning on one small data set alone makes a network forget; a
# share of old data in every batch keeps what it knew.
#
# In Python the mix gives batches by number. Batch 7 is the same today, tomorrow, and on any number of workers.

# %%
from page4d.data import mix_from

entry["windows"] = {"strides": [1, 2]}
shapes = {"image_size": 112, "patch_size": 8, "frames": [2, 4], "images_per_batch": 8}
mix = mix_from({"datasets": {"kitchen": entry}, "shapes": shapes})
for number in range(3):
    clips = mix.clips(number, number)
    used = [c.frame_numbers.tolist() for c in clips]
    print(f"batch {number}: {tuple(clips[0].images.shape)} each, frames {used}")

# %% [markdown]
# ## When the files have another layout
#
# Copying terabytes into the layout above is no good. Write a loader instead: a file in `page4d/data/datasets/` with
# three answers. `_scan` says which sequences there are and which frame numbers each has. `_frame` decodes one frame.
# `download` says what to get when the folder is not there. Everything else comes from the base class: selection,
# missing files, sizes that do not fit, filters, stacking, and use in worker processes.
#
# The loader used above is the shortest complete one:

# %% tags=["hide-input"]
import inspect

from IPython.display import Code
from page4d.data import Folder

Code(inspect.getsource(Folder), language="python")

# %% [markdown]
# Then, in this order:
#
# 1. Read frames by **number**, never by position in a sorted list: a file that is missing then leaves a gap, and
#    shifts nothing.
# 2. Turn everything into `Frame`: z-depth in metres with 0 for holes, camera from world, OpenCV axes, K in pixels.
# 3. Add the class to `DATASETS` in `page4d/data/datasets/__init__.py`, and a file `conf/data/<name>.yaml` whose root is
#    `${paths.data}/<name>`.
# 4. Write a *writer* of the layout in `tests/writers/`, from the data set's documentation and not from your loader, and a
#    test that a synthetic scene comes back to within the format's rounding. This finds the errors that a look at
#    pictures does not: `tests/test_datasets_folder.py` is the example. A row of `_all` in `tests/test_datasets_common.py`
#    holds the loader to what all others read.
# 5. Run `page4d check-data data=<name>` on the real files.
#
# Data sets with tracks override `_tracks`, those with flow `_flow`; `page4d/data/datasets/kubric.py` and `sintel.py` show
# how.
#
# ## Recap
#
# - Images, depth in millimetres, intrinsics, poses, with one number in each name: no more is needed.
# - Depth is z and not the ray; poses are world from camera with OpenCV axes; pixels are counted from a centre; 0 is a hole.
# - A picture cannot show a wrong pose. Carry pixels from frame to frame before training.
# - A loader has three answers: which sequences, one frame, where to get them.
#
# ## Exercises
#
# **1.** Your tool writes Blender's cameras: world from camera, with x right, y *up* and z *backward*. Make the rotation
# that `poses.txt` wants, for the camera of {numref}`fig-own-dataset-conventions`, and check it.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
opencv = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
blender = opencv @ np.diag([1, -1, -1])  # what such a tool would hand you
mended = blender.copy()
mended[:, 1:] *= -1
print(
    "looks along", mended[:, 2].round(3).tolist(), "expected", ahead.round(3).tolist()
)
print("determinant", round(float(np.linalg.det(mended))), "so it is a rotation")

# %% [markdown]
# **2.** How coarse is depth in millimetres? Compare the relative error of rounding with what is left between frames of
# this clip, and say up to which distance 16 bits reach.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
deep = loaded.depth[loaded.depth > 0]
rounding = (
    0.25 / depth_per_unit / deep
).mean()  # mean of |error| of rounding: a quarter step
left = numbers_found.depth_error_relative
print(f"rounding {100 * rounding:.4f} %, between frames {100 * left:.2f} %")
print(
    f"16 bits reach {65535 / depth_per_unit:.1f} m; 5,000 steps per metre {65535 / 5000:.1f} m"
)

# %% [markdown]
# **3.** Holes: set the depth of a tenth of the pixels to 100 m instead of 0. What happens to the mean distance by which
# training divides every length?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
import torch
from page4d.train import stack, targets_of

torch.manual_seed(0)
hole = torch.rand(loaded.depth.shape) < 0.1
for name, value in (("holes are 0", 0.0), ("holes are 100 m", 100.0)):
    clip_ = replace(loaded, depth=loaded.depth.masked_fill(hole, value))
    scaled = targets_of(stack([clip_]), "corrected").depth[0]
    unit = (clip_.depth / scaled)[~hole & (loaded.depth > 0)].median()
    print(f"{name}: one unit is {unit:.2f} m")
# All true lengths are divided by too much, and the loss never says so.

# %% [markdown]
# **4.** The recording has a gap: the motion capture lost one frame. Remove its row and read again. Which numbers do the
# frames have?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
import shutil

gap = Path(tempfile.mkdtemp()) / "recordings"
shutil.copytree(folder, gap / sequence)
third = dataset.frame_numbers(sequence)[3]
table = (gap / sequence / "poses.txt").read_text().splitlines()
kept = [row for row in table if row[:1] == "#" or int(float(row.split()[0])) != third]
(gap / sequence / "poses.txt").write_text("\n".join(kept) + "\n")
again = dataset_from(
    {"loader": "folder", "root": str(gap), "options": entry["options"]}
)
print("numbers", again.frame_numbers(sequence)[:7])
# The gap stays a gap, and every other frame keeps its depth.

# %% [markdown]
# ## Further reading
#
# {cite:t}`gebru2021datasheets` for the questions that a data set should answer about itself;
# {cite:t}`schoenberger2016colmap` for poses from pictures; {cite:t}`reizenstein2021co3d`, {cite:t}`greff2022kubric` and
# {cite:t}`zheng2023pointodyssey` for three ways to come by depth and poses, filmed, simulated and rendered;
# {cite:t}`hartley2004multiview`, chapter 6, for the camera behind the conventions.
