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
# a moving scene, and where the paper and the released code differ.
#
# **Needs**: a minute on any computer; the released weights (`weights = "mask"`) are 5 GB and want a GPU.
#
# **The small run** uses a small network that was trained with the mask kept on, for a few minutes. The mechanism is the
# released one. Unlike the paper's, its mask was also taught by the world's true motion, so what it marks says nothing of
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
# channel is standardised over space, giving $z$; three convolutions and the mean over channels give one number a
# patch:
#
# $$ m = \sigma\bigl(\text{head}(z) + \overline{z}\bigr) - \tfrac12 \in \left(-\tfrac12, \tfrac12\right). $$
#
# In a masked global block the logit of query token $i$ and key token $j$ becomes
#
# $$ \ell_{ij} = \frac{q_i \cdot k_j}{\sqrt{d}} + r_i\,m_j, \qquad
#    r_i = \begin{cases} 64\,\alpha & \text{camera and register tokens} \\ 0 & \text{patches,} \end{cases} $$
#
# with $m_j = 0$ where $j$ is a camera or register token. Rows are queries: only the rows of the special tokens
# change. The 64 is a constant, whatever the head's width $d$. Before the softmax divides by their sum, a key's weight
# is multiplied by $e^{64 \alpha m}$, and that is a strong word even for a small $m$:

# %%
import math

import pandas as pd
from page4d.model import MASK_STRENGTH

values = [-0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1]
weight = {m: f"x {math.exp(MASK_STRENGTH * m):.3g}" for m in values}
pd.DataFrame(weight, index=["weight of the key"]).rename_axis("m", axis="columns")

# %% [markdown]
# ## The schedule
#
# $\alpha$ is 1 for the first `hold_start` steps, falls along half a cosine, and is 0 from `hold_end` on. The values
# here are those of the paper's run {cite}`zhou2025page4d` (quoted). Once $\alpha$ is 0, the mask head gets no gradient
# and the network is VGGT again, with weights that learned beside a mask. The two released checkpoints belong to
# these two settings: mask gone (`nomask`) and mask kept (`mask`).

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
# Patches with a negative $m$ are those that the pose tokens are told to look away from.

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
# still patch, drawn at random, how often has the moving one the lower $m$? Chance is 0.5.

# %%
from page4d.result import moving_auc, patches_moving
from page4d.world import split_clip

held_out = [
    split_clip("dynamic-test", i, height=H, width=W, frames=frames)
    for i in range(clips)
]
areas = []
for clip in held_out:
    mask = aggregator.run(clip.images[None].to(device), keep=()).mask[0].cpu().numpy()
    areas.append(moving_auc(-mask, patches_moving(clip.moving.numpy(), rows, columns)))

# %%
from page4d.evaluate import marks_text

print(marks_text(areas, "patch"))

# %% [markdown]
# In the paper nobody tells the mask what moves; it learns only from what helps the cameras. This small network's was told
# (`aid.mask_weight`). A share near a half means that a mask has not found the moving things. What a small network's mask
# finds says little about the released one: that needs the released weights.
#
# ## Only special rows change
#
# The same weights with and without the mask: `mask_step` is the step at which the schedule is read, so a step behind
# its end switches the mask off. The difference starts in the special tokens of the first masked block. Patches differ
# from the next block on, because they in turn look at the special tokens.


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
    f"block {first}: special tokens differ by {gap[first, :special].mean():.1e}, patches by {gap[first, special:].max():.1e}"
)

# %% mystnb={"figure": {"caption": "Mean difference that the mask makes to the global block's output. Shaded: the masked blocks.", "name": "fig-gap"}}
figure, axis = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
axis.axvspan(first - 0.5, config.masked_pairs[-1] + 0.5, color="0.9")
axis.plot(gap[:, :special].mean(1).cpu(), marker="o", label="special tokens")
axis.plot(gap[:, special:].mean(1).cpu(), marker="o", label="patches")
axis.legend()
_ = axis.set(xlabel="pair", ylabel="mean |difference|")

# %% [markdown]
# ## What it does to attention rows
#
# The camera token's row in the first masked block, with and without the mask:

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

# %% tags=["remove-input"]
from IPython.display import Markdown

text = "Summed over the moving patches, how much attention does the camera token spend on them?"
Markdown(text) if views.truth else None

# %% mystnb={"figure": {"caption": "Share of the camera tokens' patch attention that falls on moving patches, block by block, and the share of moving patches in the clip.", "name": "fig-share"}}
if views.truth:
    patches = patches_moving(moving, rows, columns)
    spent = {}
    figure, axis = plt.subplots(figsize=(5, 2.6), layout="constrained")
    for name, row in {"without": plain, "with mask": masked}.items():
        share = row[..., patches].sum(-1) / row.sum((-3, -2, -1))
        spent[name] = share.mean(-1)
        axis.plot(config.masked_pairs, spent[name], marker="o", label=name)
    axis.axhline(patches.mean(), color="0.6", ls="--", label="moving patches")
    axis.legend()
    _ = axis.set(
        xlabel="pair", ylabel="share", xticks=config.masked_pairs, ylim=(0, None)
    )

# %% tags=["remove-input"]
if views.truth:
    less = int((spent["with mask"] < spent["without"]).sum())
    text = f"With the mask the camera tokens spend less on moving patches in {less} of {len(config.masked_pairs)} masked "
    text += "pairs. Where they spend more, the mask draws them to moving things instead of away."
Markdown(text) if views.truth else None

# %% [markdown]
# ## What it does to the answer
#
# Held-out synthetic clips, with the mask and with it switched off in the same weights. Switching it off is not how a
# mask-free network is trained, so this says how much these weights rely on their mask, not whether a mask is worth
# having. Fair comparisons need two trainings.

# %%
from page4d.evaluate import held_out_clips, mean_scores

found = {}
for name, step in {"with mask": 0, "switched off": config.mask_hold_end}.items():
    aggregator.mask_step = step
    found[name] = held_out_clips(model, clips, frames)
aggregator.mask_step = 0
means = {name: vars(mean_scores(scores)) for name, scores in found.items()}
pd.DataFrame(means).round(3)

# %% tags=["remove-input"]
from page4d.evaluate import clip_effects

effects = clip_effects(found["with mask"], found["switched off"])
Markdown(
    "With the mask, beside the same weights without it, on the same clips: "
    f"depth {effects['abs_rel']}; rotation {effects['rotation']}. `rotation_deg_still` is a camera that never turns, "
    "`direction_deg` is 90 by chance: both say how much there is in these poses for a mask to protect."
)

# %% [markdown]
# ## Where paper and code differ
#
# The released weights only work with what the released code does, so that is what stands in `page4d.model.mask`.
#
# | | paper (quoted) | released code and weights, and ours |
# |---|---|---|
# | bias | $-\alpha\,\sigma(-m/\tau)$, with learned $\alpha$ and $\tau$ | $64\,\alpha\,(\sigma(\cdot) - \tfrac12)$; 64 is constant, $\alpha$ is scheduled |
# | can it attract? | no, for positive $\alpha$ the bias is never above 0 | yes, $m$ goes up to $+\tfrac12$ |
# | stages | 8 plain, 10 masked, 6 plain pairs | mask read after pair 9, used in pairs 10 to 19 of 24 |
# | what counts the steps | not said | the public code counts forward passes in an attribute that no checkpoint saves, so a resumed run starts its schedule again; ours counts optimizer steps and restores them |

# %% [markdown]
# ## Recap
#
# - One number a patch, in $(-\frac12, \frac12)$, times $64\,\alpha$, is added to the logits of the camera and
#   register tokens in some global blocks. Patches go on seeing everything.
# - A small $m$ is a strong word: the weight of a key is multiplied by $e^{64 \alpha m}$.
# - The schedule takes the mask away during training; `nomask` and `mask` are the two ends of that.
# - What a mask marks is measured against truth, not seen in a picture.
#
# ## Exercises
#
# **1.** At which $\alpha$ does a patch with $m = -0.05$ count half as much as without the mask?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
print(f"alpha = {math.log(2) / (MASK_STRENGTH * 0.05):.3f}")

# %% [markdown]
# **2.** Add the same number to all $m$ of a clip. What changes?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
logits = torch.randn(5)
plain_row, shifted = logits.softmax(0), (logits + MASK_STRENGTH * 0.1).softmax(0)
print(f"among patches: {(plain_row - shifted).abs().max():.1e}")
# Nothing among the patches, for softmax does not see a common factor. But special tokens have m = 0, so all patches
# together gain or lose against them.

# %% [markdown]
# **3.** At which step is $\alpha$ one half, and is that the middle of the fall?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
half = next(s for s in range(hold_end) if mask_alpha(s, hold_start, hold_end) <= 0.5)
print(f"step {half}, middle {(hold_start + hold_end) / 2:.0f}")

# %% [markdown]
# ## Further reading
#
# {cite:t}`zhou2025page4d` introduce the mask; {cite:t}`chen2025easi3r` find what moves in the attention of a network that
# was never told; {cite:t}`bescos2018dynaslam` and {cite:t}`li2025megasam` mask moving things in classical pipelines.
