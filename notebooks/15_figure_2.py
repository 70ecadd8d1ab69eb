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
# By the paper's Figure 2, VGGT's deeper layers treat moving regions apart. Here the figure is made for two networks side by
# side, for every layer; the impression becomes a number with an interval, and the number stands beside maps that see no
# motion at all.
#
# **You will learn** to draw feature maps of every layer and frame, to measure how much moving regions stand out, to ask
# the question that such a picture never answers by itself (compared with what?), and to read where the camera token
# looks, with the mask and without.
#
# **Needs**: a minute on any computer for the small networks. The real figure (`vggt = "vggt"`,
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
# ## From tokens to a picture
#
# Inside the network a picture is a grid of patches, and each patch is a vector, its **token** ([Inside the model I:
# tokens](03_inside_the_model_tokens.ipynb)). No screen can show a thousand numbers in one place. The simplest way out is to
# show their mean, in the colours between the smallest and the largest.
#
# Each block pair gives two maps: after frame attention, where a frame sees only itself, and after global attention,
# where it sees all frames. The paper shows its layers 5, 12, 18 and 24 of 24. Files and pairs are numbered from zero, so
# these are pairs 4, 11, 17 and 23. Networks of other depth are shown at the same relative depths. The public script draws
# plain VGGT only, and the first of its frames; here both networks and all frames are drawn.

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
# In a formula, with $x_{jc}$ the channel $c$ of the token of patch $j$ and $C$ channels ([notation](../notation.md)), the
# maps of {numref}`fig-figure2` are
#
# $$ a_j = \frac{1}{C} \sum_{c=1}^{C} x_{jc}, \qquad
#    \text{colour}_j = \frac{a_j - \min a}{\max a - \min a} . $$
#
# This is a blunt instrument, and it is good to know how it is blunt. Channels that rise and channels that fall cancel, so
# a layer can know a thing without the mean showing it. A handful of channels with huge values can be all that one sees;
# transformers of pictures are known to have such channels, and to park them on patches of empty background
# {cite}`darcet2024registers`. And the second step throws away all sense of size: a map that varies by a thousandth and
# one that varies by a thousand come out equally colourful. **Patterns may be read, brightness may not.** The paper's
# argument needs no more than a pattern: if people light up as a connected shape, the layer treats them apart, whatever
# the sign.
#
# Read {numref}`fig-figure2` from top to bottom. A map has one value per patch, drawn smooth, so it is as coarse as the
# patches are in every layer. What changes with depth is which patches stand out, for on the way down they have exchanged
# what they know. Now cover the picture and try to point at what moves. Whoever has seen the picture first will see it in the maps, too, which is why the next section counts
# instead. The slider of {numref}`fig-figure2-slider` goes through all layers of the second network; watch where a pattern
# *changes* from one layer to the next, not where it is bright.

# %% mystnb={"figure": {"caption": "Every layer of the PAGE-4D network, frame attention above global attention, all frames. Move the slider.", "name": "fig-figure2-slider"}}
from page4d.viz import layer_slider

layer_slider(maps["PAGE-4D"].frame, maps["PAGE-4D"].global_, pictures)

# %% [markdown]
# The same pictures as files, for every frame and layer, with the names that the public script uses:
#
# ```bash
# page4d features --images my/folder \
#     --weights mask --out features
# page4d features --images my/folder \
#     --initial_num 200 --gap 16 \
#     --weights vggt --out features
# ```
#
# ## How much do moving regions stand out?
#
# On synthetic scenes the moving pixels are known exactly. A patch counts as moving if most of its pixels do. The
# area under the ROC curve (AUC) asks: of a moving and a still patch of the same clip, how often does the moving one
# have the larger value? A small example: three moving patches with the values 5, 3 and 2, and four still
# ones with 4, 2, 1 and 1. There are twelve pairs, and a tie counts half.

# %%
import itertools

from page4d.result import moving_auc, patches_moving

values, moves = np.array([5, 3, 2, 4, 2, 1, 1]), np.arange(7) < 3
pairs = list(itertools.product(values[moves], values[~moves]))
won = sum((a > b) + 0.5 * (a == b) for a, b in pairs)
print(f"{won} of {len(pairs)} pairs: {won / len(pairs):.3f}")
print(f"the package says {moving_auc(values, moves):.3f}")

# %% [markdown]
# 0.5 is chance, 1 a perfect order. Only the order counts, so nothing depends on the scale that the colours hid; that
# is why this measure suits maps without a unit. A feature has no natural sign either: values below 0.5 say as much as
# values above. Bands in {numref}`fig-figure2-auc` are 95 % bootstrap intervals over clips, because patches of one clip are not independent: one large
# red body that happens to light up is one piece of luck, not two hundred.

# %%
from page4d.world import split_clip

scores, plain = {}, {}
for index in range(clips):
    clip = split_clip("dynamic-test", index, height=size, width=size, frames=frames)
    grid = size // patch
    truth = patches_moving(clip.moving.numpy(), grid, grid)
    looks = clip.images.unflatten(2, (grid, patch)).unflatten(4, (grid, patch))
    for name, value in {
        "lower in the picture": np.arange(grid)[:, None] * np.ones(truth.shape),
        "brighter": looks.mean((1, 3, 5)).numpy(),
        "richer in contrast": looks.mean(1).std((2, 4)).numpy(),
    }.items():
        plain.setdefault(name, []).append(moving_auc(value, truth))
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

figure, axis = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
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

# %% tags=["remove-cell"]
from IPython.display import Markdown

moved = {}
for key, rows in scores.items():
    rows = np.array(rows)
    rows = rows[~np.isnan(rows).any(1)]
    # How far each end is from chance, on the side on which its mean lies.
    first, last = (
        np.sign(e.mean() - 0.5) * (e - 0.5) for e in (rows[:, 0], rows[:, -1])
    )
    mean, (low, high) = (
        (last - first).mean(),
        interval_of_means((last - first)[:, None]),
    )
    word = "more" if low[0] > 0 else "less" if high[0] < 0 else "neither more nor less"
    told = f"{mean:+.2f}, interval {low[0]:+.2f} to {high[0]:+.2f}"
    moved[key] = word, told.replace("-", "\N{MINUS SIGN}")


# %% tags=["remove-input"]
def listed(names):
    *most, end = names
    return f"{', '.join(most)} and {end}" if most else end


grown = [", ".join(key) for key, (word, _) in moved.items() if word == "more"]
other = [", ".join(key) for key in moved if ", ".join(key) not in grown]
text = "How much further from chance the AUC of the last pair is than that of the first:\n\n"
text += "\n".join(f"- {', '.join(key)}: {told}" for key, (_, told) in moved.items())
if not other:
    text += "\n\nMoving regions stand out more in the deepest layer, as the paper's figure suggests."
elif not grown:
    text += "\n\nIn **no** curve do moving regions stand out more at the end than at the beginning: the paper's impression is not seen in these networks."
else:
    grown, other = ([f"*{name}*" for name in names] for names in (grown, other))
    text += f"\n\nMoving regions stand out more at the end in {listed(grown)}; in {listed(other)} they do not, or it is not decided."
Markdown(text)

# %% [markdown]
# ## Compared with what?
#
# An AUC away from chance is not yet a sense of motion. The first frame attention sees one frame only and cannot know
# what moves. What it shows is *looks*: bodies differ from walls and floor whether they move or not. Only a rise above
# that first value can speak of motion, and this is the whole point of drawing curves over depth instead of the one
# layer that looks best. Even a rise is no proof: that a shape is a person is a matter of looks, too, and takes more than one
# layer to see (exercise 6 takes the motion away).
#
# The same question can be put to maps that need no network at all. Things that stand on the floor are low in the
# picture; bodies may be brighter or darker than walls; textured ones have more contrast within a patch. Each of these is
# a map, and each has an AUC on the same clips.

# %% tags=["hide-input"]
trivial = pd.DataFrame(plain).dropna()
low, high = interval_of_means(trivial.to_numpy())
pd.DataFrame(
    {
        "AUC": trivial.mean().map("{:.3f}".format),
        "95 % interval": [
            f"{a:.3f} to {b:.3f}" for a, b in zip(low, high, strict=True)
        ],
    }
)

# %% tags=["remove-input"]
bar = (trivial.mean() - 0.5).abs()
above = {
    f"{name}, {kind}": int((np.abs(mean - 0.5) > bar.max()).sum())
    for (name, kind), (mean, _, _) in curves.items()
}
depth = networks["VGGT"].config.depth
found = ", ".join(f"{n} of *{who}*" for who, n in above.items() if n)
darker = 100 * (1 - trivial["brighter"].mean())
Markdown(
    f"In these clips a moving patch is darker than a still one in {darker:.0f} % of all pairs. "
    f"The strongest of the three, *{bar.idxmax()}*, is {bar.max():.2f} from chance. "
    + (f"Of {depth} layers each, these are further: {found}." if found else "")
    + ("" if found else f"None of the {depth} layers of any curve is further.")
)

# %% [markdown]
# So a map that lights up where things move may be a map of how those things look. To tell the two apart, one must take the
# motion away and keep the looks: [Inside the model II: the mask](04_inside_the_model_mask.ipynb) does that to the mask, with
# films that repeat one frame.
#
# Two more traps. The largest of many layers is always flattered by choosing it (exercise 3): read the curves, not only
# the table. And all of this is about the *mean* channel. That a mean does not show motion does not say that the tokens do
# not hold it; a small trained reader on top of them could find what the mean cancels. The mask head of PAGE-4D is exactly
# such a reader.
#
# ## Where the camera token looks
#
# A feature map shows what a patch has become. For the cameras another question matters more: who is *listened to*? The
# pose is read from the camera tokens. In global attention the one of frame $i$ weighs every patch $j$ of all frames with
#
# $$ w_{ij} = \frac{e^{\ell_{ij}}}{\sum_k e^{\ell_{ik}}}, \qquad
#    \ell_{ij} = \frac{q_i \cdot k_j}{\sqrt d} + r_i\, m_j , $$
#
# and the mask acts on exactly these rows: $r_i$ is 64 for camera and register tokens and 0 for patches, and $m_j$ is below
# zero where the head wants them to look away. A bias in the exponent is a factor outside of it, so a patch with $m_j$
# counts $e^{64 m_j}$ times as much as before. Its *share* falls less than that, because what it loses is divided among
# all. If the moving patches hold the share $a$ of the attention and all get the same $m$, they keep
# $a' = a\,e^{64m} / (1 - a + a\,e^{64m})$:

# %%
shares_before = np.array([0.1, 0.5, 0.9])
kept = {}
for m in (-0.5, -0.1, -0.05, -0.01, 0.0):
    factor = np.exp(64 * m)
    kept[m] = shares_before * factor / (1 - shares_before + shares_before * factor)
limits = pd.DataFrame(kept, index=[f"a = {100 * a:.0f} %" for a in shares_before])
(100 * limits).rename_axis(columns="m").map("{:.2f} %".format)

# %% [markdown]
# At $m = -0.5$, the strongest value that the head can give, nothing is left even of nine tenths. At $-0.01$ a small
# share is nearly halved and a large one keeps nine tenths of itself. Between them lies a factor of fifty in $m$, and the useful range is at its small end.
#
# {numref}`fig-figure2-camera` shows the camera token of one frame looking at all frames, once with the mask and once
# without, in the first and the last masked pair. The two pairs of rows mean different things. Up to the *first* masked
# pair both runs are the same network on the same tokens, so the difference is the mask's own doing. At the *last* one, the
# tokens themselves have changed under nine masked pairs in the released network (fewer here), and the difference holds
# everything that followed from it.

# %%
model = networks["PAGE-4D"]
pairs = [model.config.masked_pairs[0], model.config.masked_pairs[-1]]
step = model.aggregator.mask_step
rows = {}
for label, at in (("with mask", step), ("without mask", model.config.mask_hold_end)):
    model.aggregator.mask_step = at
    rows[label] = camera_attention(model, views.frames.images, pairs)
model.aggregator.mask_step = step

# %% mystnb={"figure": {"caption": "Attention of the middle frame's camera token to the patches of all frames, mean over heads. One colour scale per row; values are shares of all attention.", "name": "fig-figure2-camera"}} tags=["hide-input"]
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
(100 * table).map("{:.1f} %".format) if views.truth else None

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
        f"agree. Of these patches {100 * moving_share:.1f} % are moving. With the mask the share of attention on them is {verdict}. "
        "This is one token of one clip: an example. Over many clips and all pairs it is measured in "
        "[Does the mask help?](06_does_the_mask_help.ipynb)."
    )
Markdown(text) if shares else None

# %% [markdown]
# ## Recap
#
# - A feature map is the mean over channels of one layer's patch tokens; colours show patterns, not sizes.
# - How much moving regions stand out is an AUC with an interval, layer by layer. Looks alone already give one, so the bar
#   is the first layer and a map without a network, not 0.5.
# - The mask multiplies what the cameras' rows give to a patch by $e^{64m}$, and what they attend to can be drawn with it
#   and without.
#
# ## Exercises
#
# **1.** Scale all maps of one network by one range instead of each by its own. Which layers disappear?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
layers_of = maps["VGGT"].of("global")
spread = {f"pair {i}": float(layer.std()) for i, layer in enumerate(layers_of)}
pd.Series(spread, name="spread").round(3).to_frame()
# A layer whose spread is small against the largest one would be grey.

# %% [markdown]
# **2.** The AUC of a map and of its negative: how are they related?

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
# **4.** Which $m$ halves the share of attention on moving patches, if they hold 10 %, 50 % or 90 % of it?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
# a' = a / 2 gives e^(64 m) = (1 - a) / (2 - a).
half = np.log((1 - shares_before) / (2 - shares_before)) / 64
shares = [f"a = {100 * a:.0f} %" for a in shares_before]
pd.Series(half, index=shares, name="m").round(4).to_frame()
# The larger the crowd, the stronger the mask that it takes.

# %% [markdown]
# **5.** Give the camera token's attention itself the question of this chapter: with and without the mask, what is the AUC
# of the attended patches against the moving ones, over the clips of a world in which the truth is known?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
found = {}
for index in range(min(clips, 6)):
    clip = split_clip("dynamic-test", index, height=size, width=size, frames=frames)
    truth = patches_moving(clip.moving.numpy(), size // patch, size // patch)
    for label, at in (("with mask", step), ("without", model.config.mask_hold_end)):
        model.aggregator.mask_step = at
        seen = camera_attention(model, clip.images, pairs)[:, 0]
        found.setdefault(label, []).append([moving_auc(one, truth) for one in seen])
model.aggregator.mask_step = step
means = {label: np.nanmean(rows, 0) for label, rows in found.items()}
pd.DataFrame(means, index=[f"pair {pair}" for pair in pairs]).round(3)
# Below 0.5: the camera of the first frame looks at still patches rather than at moving ones.

# %% [markdown]
# **6.** Does the last map know of motion? Repeat each frame until it is a film of its own, in which nothing moves, and ask the
# last map of that film for what moves in the clip.


# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
def last_map(model, images):
    return feature_maps(model, images).of("global")[-1]


found = {}
for index in range(min(clips, 4)):
    clip = split_clip("dynamic-test", index, height=size, width=size, frames=frames)
    truth = patches_moving(clip.moving.numpy(), size // patch, size // patch)
    for name, model in networks.items():
        films = (image.expand_as(clip.images) for image in clip.images)
        still = np.stack([last_map(model, film)[0] for film in films])
        areas = [moving_auc(a, truth) for a in (last_map(model, clip.images), still)]
        found.setdefault(name, []).append(areas)
means = {name: np.nanmean(rows, 0) for name, rows in found.items()}
pd.DataFrame(means, index=["the clip", "films that stand still"]).round(3)
# What the second row has came without any motion.

# %% [markdown]
# ## Further reading
#
# {cite:t}`zhou2025page4d` for the figure and the mask, {cite:t}`darcet2024registers` for artefacts in feature maps and the
# register tokens that take them up, {cite:t}`oquab2024dinov2` for the encoder whose patches these are, and
# {cite:t}`chen2025easi3r` for motion that is read from attention without training anything.
