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
# # Figure 2: what the layers see
#
# The paper's Figure 2 shows that VGGT's deeper layers treat moving regions apart. Here the figure is made for two
# networks side by side, for every layer, and the impression is turned into a number with an interval.
#
# **You will learn** to draw feature maps of every layer and frame, to measure how much moving regions stand out, and
# to read where the camera token looks, with the mask and without.
#
# **Needs**: half a minute on any computer for the small networks. The real figure (`vggt = "vggt"`,
# `page4d_weights = "mask"`) needs two downloads of 5 GB and a GPU with 16 GB.
#
# **The small run** uses networks that share the architecture and were trained on synthetic scenes. What they show
# may differ from the released networks; the paper's figure itself is not quoted here.

# %% tags=["parameters"]
vggt = "vggt-tiny"
page4d_weights = "page4d-tiny-mask"
images = "synthetic:7"
frames = 4
clips = 24
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## The figure
#
# A feature map is the mean over channels of one layer's patch tokens. Each block pair has two: after frame attention,
# where a frame sees only itself, and after global attention, where it sees all frames. The paper shows its layers 5,
# 12, 18 and 24 of 24. Files and pairs are numbered from zero, so these are pairs 4, 11, 17 and 23. Networks of other
# depth are shown at the same relative depths.

# %%
import numpy as np
import page4d
from page4d.data import open_views
from page4d.features import camera_attention, feature_maps, paper_layers

networks = {
    "VGGT": page4d.PAGE4D.from_pretrained(vggt, device=device).eval(),
    "PAGE-4D": page4d.PAGE4D.from_pretrained(page4d_weights, device=device).eval(),
}
size, patch = networks["VGGT"].config.img_size, networks["VGGT"].config.patch_size
views = open_views(images, size=size, patch=patch, frames=frames)
maps = {
    name: feature_maps(model, views.frames.images) for name, model in networks.items()
}

# %% mystnb={"figure": {"caption": "Feature maps of one frame at the paper's relative depths, after frame and after global attention. Each map is scaled to its own smallest and largest value, as in the paper.", "name": "fig-figure2"}}
from page4d.viz import feature_figure

pictures = (views.frames.images.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
columns = {
    f"{name}, {kind}": found.of(kind)
    for name, found in maps.items()
    for kind in ("frame", "global")
}
layers = paper_layers(min(found.depth for found in maps.values()))
middle = len(pictures) // 2
figure = feature_figure(columns, pictures, layers, frame=middle)

# %% [markdown]
# The colours hide the scale: a map with a tiny spread looks as lively as one with a large spread. Patterns count, not
# brightness. The slider goes through all layers of the second network.

# %% mystnb={"figure": {"caption": "Every layer of the PAGE-4D network, frame attention above global attention, all frames. Move the slider.", "name": "fig-figure2-slider"}}
from page4d.viz import layer_slider

layer_slider(maps["PAGE-4D"].frame, maps["PAGE-4D"].global_, pictures)

# %% [markdown]
# The same pictures as files, for every frame and layer, with the names that the public script uses:
#
# ```bash
# page4d features --images my/folder --weights mask --out features
# page4d features --images my/folder --initial_num 200 --gap 16 --weights vggt --out features
# ```
#
# ## How much do moving regions stand out?
#
# On synthetic scenes the moving pixels are known exactly. A patch counts as moving if most of its pixels do. The
# area under the ROC curve (AUC) asks: of a moving and a still patch of the same clip, how often does the moving one
# have the larger value? 0.5 is chance. A feature has no natural sign, so values below 0.5 say as much as values above.
# Intervals are 95 % bootstrap intervals over clips.

# %%
from page4d.result import moving_auc, patches_moving
from page4d.world import split_clip

scores = {}
for index in range(clips):
    clip = split_clip("dynamic-test", index, height=size, width=size, frames=frames)
    truth = patches_moving(clip.moving.numpy(), size // patch, size // patch)
    for name, model in networks.items():
        found = feature_maps(model, clip.images)
        for kind in ("frame", "global"):
            row = [moving_auc(layer, truth) for layer in found.of(kind)]
            scores.setdefault((name, kind), []).append(row)

# %% tags=["hide-input"]
from page4d.evaluate import interval_of_means

curves = {}
for key, rows in scores.items():
    rows = np.array(rows)
    rows = rows[~np.isnan(rows).any(1)]
    curves[key] = (rows.mean(0), *interval_of_means(rows))

# %% mystnb={"figure": {"caption": "AUC of each layer's feature map against the exact moving mask. Bands are 95 % bootstrap intervals over clips; the dotted line is chance.", "name": "fig-figure2-auc"}} tags=["hide-input"]
import matplotlib.pyplot as plt

figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
for (name, kind), (mean, low, high) in curves.items():
    style = {"frame": "--", "global": "-"}[kind]
    color = {"VGGT": "#1f5fa8", "PAGE-4D": "#d1495b"}[name]
    axis.plot(mean, style, color=color, label=f"{name}, {kind}")
    axis.fill_between(np.arange(len(mean)), low, high, color=color, alpha=0.12)
axis.axhline(0.5, color="grey", ls=":")
axis.set(xlabel="block pair, from zero", ylabel="AUC, moving against still")
_ = axis.legend(ncols=2, fontsize=8)
# %% tags=["hide-input"]
import pandas as pd


def best(mean):
    return int(np.abs(mean - 0.5).argmax())


pd.DataFrame(
    {
        f"{name}, {kind}": {
            "furthest from chance": f"pair {best(mean)}",
            "AUC there": f"{mean[best(mean)]:.3f}",
            "95 % interval": f"{low[best(mean)]:.3f} to {high[best(mean)]:.3f}",
            "clips": len(scores[name, kind]),
        }
        for (name, kind), (mean, low, high) in curves.items()
    }
).T

# %% tags=["remove-input"]
from IPython.display import Markdown

ends = ", ".join(
    f"{name} {kind} {mean[0]:.2f} and {mean[-1]:.2f}"
    for (name, kind), (mean, _, _) in curves.items()
)
falls = [abs(m[0] - 0.5) > abs(m[-1] - 0.5) for m, _, _ in curves.values()]
text = f"AUC in the first and in the last pair: {ends}. "
if all(falls):
    text += "Moving regions stand out *less* in deeper layers here, not more: the paper's impression is not seen in these networks."
elif not any(falls):
    text += "Moving regions stand out more in deeper layers, as the paper's figure suggests."
Markdown(text)

# %% [markdown]
# An AUC away from chance is not yet a sense of motion. The first frame attention sees one frame only and cannot know
# what moves. What it shows is looks: bodies differ from walls and floor whether they move or not. Only a rise above
# that first value would speak of motion. And the largest of many layers is always flattered by choosing it: read the
# curves, not only the table.
#
# ## Where the camera token looks
#
# The pose is read from the camera tokens. In global attention each of them weighs all patches of all frames. The mask
# adds its bias to exactly these rows. Below, the camera token of one frame looks at all frames, once with the mask and
# once without, in the first and the last masked pair.

# %%
model = networks["PAGE-4D"]
pairs = [model.config.masked_pairs[0], model.config.masked_pairs[-1]]
step = model.aggregator.mask_step
rows = {}
for label, at in (("with mask", step), ("without mask", model.config.mask_hold_end)):
    model.aggregator.mask_step = at
    rows[label] = camera_attention(model, views.frames.images, pairs)
model.aggregator.mask_step = step

# %% mystnb={"figure": {"caption": "Attention of the middle frame's camera token to the patches of all frames, mean over heads. One colour scale a row; values are shares of all attention.", "name": "fig-figure2-camera"}} tags=["hide-input"]
from page4d.viz import Row, contact_sheet

lines = [Row(pictures, "image")]
for label, found in rows.items():
    for number, pair in enumerate(pairs):
        one = found[number, middle]
        lines.append(
            Row(
                one,
                f"{label}\npair {pair}",
                "share",
                cmap="magma",
                limits=(0, float(one.max())),
            )
        )
figure = contact_sheet(lines)


# %% tags=["hide-input"]
def on_moving(found):
    truth = patches_moving(views.truth.moving.numpy(), size // patch, size // patch)
    spent = (found[:, middle] * truth).sum((1, 2, 3))
    return spent / found[:, middle].sum((1, 2, 3))


shares = {n: on_moving(found) for n, found in rows.items() if views.truth}
table = pd.DataFrame(shares, index=[f"pair {pair}" for pair in pairs])
table.map("{:.1%}".format) if views.truth else None

# %% tags=["remove-input"]
text = ""
if shares:
    moving_share = patches_moving(
        views.truth.moving.numpy(), size // patch, size // patch
    ).mean()
    lower = (shares["with mask"] < shares["without mask"]).all()
    verdict = "smaller" if lower else "**not** smaller in every pair"
    text = (
        "The table says which share of the patch attention of that camera token falls on moving patches. If the mask "
        "does what it was made for, the share is smaller with it. Where the network was run without a mask, both columns "
        f"agree. Of these patches {moving_share:.1%} are moving. With the mask the share of attention on them is {verdict}. "
        "This is one token of one clip: an example, not a measurement."
    )
Markdown(text) if shares else None

# %% [markdown]
# ## Recap
#
# - A feature map is the mean over channels of one layer's patch tokens; colours show patterns, not sizes.
# - How much moving regions stand out is an AUC with an interval, layer by layer; looks alone already give one.
# - The mask acts on the rows of the camera tokens, and what they attend to can be drawn with it and without.
#
# ## Exercises
#
# **1.** Scale all maps of one network by one range instead of each by its own. Which layers disappear?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
layers_of = maps["VGGT"].of("global")
pd.Series([float(layer.std()) for layer in layers_of], name="spread").round(3)
# A layer whose spread is small against the largest one would be grey.

# %% [markdown]
# **2.** The AUC of a map and of its negative: how do they hang together?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
known = patches_moving(clip.moving.numpy(), size // patch, size // patch)
layer = feature_maps(networks["VGGT"], clip.images).of("global")[-1]
print(f"{moving_auc(layer, known):.3f} + {moving_auc(-layer, known):.3f} = 1")

# %% [markdown]
# **3.** Take the best of many layers by chance: draw random maps for the clips and see how far from 0.5 the best of as many
# layers as the network has comes out.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
rng = np.random.default_rng(0)
chance = [
    [moving_auc(rng.normal(size=known.shape), known) for _ in layers_of]
    for _ in range(20)
]
print(
    f"best of {len(layers_of)} random layers: {np.abs(np.array(chance) - 0.5).max(1).mean():.3f} from 0.5 on one clip"
)

# %% [markdown]
# ## Further reading
#
# {cite:t}`zhou2025page4d` for the figure, {cite:t}`darcet2024registers` for artefacts in feature maps, and
# {cite:t}`chen2025easi3r` for motion that is read from attention.
