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
# # Your own video
#
# From a phone clip to a viewer, metres, and files that other programs open.
#
# **You will learn** to choose frames, to predict, to put in what you know (intrinsics, a distance), to export, and to
# recognise the cases that fail.
#
# **Needs**: under a minute for the small run. For a real clip a GPU: the table below says how memory grows.
#
# **The small run** renders a clip, writes it as a video and treats it as yours. For your own:
#
# ```bash
# papermill notebooks/17_your_own_video.ipynb mine.ipynb -p video my.mp4 -p weights nomask -p device cuda
# ```
#
# With `-p distance 0,410,620,890,640,0.9` too (frame, two pixels of your file, metres between them) it is in metres.

# %% tags=["parameters"]
video = "rendered"
weights = "tiny"
fps = 5.0
max_frames = 12
distance = ""
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## A clip
#
# Film slowly, let the camera travel, not only turn, and keep something still in view. Half a second between frames is
# plenty for a walk; a second is too long for dancing.

# %%
import tempfile
from pathlib import Path

from page4d.viz import write_video
from page4d.world import split_clip

folder = Path(tempfile.mkdtemp())
truth = None
if video == "rendered":
    truth = split_clip("dynamic-test", 5, height=240, width=320, frames=max_frames)
    video = folder / "clip.mp4"
    pictures = (truth.images.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    write_video(video, pictures, fps=fps)

# %% [markdown]
# ## Predict
#
# The same as `page4d predict my.mp4 --fps 5 --max-frames 12 --out result`.

# %%
import page4d

model = page4d.PAGE4D.from_pretrained(weights, device=device)
size, patch = model.config.img_size, model.config.patch_size
frames = page4d.load_frames(
    video, page4d.FrameOptions("crop", size, patch, fps, max_frames)
)
prediction = page4d.predict(model, frames)

# %% mystnb={"figure": {"caption": "What the network saw and said. Depth is in the network's own unit.", "name": "fig-own-sheet"}}
from page4d.viz import prediction_sheet

figure = prediction_sheet(prediction)

# %% [markdown]
# ## Metres
#
# The network's unit has no length of its own. One known distance is enough: measure a door, a table, a tile. Say in
# which frame, between which two pixels of your file, and how many metres. Depth sensor frames or a known camera path
# do the same (`page4d view --scale-from`). For the rendered clip its own truth stands in for the tape measure; with
# your video and no `distance` nothing is scaled.

# %%
from math import isfinite

from page4d.result import apply_scale, scale_from_depth, scale_from_distance

scale = None
if distance:
    frame, x1, y1, x2, y2, metres = (float(word) for word in distance.split(","))
    ends = (x1, y1), (x2, y2)
    scale = scale_from_distance(prediction, int(frame), *ends, metres)
elif truth is not None:
    scale = scale_from_depth(prediction, {0: truth.depth[0].numpy()})
if scale is None:
    print("no distance is known: lengths stay in the network's own unit")
else:
    prediction = apply_scale(prediction, scale)
    print(f"{scale.factor:.3f} m per unit, from {scale.source}")
    if isfinite(scale.spread):
        print(f"single measurements scatter by {scale.spread:.1%}")

# %% [markdown]
# ## Look

# %% mystnb={"figure": {"caption": "The clip in the viewer. Still parts are gathered over all frames.", "name": "fig-own-viewer"}}
from page4d.viz import notebook_viewer

moving = page4d.moving_mask(prediction)
notebook_viewer(prediction, moving)

# %% [markdown]
# ## Take it elsewhere
#
# Each format follows its tool's conventions. Sizes are those of your file, not of the network's input.

# %%
from page4d.result import FORMATS

wanted = ["ply", "glb", "colmap", "tum", "cameras", "depth-png", "masks"]
target = folder / "exports"
target.mkdir()
written = page4d.export(prediction, target, wanted, page4d.ExportOptions(moving=moving))

# %% tags=["hide-input"]
import pandas as pd

pd.set_option("display.max_colwidth", None)
pd.DataFrame(
    {
        name: {
            "for": FORMATS[name][1],
            "first file": str(paths[0].relative_to(target)),
            "files": len(paths),
            "kB": round(sum(path.stat().st_size for path in paths) / 1e3),
        }
        for name, paths in written.items()
    }
).T

# %% [markdown]
# ```bash
# page4d export result --format ply glb colmap --images my/frames --out exports
# page4d export result --format colmap --intrinsics 1450,1450,959.5,539.5 --out known_lens
# page4d export result --format colmap --scale-from distance:0,410,620,890,640,0.9 --out metric
# ```
#
# For Gaussian splatting give the folder with `sparse/0` and `images` to the tool. Moving points are left out of it.
#
# ## How long may a clip be?
#
# All frames go through the network together. Attention between all frames grows with the square of their number; the
# kept tokens grow with the number. The table is arithmetic from the architecture of the released network: 16-bit
# tokens of the four layers that the heads read, plus 5 GB of weights, a lower bound for the memory you need.

# %% tags=["hide-input"]

full = page4d.PAGE4DConfig()
tokens = 5 + (full.img_size // full.patch_size) * (392 // full.patch_size)
kept = 2 * full.embed_dim * len(full.dpt_pairs) * 2 / 1e9
work = 4 * full.embed_dim * full.depth / 1e12
pd.DataFrame(
    {
        f"{n} frames": {
            "tokens": f"{n * tokens:,}",
            "kept tokens, GB": f"{n * tokens * kept:.2f}",
            "global attention, TFLOP": f"{(n * tokens) ** 2 * work:.1f}",
        }
        for n in (8, 24, 60, 120, 240)
    }
).T

# %% [markdown]
# Twice the frames: twice the memory, four times the time in global attention.
#
# Before you buy a larger card, ask whether the frames say anything new. Neighbouring frames of a slow walk are nearly
# the same picture; they cost as much as any other and add hardly any parallax. What helps is a larger *step between
# frames* up to the point where neighbours still share most of what they see. Beyond that the network has to guess how
# two rooms hang together. For a film that is longer than one pass can take, windows that overlap are joined afterwards
# ([Speed and memory](26_speed_and_memory) measures what the joins cost).
#
# ## When it fails
#
# A clip from a tripod has no parallax: depth comes from experience alone and the scale of motion is not determined. A
# camera that only turns is the same case. Below, the same scene filmed four ways. Depth errors are means of
# |predicted / true - 1| after one scale a clip; rotation errors are against the truth.

# %%
from page4d.evaluate import score_clip

ways = {
    "tripod": {"camera_speed": 0.0},
    "walk": {"camera_speed": 1.4},
    "run, shaken": {"camera_speed": 3.0},
    "half of it moves": {"camera_speed": 1.0, "moving_share": (0.45, 0.6)},
}
errors = {}
for name, change in ways.items():
    clip = split_clip("dynamic-test", 11, height=size, width=size, frames=4, **change)
    errors[name] = score_clip(page4d.predict(model, clip.images), clip)

# %% tags=["hide-input"]
fields = {
    "abs_rel": "depth, mean relative error",
    "abs_rel_constant": "the same for one depth everywhere",
    "rotation_deg": "rotation error, degrees",
    "rotation_deg_still": "the same for a camera that never turns",
}
pd.DataFrame(
    {
        name: {text: f"{getattr(found, field):.3f}" for field, text in fields.items()}
        for name, found in errors.items()
    }
).T

# %% tags=["remove-input"]
from IPython.display import Markdown

beaten = [n for n, e in errors.items() if e.abs_rel < e.abs_rel_constant]
turned = [n for n, e in errors.items() if e.rotation_deg < e.rotation_deg_still]
hardest, easiest = (
    pick(errors, key=lambda n: errors[n].abs_rel) for pick in (max, min)
)
text = (
    f"Depth is better than one depth everywhere in {len(beaten)} of {len(errors)} ways; the easiest is *{easiest}*, the "
    f"hardest *{hardest}*. Rotation is better than for a camera that never turns in {len(turned)} of {len(errors)}. "
)
if not turned:
    text += (
        "**This network does not find the camera's motion.** So a tripod costs it nothing, gathered still parts smear "
        "in the viewer above, and the exported camera path must not be used."
    )
Markdown(text)

# %% [markdown]
# Other failures to expect: mirrors and windows, whose depth lies behind the glass; sky, which gets some depth;
# rolling shutter and strong blur; frames with nothing in common; portrait clips, whose top and bottom the default
# `crop` cuts away (`--mode pad` keeps them). A low confidence marks many of these: raise the viewer's slider.

# %% [markdown]
# ## Recap
#
# - Frames a half second apart, a camera that travels, something that stands still: that is a good clip.
# - Lengths are in the network's unit until one distance is known.
# - Every export follows its tool's conventions and has the size of your file.
#
# ## Exercises
#
# **1.** Which field of view does the network believe your camera has?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
import numpy as np

width = prediction.images.shape[2]
found = 2 * np.degrees(np.arctan(width / (2 * prediction.K[:, 0, 0])))
print(f"{found.mean():.0f} degrees across, from {found.min():.0f} to {found.max():.0f}")
# The frames of one clip come from one lens: the spread says how sure the network can be.

# %% [markdown]
# **2.** Predict every second frame only. Does the depth of the frames that are in both agree, up to one scale?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
fewer = page4d.predict(model, frames.images[::2])
both = prediction.depth[::2], fewer.depth
ratio = both[0] / both[1]
print(
    f"one scale, {np.median(ratio):.3f}, leaves {np.median(abs(ratio / np.median(ratio) - 1)):.1%} in the median"
)

# %% [markdown]
# **3.** How much of the clip do you lose if you leave out the least confident third of the points of each frame, and is it
# what moves?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
conf = prediction.depth_conf
kept = conf > np.quantile(conf, 1 / 3, axis=(1, 2), keepdims=True)
print(
    f"of the moving pixels {kept[moving].mean():.0%} stay, of the still ones {kept[~moving].mean():.0%}"
)

# %% [markdown]
# ## Further reading
#
# {cite:t}`schoenberger2016colmap` for what other tools expect of cameras; {cite:t}`li2025megasam` and
# {cite:t}`kopf2021robustcvd` optimize over the whole video where this network predicts it in one pass.

# %% tags=["remove-cell"]
import shutil

shutil.rmtree(folder)
