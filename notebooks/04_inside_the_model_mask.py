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
# # Inside the model II: the mask
#
# A small head predicts one value per patch, and in some of the global blocks that value is added to the attention
# logits of the camera and register tokens, so that pose can look away from what moves while the patches see all.
#
# **You will learn** the mask's formula and schedule, which attention rows it changes and by how much, what it marks on
# a moving scene, how to tell whether it sees motion or looks, and where the paper and the released code differ.
#
# **Needs**: a minute on any computer; the released weights (`weights = "mask"`) are 5 GB and want a GPU. [Inside the model
# I: tokens](03_inside_the_model_tokens.ipynb) first; symbols are on the page of [notation](../notation.md).
#
# **The small run** uses a small network whose last stage of training kept the mask on. The mechanism is the released one. Unlike the paper's, its mask was also taught by the world's true motion, so what it marks says nothing of
# what a mask finds by itself; how well it marks what moves is measured below.

# %% tags=["parameters"]
weights = "page4d-tiny-mask"
images = "synthetic:7"
frames = 4
clips = 8
hold_start = 6000
hold_end = 10000
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## One vote, two questions
#
# In the crowd of the last chapter, the camera token is the one that only listens. It hears every patch of every frame and
# forms a weighted mean: where did the camera stand? Now somebody walks through the scene. The patches on the walker are not
# lying. They say truthfully "I was here, and now I am there", and a wall that had moved so would mean that the camera
# moved the other way. The camera token cannot know from one patch which of the two is true. It must decide whom to
# believe, and the only way in which attention decides is by weights.
#
# Why not take the walker out, as a segmentation in front of a classical pipeline does {cite}`bescos2018dynaslam`? Because the
# same network is asked a second question at the same time: what shape has *everything*, the walker included? To answer that,
# the walker's patches must hear the wall's and the wall's must hear the walker's. Pose wants them ignored, shape wants them
# heard. PAGE-4D {cite}`zhou2025page4d` lets both have what they want, because the two questions are asked by different
# tokens: a mask that is added for the rows of those tokens that ask for the pose, and for no others. The picture first:

# %% mystnb={"figure": {"caption": "What the mask adds to the attention logits of three frames: rows are who asks, columns are who is heard. Only the rows of the camera and register tokens change, and there only the columns of patches. Blue takes attention away, as in the maps of m below.", "name": "fig-mask-bias"}}
from page4d.viz import mask_diagram

mask_diagram()

# %%
import page4d
from page4d.data import open_views

model = page4d.PAGE4D.from_pretrained(weights, mask=True, device=device)
config, aggregator = model.config, model.aggregator
views = open_views(images, size=config.img_size, patch=config.patch_size, frames=frames)
pictures = views.frames.images.to(device)
S, _, H, W = pictures.shape
rows, columns = H // config.patch_size, W // config.patch_size
print(
    f"the mask is read after frame block {config.mask_source} and used in global blocks {config.masked_pairs}"
)

# %% [markdown]
# ## The formula
#
# The mask head sees the patch tokens of one frame as a small image of $C$ channels, cut off from the gradient. Each
# channel is standardized over space, giving $z$; three convolutions and the mean over channels give one number per
# patch:
#
# $$ m = \sigma\bigl(\text{head}(z) + \overline{z}\bigr) - \tfrac12 \in \left(-\tfrac12, \tfrac12\right). $$
#
# where $\sigma$ is the logistic function, head the three convolutions (each patch with its neighbours; then $C$ channels to
# 256; then to one), and $\overline z$ the mean of $z$ over its channels. Piece by piece: *cut off from the gradient*, because
# the mask should read what the tokens say and not change what they say. *Standardized over space*, because "moves" is a
# statement about a patch beside the others of its picture, whatever the scene. *The mean added*, because the paper's
# Figure 2 found that this plain mean is already low where things move, so the head starts from something and learns the
# rest ([Figure 2: what the layers see](15_figure_2.ipynb) measures on which side the small networks have it). *Minus a half*, so that a patch of which nothing is known, $\sigma(0) = \frac12$, changes nothing.
#
# In a masked global block the logit of query token $i$ and key token $j$ becomes
#
# $$ \ell_{ij} = \frac{q_i \cdot k_j}{\sqrt{d}} + r_i\,m_j, \qquad
#    r_i = \begin{cases} 64\,\alpha & \text{camera and register tokens} \\ 0 & \text{patches,} \end{cases} $$
#
# with $m_j = 0$ where $j$ is a camera or register token. Rows are queries: only the rows of the special tokens
# change, as in {numref}`fig-mask-bias`. The term is an outer product, a column of strengths times a row of masks, so the whole
# bias of a large matrix is known from two short lists. The 64 is a constant, whatever the head's width $d$. Before the
# softmax divides by their sum, a key's weight
# is multiplied by $e^{64 \alpha m}$, and that is a strong word even for a small $m$:

# %%
import math

import pandas as pd
from page4d.model import MASK_STRENGTH

values = [-0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1]
weight = {m: f"x {math.exp(MASK_STRENGTH * m):.3g}" for m in values}
pd.DataFrame(weight, index=["weight of the key"]).rename_axis("m", axis="columns")

# %% [markdown]
# So the range of $m$ hardly matters: at the ends, $\pm\frac12$, the exponent is $\pm 32$, which is to say never or only. What
# counts is the neighbourhood of 0, and a tenth is far away already. A worked example: of 100 patches that a camera token
# would hear alike, 30 lie on moving things. How much of the vote is theirs, as their $m$ falls?

# %%
still, moves = 70, 30
vote = {
    m: moves * math.exp(MASK_STRENGTH * m) for m in (0.0, -0.01, -0.02, -0.05, -0.1)
}
shares = {m: f"{100 * w / (still + w):.1f} %" for m, w in vote.items()}
pd.DataFrame(shares, index=["share of the moving"]).rename_axis("m", axis="columns")

# %% [markdown]
# At 0 the share is that of their number; for a large $-m$ it falls like an exponential, until there is nothing to lose. The
# still patches have gained what the moving ones lost, because a softmax divides by the sum. That is the gentle
# side of an additive bias. A hard mask would have to be right; this one may be unsure, and a patch that is wrongly marked
# a little still has a voice.
#
# ## The schedule
#
# $\alpha$ is 1 for the first `hold_start` steps, falls along half a cosine, and is 0 from `hold_end` on. The values
# here are those of the paper's run {cite}`zhou2025page4d` (quoted). Once $\alpha$ is 0, the mask head gets no gradient
# and the network is VGGT again, with weights that learned beside a mask. The two released checkpoints belong to
# these two settings: mask gone (`nomask`) and mask kept (`mask`).
#
# Why build a thing in order to take it away? Think of the training wheels on a child's bicycle. While the mask is whole, the
# camera tokens learn to read poses from still patches only; the path of the gradient from pose to moving patches is nearly
# closed, so it cannot lead astray. Then the wheels are lifted slowly, and the weights have to do by themselves what the
# mask did for them. If that works, the deployed network needs no mask, costs no more than VGGT and has no part that can
# fail on an unseen scene. If it does not, the mask was a crutch. Both are possible, and [Does the mask
# help?](06_does_the_mask_help.ipynb) asks which of them holds in small. A half *cosine* ({numref}`fig-alpha`) leaves and arrives
# without a kink: the mask begins to go slowly, and is almost gone for a while before it is gone.

# %% mystnb={"figure": {"caption": "Strength of the mask over the optimizer steps of a training run.", "name": "fig-alpha"}}
import matplotlib.pyplot as plt
from page4d.model import mask_alpha

steps = range(0, hold_end + hold_start // 2, 50)
figure, axis = plt.subplots(figsize=(5, 2.3), layout="constrained")
axis.plot(steps, [mask_alpha(step, hold_start, hold_end) for step in steps])
_ = axis.set(xlabel="optimizer step", ylabel="alpha")

# %% [markdown]
# ## The mask on a moving scene
#
# Patches with a negative $m$ are those that the pose tokens are told to look away from, and where all are positive, those
# with the lowest: they gain least. In {numref}`fig-mask`, compare the
# blue patches with the last row, where there is one: do they lie where things move? And look at the colour bar before the
# colours. They always fill the bar, so a mask of a hundredth looks as decided as one of a half; the table above says what
# its numbers are worth.

# %% mystnb={"figure": {"caption": "Pictures, the mask m of each patch, and, on synthetic scenes, the exact moving pixels. Blue patches lose the attention of the pose tokens, red ones gain it.", "name": "fig-mask"}}
import torch
from page4d.viz import Row, contact_sheet

torch.set_grad_enabled(False)
m = aggregator.run(pictures[None], keep=()).mask[0].cpu().numpy()
reach = float(abs(m).max())
shown = [Row(pictures.permute(0, 2, 3, 1).cpu().numpy(), "image")]
shown += [Row(m, "mask", "m", "RdBu_r", (-reach, reach))]
if views.truth:
    moving = views.truth.moving.numpy()
    shown += [Row(moving.astype(float), "moving", "0 still, 1 moving", "magma", (0, 1))]
sheet = contact_sheet(shown)

# %% [markdown]
# A picture persuades too easily. On held-out synthetic clips the truth is known, so we can ask: of a moving and a
# still patch, drawn at random, how often has the moving one the lower $m$? Chance is 0.5. This share (the area under the
# ROC curve, AUC) needs no threshold and does not care about the scale of $m$: it asks for the order alone. A mask that is
# right in every pair has 1; one that has found the moving things and takes them for the still ones has 0, which is
# knowledge too, used the wrong way. A patch is called moving if enough of its pixels are.

# %%
from page4d.result import moving_auc, patches_moving
from page4d.world import split_clip

held_out = [
    split_clip("dynamic-test", i, height=H, width=W, frames=frames)
    for i in range(clips)
]
truths = [patches_moving(clip.moving.numpy(), rows, columns) for clip in held_out]


def mask_of(images):
    return aggregator.run(images[None].to(device), keep=()).mask[0].cpu().numpy()


masks = [mask_of(clip.images) for clip in held_out]
areas = [moving_auc(-mask, truth) for mask, truth in zip(masks, truths, strict=True)]

# %%
from page4d.evaluate import marks_text

print(marks_text(areas, "patch"))

# %% [markdown]
# In the paper nobody tells the mask what moves; it learns only from what helps the cameras. This small network's was told,
# by a loss of its own during training (`aid.mask_weight`). A share near a half means that a mask has not found the moving
# things. What a small network's mask finds says little about the released one: that needs the released weights.
#
# ### Motion, or looks?
#
# One question is left open by any such number. A thing that moves differs from a wall before it moves: in colour, in outline, in
# its place in the picture. A network that has learned these is right about motion without ever having seen any. The
# test is simple: show it films in which nothing moves. Each frame of a clip is repeated until it is a film of its own, and
# the mask of that film is scored by what moves in the real clip. A mask that sees motion must fall to what looks can tell; one
# that goes by looks stays where it was. {numref}`fig-still-films` has both masks of the clip above; in {numref}`tab-still-films`, which
# counts, a third row needs no network and no second frame: it calls moving what is dark.


# %%
import numpy as np
from torch.nn.functional import avg_pool2d


def standing(images):
    """The mask of each frame in a film that shows nothing else."""
    films = (image.expand_as(images) for image in images)
    return np.stack([mask_of(film)[0] for film in films])


def brightness(images):
    return avg_pool2d(images.mean(1, keepdim=True), config.patch_size)[:, 0].numpy()


stopped = [standing(clip.images) for clip in held_out]
light = [brightness(clip.images) for clip in held_out]

# %% mystnb={"figure": {"caption": "The mask of the clip, and below it, frame by frame, the mask of a film that repeats this frame only.", "name": "fig-still-films"}} tags=["hide-input"]
look = {"unit": "m", "cmap": "RdBu_r", "limits": (-reach, reach)}
one = standing(pictures)
films = [Row(m, "clip", **look), Row(one, "standing still", **look)]
sheet = contact_sheet(films)

# %% mystnb={"figure": {"caption": "How often a moving patch is marked before a still one of its clip (AUC): by the mask of the clip, by the mask of films that repeat one frame of it, and by darkness. Means over clips with 95 % intervals; chance is 0.5.", "name": "tab-still-films"}} tags=["hide-input"]
from page4d.evaluate import interval_of_means

tried = {"mask of the clip": masks, "mask of films that stand still": stopped}
tried["darkness, no network"] = light
marked = {}
for name, maps in tried.items():
    found = [moving_auc(-a, truth) for a, truth in zip(maps, truths, strict=True)]
    found = np.array(found)[np.isfinite(found)]
    low, high = interval_of_means(found[:, None])
    share = {"AUC": f"{found.mean():.2f}"}
    marked[name] = share | {"95 % interval": f"{low[0]:.2f} to {high[0]:.2f}"}
pd.DataFrame(marked).T

# %% tags=["remove-input"]
from IPython.display import Markdown

moved, still_film = (float(row["AUC"]) for row in list(marked.values())[:2])
alike = np.corrcoef(np.ravel(masks), np.ravel(stopped))[0, 1]
text = f"The masks of the clips and those of the standing films have a correlation of {alike:.2f}. "
if moved - still_film < 0.02:
    text += "This mask **recognizes** things that may move; it does not see them move. "
else:
    text += f"Motion adds {moved - still_film:.2f} to what looks tell. "
text += f"The mask is read after frame block {config.mask_source}, and the global blocks before it have compared the frames: "
text += "it could know of motion. Whether it must depends on what it was trained on."
Markdown(text)

# %% [markdown]
# Is a mask of looks worth less? Not to a camera: what may walk off is a bad witness even while it stands. But it says what
# such a mask cannot do. A parked car and a driving one are the same to it, and a wall that slides is a wall. And it is a
# warning about worlds that people make: where what moves can be told by its looks, a network has no reason to learn
# anything harder. The films that stand still are a test worth doing with every mask, the released ones included.
#
# How can a mask learn what nobody tells it? The loss of the cameras has a gradient with respect to every $m_j$, through the
# weights of the camera token's row: if hearing patch $j$ less makes the pose better, $m_j$ is pushed down. Over many scenes,
# what has in common the patches that are better not heard is that they move. But other things make a bad witness as well: a
# mirror, a sky, a white wall. The mask learns *whom not to ask*, and motion is one reason
# among others.
#
# ## Only special rows change
#
# The same weights with and without the mask: `mask_step` is the step at which the schedule is read, so a step behind
# its end switches the mask off. The difference starts in the special tokens of the first masked block. Patches differ
# from the next block on, because they in turn look at the special tokens. So the sentence "patches see everything" is true
# of each block and not of the network: the mask reaches the maps by a detour over the camera and register tokens.
# The next cells measure both, the first step and what becomes of it.


# %%
def tokens_at(step):
    aggregator.mask_step = step
    pair_outputs, _ = aggregator(pictures, keep=range(config.depth))
    aggregator.mask_step = 0
    return [pair[0, ..., config.embed_dim :] for pair in pair_outputs]


on, off = tokens_at(0), tokens_at(config.mask_hold_end)
gap = torch.stack([(a - b).abs().mean((0, 2)) for a, b in zip(on, off, strict=True)])
special = gap.shape[1] - rows * columns
first = config.masked_pairs[0]
print(
    f"block {first}: special tokens differ by {gap[first, :special].mean():.2g}, patches by {gap[first, special:].max():.2g}"
)

# %% mystnb={"figure": {"caption": "Mean difference that the mask makes to the global block's output, in the units of the tokens. Shaded: the masked blocks.", "name": "fig-gap"}}
figure, axis = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
axis.axvspan(first - 0.5, config.masked_pairs[-1] + 0.5, color="0.9")
axis.plot(gap[:, :special].mean(1).cpu(), marker="o", label="special tokens")
axis.plot(gap[:, special:].mean(1).cpu(), marker="o", label="patches")
axis.legend()
_ = axis.set(xlabel="pair", ylabel="mean |difference|")

# %% [markdown]
# In {numref}`fig-gap`, find the first masked pair: there the special tokens' curve leaves zero and the patches' stays at it. One
# pair later both are above zero. Behind the shaded part nothing is added to the logits any more, but the patches go on listening to special tokens
# that have changed, so their difference may go on growing.

# %% tags=["remove-input"]
size = torch.stack([tokens.abs().mean((0, 2)) for tokens in off])
part = 100 * gap[:, special:].mean(1) / size[:, special:].mean(1)
Markdown(
    f"Beside the mean size of the patches' numbers, the difference is {part[config.masked_pairs[-1]]:.1f} % after the last "
    f"masked pair and {part[-1]:.1f} % after the last pair of all. What of it is left in depth and cameras is measured below."
)

# %% [markdown]
# ## What it does to attention rows
#
# {numref}`fig-rows` has the camera token's row in the first masked block, with and without the mask. The colours are shares of attention, and the
# scale is the same in all panels, so a panel that is brighter as a whole is a frame that is heard more:

# %% mystnb={"figure": {"caption": "Attention of the last frame's camera token to the patches of all frames in the first masked block, mean over heads, one colour scale.", "name": "fig-rows"}}
from page4d.features import camera_attention


def rows_at(step):
    aggregator.mask_step = step
    found = camera_attention(model, pictures, config.masked_pairs)
    aggregator.mask_step = 0
    return found


masked, plain = rows_at(0), rows_at(config.mask_hold_end)
top = max(masked[0, -1].max(), plain[0, -1].max())
look = {"cmap": "magma", "limits": (0, top), "unit": "share"}
sheet = contact_sheet(
    [Row(plain[0, -1], "without", **look), Row(masked[0, -1], "with mask", **look)]
)

# %% [markdown]
# Among patches only differences of $m$ count (exercise 2), so "marked" is a relative word. Summed over the quarter of patches
# with the lowest $m$ and, where the truth is known, over those that really move: how much of its attention does the
# camera token spend on them ({numref}`fig-share`)?

# %%
groups = {"marked": m <= np.quantile(m, 0.25)}
if views.truth:
    groups["moving"] = patches_moving(moving, rows, columns)
spent = {}
for group, patches in groups.items():
    for name, row in {"without": plain, "with mask": masked}.items():
        share = row[..., patches].sum(-1) / row.sum((-3, -2, -1))
        spent[group, name] = share.mean(-1)

# %% mystnb={"figure": {"caption": "Share of the camera tokens' patch attention that falls on the quarter of patches with the lowest m (marked) and, on synthetic scenes, on moving patches, block by block. Dashed: their share of all patches.", "name": "fig-share"}} tags=["hide-input"]
figure, axes = plt.subplots(
    1, len(groups), figsize=(4 * len(groups), 2.6), layout="constrained", squeeze=False
)
for axis, (group, patches) in zip(axes[0], groups.items(), strict=True):
    for name in ("without", "with mask"):
        values = spent[group, name]
        look = {"marker": "o", "clip_on": False, "zorder": 3}
        axis.plot(config.masked_pairs, values, label=name, **look)
    axis.axhline(patches.mean(), color="0.6", ls="--")
    axis.set(title=f"{group} patches", xlabel="pair", ylim=(0, None))
    axis.set(xticks=config.masked_pairs, ylabel="share of attention")
_ = figure.legend(
    *axis.get_legend_handles_labels(), loc="outside lower center", ncols=2
)

# %% tags=["remove-input"]
if views.truth:
    less = int((spent["moving", "with mask"] < spent["moving", "without"]).sum())
    text = f"With the mask the camera tokens spend less on moving patches in {less} of {len(config.masked_pairs)} masked pairs."
    if less < len(config.masked_pairs):
        text += " Where they spend more, the mask draws them to moving things instead of away."
    text += " This is one clip; [Does the mask help?](06_does_the_mask_help.ipynb) measures many."
Markdown(text) if views.truth else None

# %% [markdown]
# ## What it does to the answer
#
# Held-out synthetic clips, with the mask and with it switched off in the same weights. Switching it off is not how a
# mask-free network is trained, so this says how much these weights rely on their mask, not whether a mask is worth having.
# Whoever is used to a handrail stumbles when it is gone; that does not show that handrails make people faster. Fair
# comparisons need two trainings that differ in the mask alone, and [Does the mask help?](06_does_the_mask_help.ipynb) has
# them.

# %%
from page4d.evaluate import clip_table, held_out_clips, mean_scores

found = {}
for name, step in {"with mask": 0, "switched off": config.mask_hold_end}.items():
    aggregator.mask_step = step
    found[name] = held_out_clips(model, clips, frames)
aggregator.mask_step = 0
clip_table({name: mean_scores(scores) for name, scores in found.items()})

# %% tags=["remove-input"]
from page4d.evaluate import clip_effects

effects = clip_effects(found["with mask"], found["switched off"])
Markdown(
    "With the mask, beside the same weights without it, on the same clips: "
    f"depth {effects['abs_rel']}; rotation {effects['rotation']}. A camera that never turns "
    "knows nothing, and the direction is 90 degrees off by chance: both say how much there is in these poses for a mask to protect."
)

# %% [markdown]
# ## Where paper and code differ
#
# Not every difference between a paper and its code is a fault; but whoever writes the method anew from the paper alone gets
# another network, and one into which the released weights do not fit. They only work with what the released code does, so
# that is what stands in `page4d.model.mask`. The second row is the one to think about. In the paper's form a mask can
# only take attention away; in the released one it can also *draw* it, by a factor of up to $e^{32}$, and nothing in the loss
# forbids a mask to mark what it likes instead of what it distrusts.
#
# | what | paper (quoted) | released code and weights, and ours |
# |---|---|---|
# | bias | $-\alpha\,\sigma(-m/\tau)$, with learned $\alpha$ and $\tau$ | $64\,\alpha\,(\sigma(\cdot) - \tfrac12)$; 64 is constant, $\alpha$ is scheduled |
# | can it attract? | no, for positive $\alpha$ the bias is never above 0 | yes, $m$ goes up to $+\tfrac12$ |
# | what geometry gets of it | motion cues are "amplified" for it (abstract on arXiv) | nothing: the rows of patches are as they were, and no bias acts on them |
# | stages | 8 plain, 10 masked, 6 plain pairs | mask read after pair 9, used in pairs 10 to 19 of 24 |
# | what counts the steps | not said | the public code counts forward passes in an attribute that no checkpoint saves, so a resumed run starts its schedule again; ours counts optimizer steps and restores them |

# %% [markdown]
# ## Recap
#
# - One number per patch, in $(-\frac12, \frac12)$, times $64\,\alpha$, is added to the logits of the camera and
#   register tokens in some global blocks. Patches go on seeing everything.
# - A small $m$ is a strong word: the weight of a key is multiplied by $e^{64 \alpha m}$.
# - The schedule takes the mask away during training; `nomask` and `mask` are the two ends of that.
# - What a mask marks is measured against the truth of synthetic clips, not seen in a picture; and whether it sees motion or
#   looks, by films in which nothing moves.
#
# ## Exercises
#
# **1.** At which $\alpha$ does a patch with $m = -0.05$ count half as much as without the mask?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
print(f"alpha = {math.log(2) / (MASK_STRENGTH * 0.05):.3f}")

# %% [markdown]
# **2.** Add the same number to all $m$ of a clip. What changes?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
torch.manual_seed(0)
logits = torch.randn(5)
plain_row, shifted = logits.softmax(0), (logits + MASK_STRENGTH * 0.1).softmax(0)
print(f"among patches: {(plain_row - shifted).abs().max():.2g}")
# Nothing among the patches, for softmax does not see a common factor. But special tokens have m = 0, so all patches
# together gain or lose against them.

# %% [markdown]
# **3.** At which step is $\alpha$ one half, and is that the middle of the fall?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
half = next(s for s in range(hold_end) if mask_alpha(s, hold_start, hold_end) <= 0.5)
print(f"step {half}, middle {(hold_start + hold_end) / 2:.0f}")

# %% [markdown]
# **4.** Replace the constant 64 by 1. How far may the weight of a patch then change at most, and could such a mask close the
# way for a moving patch?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
for strength in (1, 8, MASK_STRENGTH):
    print(
        f"{strength:g}: between x {math.exp(-strength / 2):.2g} and x {math.exp(strength / 2):.2g}"
    )
# With 1 a patch keeps more than half of its weight whatever the mask says. The constant makes m a switch.

# %% [markdown]
# **5.** In a frame in which *every* patch moves alike (the camera looks out of a train at another train), what can the mask do?
# Think of the standardization over space.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
torch.manual_seed(0)
tokens = torch.randn(16, 6, 6)
everywhere = tokens + torch.randn(16, 1, 1)  # the same added to all patches of a frame


def standardized(map_):
    mean, deviation = map_.mean((1, 2), keepdim=True), map_.std((1, 2), keepdim=True)
    return (map_ - mean) / deviation


gone = (standardized(everywhere) - standardized(tokens)).abs().max()
print(f"largest difference after standardizing: {gone:.2g}")
# Nothing: what all patches of a frame share is subtracted before the head sees it. Motion is seen as what is different.

# %% [markdown]
# ## Further reading
#
# {cite:t}`zhou2025page4d` introduce the mask; {cite:t}`chen2025easi3r` find what moves in the attention of a network that
# was never told; {cite:t}`bescos2018dynaslam` and {cite:t}`li2025megasam` mask moving things in classical pipelines.
