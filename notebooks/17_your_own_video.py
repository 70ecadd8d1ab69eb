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
# **You will learn** to film and choose frames so that the network has a chance, to predict, to put in what you know
# (intrinsics, a distance) and to know what an error of it costs, to export, and to recognize the cases that fail.
#
# **Needs**: under a minute for the small run. For a real clip a GPU: {numref}`tab-own-length` says how memory grows.
#
# **The small run** renders a clip, writes it as a video and treats it as yours. For your own:
#
# ```bash
# papermill notebooks/17_your_own_video.ipynb mine.ipynb -p video my.mp4 -p weights nomask -p device cuda
# ```
#
# One known distance makes the result metric: `-p distance 0,410,620,890,640,0.9` names a frame, two pixels of your file, and
# the metres between them.

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

# %% mystnb={"figure": {"caption": "Three frames of the clip, from its beginning to its end.", "name": "fig-own-parallax"}}
import page4d
from page4d.viz import Row, contact_sheet

three = page4d.load_frames(video, page4d.FrameOptions(size=280, patch=14, spread=3))
pictures = three.images.permute(0, 2, 3, 1).numpy()
titles = ["first", "middle", "last"] if len(pictures) == 3 else None
sheet = contact_sheet([Row(pictures, "image")], titles)

# %% [markdown]
# In {numref}`fig-own-parallax`, choose something near and something behind it, both of which stand still, and see how far
# each has shifted from the first picture to the last. If the camera went sideways, the near one has shifted more.
#
# This is **parallax**: depth shows in pictures as a difference of motion. A camera with focal length $f$ (in
# pixels, [notation](../notation.md)) that steps aside by $b$ moves the image of a point at depth $z$ by $f b / z$ pixels.
# A camera that turns moves all points alike, near or far, and says nothing of depth. {numref}`tab-own-parallax` takes
# a phone's view of 65 degrees across, at the 518 pixels that the released network sees, and asks how far two points
# shift apart that stand at 2 and at 4 metres, for steps of several lengths.

# %% mystnb={"figure": {"caption": "How far a step to the side shifts points at 2 and at 4 metres, and how far it parts them.", "name": "tab-own-parallax"}}
import numpy as np
import pandas as pd

focal = 518 / 2 / np.tan(np.radians(65) / 2)
steps_m = [0.0, 0.02, 0.1, 0.5, 1.0]
pd.DataFrame(
    {
        "2 m, px": [focal * b / 2 for b in steps_m],
        "4 m, px": [focal * b / 4 for b in steps_m],
        "apart, px": [focal * b * (1 / 2 - 1 / 4) for b in steps_m],
        "share of the width": [focal * b / 2 / 518 for b in steps_m],
    },
    index=pd.Index([f"{b:g} m" for b in steps_m], name="step aside"),
).T.round(2)

# %% [markdown]
# A step of two centimetres, a handheld tremor, parts the two by a couple of pixels, which is little beside the 14 pixels of
# a patch. Half a metre gives a clear answer. At a metre what is near has moved by a good part of the picture, and what
# both frames share begins to run out. Between these lies the good step: about a tenth to a fourth of the distance to
# what you film, which for a room is a slow pace. The default reads five frames a second and twelve in all.

# %% [markdown]
# ## Predict
#
# The same as `page4d predict my.mp4 --fps 5 --max-frames 12 --out result`. Three things happen before the network sees
# anything. Frames are chosen by *time*, so a film of 30 or of 60 frames a second gives the same ones. Each is resized to
# the width that the network was trained with, its height to a multiple of the patch. And a portrait picture loses its top
# and bottom, unless `pad` is asked for. The map from the network's pixels back to yours ({numref}`fig-own-crop`) is kept in
# the prediction; every export uses it, so that nothing you get has to be resized by hand.

# %% mystnb={"figure": {"caption": "From a picture of yours to the network's input and back: where a pixel of the network lies in the original.", "name": "fig-own-crop"}}
from page4d.viz import crop_diagram

crop_diagram()

# %%
import page4d

model = page4d.PAGE4D.from_pretrained(weights, device=device)
size, patch = model.config.img_size, model.config.patch_size
rate = fps if Path(video).is_file() else None  # a folder of pictures has no times
frames = page4d.load_frames(
    video, page4d.FrameOptions("crop", size, patch, rate, max_frames)
)
prediction = page4d.predict(model, frames)

# %% mystnb={"figure": {"caption": "What the network saw and said. Depth is in the network's own unit.", "name": "fig-own-sheet"}}
from page4d.viz import prediction_sheet

figure = prediction_sheet(prediction)

# %% [markdown]
# Read {numref}`fig-own-sheet` in this order. *Is the order of depth right?* What you know to be near must have the near
# colour in every frame. *Is it the same in all frames?* A wall that changes its colour from frame to frame is a scale that
# flickers. *Are outlines where the picture has them?* And *where is the confidence low?* Sky, glass, blur and what is in
# one frame only should be; if it is low on a plain wall in good light, the network has not understood the clip.

# %% [markdown]
# ## Metres
#
# The network's unit has no length of its own, and cannot have one: halve the world and the camera's path together, and every
# picture stays the same. One known distance is enough: measure a door, a table, a tile. Say in which frame, between which
# two pixels of your file, and how many metres. Both pixels are lifted to points $\mathbf{X}_1, \mathbf{X}_2$, and the
# factor is $s = \text{metres} / \lVert \mathbf{X}_1 - \mathbf{X}_2 \rVert$. Depth, points and camera positions are
# multiplied by it; rotations and intrinsics have no unit and stay.
#
# The factor inherits the error of the two depths. If each is off by 3 %, a long distance *across* the picture is off by
# about that, but the short difference of two large depths, say a tile that lies along the line of sight ten times farther
# away than it is long, may be off by a third and more. So measure something **large, near, and across the view**. Depth
# sensor frames or a known camera path do the same (`page4d view --scale-from`). For the rendered clip its own truth stands in
# for the tape measure; with your video and no `distance` nothing is scaled.

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
        print(f"single measurements scatter by {100 * scale.spread:.1f} %")

# %% [markdown]
# ## Look
#
# In {numref}`fig-own-viewer`, drag to turn, scroll to come nearer, press play. From the side, flat things should be flat: look along a wall or a table,
# which no picture of the clip does, because errors of depth hide in the direction in which the camera looked. The mask of
# what moves comes from the geometry ([Seeing it in 4-D](16_seeing_it_in_4d.ipynb)), so walls that blink tell of cameras
# that are wrong.

# %% mystnb={"figure": {"caption": "The clip in the viewer. Still parts are gathered over all frames.", "name": "fig-own-viewer"}}
from page4d.viz import notebook_viewer

moving = page4d.moving_mask(prediction)
notebook_viewer(prediction, moving)

# %% [markdown]
# ## Take it elsewhere
#
# Each format follows its tool's conventions: which way is up, whether a camera is stored as world from camera or the
# reverse, where pixel (0, 0) is centred, in which order a quaternion has its numbers. Such things are agreed on by nobody
# and checked by nothing, and a file with the wrong one opens without a complaint, upside down. Sizes are those of your
# file, not of the network's input. {numref}`tab-own-exports` lists what this clip gave.

# %%
from page4d.result import FORMATS

wanted = ["ply", "glb", "colmap", "tum", "cameras", "depth-png", "masks"]
target = folder / "exports"
target.mkdir()
written = page4d.export(prediction, target, wanted, page4d.ExportOptions(moving=moving))

# %% mystnb={"figure": {"caption": "What was written of this clip, for which programs, and how large it is.", "name": "tab-own-exports"}} tags=["hide-input"]
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
# For Gaussian splatting give the folder with `sparse/0` and `images` to the tool. Moving points are left out of it,
# because such tools believe that a place has one colour for all time. If you know your lens, say so (`--intrinsics`):
# calibrated numbers are better than predicted ones, and the file keeps them.
#
# ## How long may a clip be?
#
# All frames go through the network together. Attention between all frames grows with the square of their number; the kept
# tokens grow with the number. {numref}`tab-own-length` is arithmetic from the architecture of the released network:
# 16-bit tokens of the four layers that the heads read. The weights come on top, 5 GB as they are stored, half of that
# with `--precision bf16`, and what a block computes with; [Speed and memory](26_speed_and_memory.ipynb) has the whole
# account, and measured dots.

# %% mystnb={"figure": {"caption": "Tokens, memory and work of global attention in the released network, by the number of frames. Arithmetic, not measured.", "name": "tab-own-length"}} tags=["hide-input"]
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
# Twice the frames: twice the memory, four times the time in global attention. The square is small for a short clip, where
# everything that grows with the number itself (the encoder, frame attention, the heads) takes most of the time, and it
# wins in the end.
#
# Before you buy a larger card, ask whether the frames say anything new. Neighbouring frames of a slow walk are nearly
# the same picture; they cost as much as any other and add hardly any parallax. What helps is a larger *step between
# frames* up to the point where neighbours still share most of what they see. Beyond that the network has to guess how
# two rooms hang together. For a film that is longer than one pass can take, windows that overlap are joined afterwards
# ([Speed and memory](26_speed_and_memory.ipynb) measures what the joins cost).
#
# ## When it fails
#
# A clip from a tripod has no parallax: depth comes from experience alone and the scale of motion is not determined. A
# camera that only turns is the same case. Below, made-up clips of one seed are filmed in five ways. They are examples, not a comparison: with another
# way of filming, the rest of the scene is drawn anew, too ([The world](21_the_world.ipynb)). Depth errors are means of
# |predicted / true - 1| after one scale per clip; rotation errors are against the truth. In {numref}`tab-own-fails`,
# beside each stands an answer that knows nothing, one depth everywhere and a camera that never turns, because an easy
# clip makes every network look good.

# %%
from page4d.evaluate import score_clip

ways = {
    "tripod": {"camera_speed": 0.0},
    "slow walk": {"camera_speed": 0.5},
    "walk": {"camera_speed": 1.4},
    "walk, shaken": {"camera_speed": 3.0},  # the room is too small to go further
    "half of it moves": {"camera_speed": 1.0, "moving_share": (0.45, 0.6)},
}
errors = {}
for name, change in ways.items():
    clip = split_clip("dynamic-test", 11, height=size, width=size, frames=4, **change)
    errors[name] = score_clip(page4d.predict(model, clip.images), clip)

# %% mystnb={"figure": {"caption": "Errors on made-up clips of one seed, filmed in five ways, beside answers that know nothing.", "name": "tab-own-fails"}} tags=["hide-input"]
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
        "**This network does not find the camera's motion** on these clips. So a tripod costs it nothing, gathered "
        "still parts may smear in the viewer above, and an exported camera path must not be trusted."
    )
Markdown(text)

# %% [markdown]
# Other failures to expect, and what to do about each:
#
# | what you see | why | what helps |
# |---|---|---|
# | rooms behind mirrors and windows | depth lies where the light comes from | leave them out of the cloud by hand |
# | a dome instead of a sky | sky gets *some* depth | raise the viewer's confidence slider |
# | walls that lean or wobble | rolling shutter, strong blur | film slower, in better light |
# | two rooms through each other | frames with nothing in common | smaller steps, or two clips |
# | heads and feet missing | portrait clips are cropped | `--mode pad` |
# | all of it flat | no parallax | walk, do not turn |

# %% [markdown]
# ## Recap
#
# - Frames at most half a second apart, a camera that travels, something that stands still: that is a good clip.
# - Parallax is $f b / z$: it needs a step, and a turn is not one.
# - Lengths are in the network's unit until one distance is known; measure it large, near and across the view.
# - Every export follows its tool's conventions and has the size of your file.
#
# ## Exercises
#
# **1.** Which field of view does the network believe your camera has?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
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
    f"one scale, {np.median(ratio):.3f}, leaves {100 * np.median(abs(ratio / np.median(ratio) - 1)):.1f} % in the median"
)
# If the clip was brought to metres above, the scale holds that factor: the new prediction has the network's unit.

# %% [markdown]
# **3.** How much of the clip do you lose if you leave out the least confident third of the points of each frame, and is it
# what moves?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
conf = prediction.depth_conf
kept = conf > np.quantile(conf, 1 / 3, axis=(1, 2), keepdims=True)
parts = {"moving": kept[moving], "still": kept[~moving]}
for name, part in parts.items():
    if part.size:
        print(f"of the {name} pixels {100 * part.mean():.0f} % stay")

# %% [markdown]
# **4.** A tape measure is right, but each of the two predicted depths is off by 3 %, at random. How far is the factor off
# for a distance of one metre across the view, and along it, five metres away?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
noise = 1 + 0.03 * np.random.default_rng(0).normal(size=(10_000, 2, 1))
tapes = {"across": [[-0.5, 0, 5], [0.5, 0, 5]], "along": [[0, 0, 4.5], [0, 0, 5.5]]}
for name, tape in tapes.items():
    # A wrong depth moves the point along its own ray.
    ends = noise * np.array(tape, float)
    lengths = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    print(f"{name}: the length scatters by {100 * lengths.std():.1f} %")

# %% [markdown]
# **5.** At how many frames do the released network's two kinds of work, global attention among all frames and all that grows
# with their number, cost the same, if a frame costs 3 TFLOP outside of global attention's logits and sums?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
per_frame = 3.0
print(f"at {per_frame / (tokens**2 * work):.0f} frames")
# n * per_frame = (n * tokens)^2 * work. Below that number frames are cheap, above it they are dear.

# %% [markdown]
# ## Further reading
#
# {cite:t}`schoenberger2016colmap` for what other tools expect of cameras and {cite:t}`hartley2004multiview` for parallax
# and scale in two views; {cite:t}`li2025megasam` and {cite:t}`kopf2021robustcvd` optimize over the whole video where
# this network predicts it in one pass, and {cite:t}`deng2025vggtlong` joins passes to films of any length.

# %% tags=["remove-cell"]
import shutil

shutil.rmtree(folder)
