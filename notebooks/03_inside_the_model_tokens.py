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
# # Inside the model I: tokens
#
# The network cuts every picture into patches, adds five tokens that belong to no patch, lets all of them look at
# each other within a frame and across frames in turn, and reads cameras from one token and maps from the patches.
#
# **You will learn** what a token is, what frame and global attention see, why the first frame is special, and which
# tokens each head reads. Everything is shown on the tensors of one forward pass.
#
# **Needs**: a minute on any computer; the released weights are 5 GB and want a GPU.
#
# **The small run** uses a small network of the same build: fewer pairs, narrower tokens, smaller pictures. All shapes
# below are printed from the network at hand, and the cells run unchanged on `weights = "nomask"`.

# %% tags=["parameters"]
weights = "tiny"
images = "synthetic:7"
frames = 4
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %%
import page4d
from page4d.data import open_views

model = page4d.PAGE4D.from_pretrained(weights, device=device)
config = model.config
views = open_views(images, size=config.img_size, patch=config.patch_size, frames=frames)
pictures = views.frames.images.to(device)
S, _, H, W = pictures.shape

# %% [markdown]
# ## From pixels to tokens
#
# A patch becomes one vector. The small networks use a single convolution for this; the released ones use a whole
# DINOv2 encoder {cite}`oquab2024dinov2,darcet2024registers`. In front of the patches of each frame stand one camera
# token and four register tokens, learned vectors that start the same for every picture.

# %%
import torch

torch.set_grad_enabled(False)
tokens = model.aggregator.embed(pictures[None])
rows, columns = H // config.patch_size, W // config.patch_size
start = tokens.shape[2] - rows * columns
print(
    f"pictures {tuple(pictures.shape)}: {S} frames of {rows} x {columns} patches of {config.patch_size} px"
)
print(
    f"tokens   {tuple(tokens.shape)}: batch, frames, {start} special + {rows * columns} patches, width"
)

# %% mystnb={"figure": {"caption": "The first frame as the network cuts it. Each square becomes one token.", "name": "fig-patches"}}
import matplotlib.pyplot as plt

figure, axis = plt.subplots(figsize=(4, 4 * H / W), layout="constrained")
axis.imshow(pictures[0].permute(1, 2, 0).cpu(), extent=(-0.5, W - 0.5, H - 0.5, -0.5))
lines = {"color": "white", "lw": 0.7, "alpha": 0.7}
for i in range(1, rows):
    axis.axhline(i * config.patch_size - 0.5, **lines)
for i in range(1, columns):
    axis.axvline(i * config.patch_size - 0.5, **lines)
_ = axis.set(xlabel="x (px)", ylabel="y (px)")

# %% [markdown]
# ## Who is first
#
# The camera and register tokens come in two versions: one for the first frame, one for all others. That is the only
# thing that tells the network which camera is the world. Two consequences can be seen. Swapping two *later* frames
# swaps their cameras and changes nothing else; swapping the first frame changes the world, so all cameras change.


# %%
def cameras(order):
    pair_outputs, _ = model.aggregator(pictures[list(order)])
    return model.camera_head(pair_outputs)[-1][0]


straight = list(range(S))
later = [0, *reversed(straight[1:])]
other = straight[::-1]
for name, order in {"later frames": later, "first frame": other}.items():
    gap = (cameras(order) - cameras(straight)[order]).abs().max()
    print(f"{name} swapped: cameras differ by {gap:.1e}")

# %% [markdown]
# The first number is rounding, the second is not. It takes three frames or more: of two only one is a later frame, and
# there is nothing to swap.
#
# ## Two kinds of attention, in turn
#
# A *pair* is a frame block, in which a frame's tokens look only at each other, and a global block, in which the
# tokens of all frames look at each other. With $P$ tokens a frame, the first costs $S P^2$ comparisons and the second
# $(S P)^2$; that is why many frames are expensive.

# %%
P = tokens.shape[2]
print(
    f"{config.depth} pairs; P = {P}; frame attention {S * P**2:,} comparisons, global attention {(S * P) ** 2:,}"
)

# %% [markdown]
# The next cell listens to both blocks of one pair and keeps the attention of one patch of the first frame: how much
# it takes from every other token, as the mean over heads.

# %%
pair, patch = config.depth // 2, (rows // 2) * columns + columns // 2
seen = {}


def listen(kind):
    def keep(attention, inputs):
        q, k, _ = attention.queries_keys_values(*inputs[:2])
        # The first item: frame 0 in a frame block, all frames in a global block.
        logits = q[0, :, start + patch, None] @ k[0].mT / q.shape[-1] ** 0.5
        seen[kind] = logits.softmax(-1).mean((0, 1))

    return keep


# %%
blocks = {
    "frame": model.aggregator.frame_blocks,
    "global": model.aggregator.global_blocks,
}
hooks = [
    b[pair].attn.register_forward_pre_hook(listen(kind)) for kind, b in blocks.items()
]
pair_outputs, _ = model.aggregator(pictures)
for hook in hooks:
    hook.remove()
for kind, row in seen.items():
    print(f"{kind} block: one row over {len(row)} tokens")


# %% mystnb={"figure": {"caption": "What one patch (cross) looks at in the middle pair. Left: the frame block, its own frame only. Then: the global block, all frames. Shares of attention, one colour scale; the rest goes to special tokens.", "name": "fig-attention"}}
def patch_map(row):
    return row.unflatten(0, (-1, P))[:, start:].unflatten(1, (rows, columns)).cpu()


maps = torch.cat((patch_map(seen["frame"]), patch_map(seen["global"])))
figure, axes = plt.subplots(
    1, 1 + S, figsize=(9, 2.3), layout="constrained", squeeze=False
)
titles = ["frame block", *(f"global, frame {i}" for i in range(S))]
for axis, values, title in zip(axes[0], maps, titles, strict=True):
    shown = axis.imshow(values, vmin=0, vmax=maps.max(), cmap="magma")
    axis.set(title=title, xticks=[], yticks=[])
for axis in axes[0][:2]:
    axis.plot(patch % columns, patch // columns, "c+")
bar = figure.colorbar(shown, ax=axes[0].tolist(), label="share of attention")

# %% [markdown]
# ## What the pairs hold
#
# The output of a pair is the frame block's tokens beside the global block's, twice the width. Below is the mean over
# channels of the patch tokens, pair after pair: the picture that the paper's figure 2 shows, on this network.

# %% mystnb={"figure": {"caption": "Channel mean of the patch tokens after the frame and the global block, at the pairs that the dense heads read. Each map has its own scale.", "name": "fig-pairs"}}
from page4d.features import feature_maps
from page4d.viz import feature_figure

maps = feature_maps(model, pictures)
shown = (pictures.permute(0, 2, 3, 1) * 255).byte().cpu().numpy()
figure = feature_figure(
    {"frame": maps.frame, "global": maps.global_}, shown, config.dpt_pairs
)

# %% [markdown]
# ## What each head reads
#
# The aggregator returns one entry per pair, None where no head reads it, and the index at which patches start. The
# heads take what they need: the camera head only the camera token of the last pair, the dense heads the patch tokens
# of four pairs. The calls are VGGT's.

# %%
pair_outputs, start = model.aggregator(pictures)
encodings = model.camera_head(pair_outputs)
depth, depth_conf = model.depth_head(pair_outputs, pictures[None], start)
points, points_conf = model.point_head(pair_outputs, pictures[None], start)

# %% tags=["hide-input"]
import pandas as pd

last, dense = config.depth - 1, ", ".join(map(str, config.dpt_pairs))
table = [
    ("camera", f"camera token of pair {last}", encodings[-1].shape, "pose encoding"),
    ("depth", f"patches of pairs {dense}", depth.shape, "z, and its confidence"),
    ("point", f"patches of pairs {dense}", points.shape, "x, y, z in the world"),
]
pd.DataFrame(table, columns=["head", "reads", "returns", "meaning"]).set_index("head")

# %% [markdown]
# The camera head refines: it predicts, feeds its prediction back and corrects it, with the same weights each time.
# All iterations are returned; the last one counts. Nothing forces a correction to be smaller than the one before it.

# %% mystnb={"figure": {"caption": "How far each iteration of the camera head is from the last one, mean over frames.", "name": "fig-iterations"}}
gaps = torch.stack([(e - encodings[-1])[0].abs().mean(0) for e in encodings]).cpu()
figure, axis = plt.subplots(figsize=(5, 2.6), layout="constrained")
for name, part in {
    "translation": slice(0, 3),
    "quaternion": slice(3, 7),
    "field of view": slice(7, 9),
}.items():
    axis.plot(
        range(1, len(encodings) + 1), gaps[:, part].mean(1), marker="o", label=name
    )
axis.legend()
_ = axis.set(
    xlabel="iteration", ylabel="mean difference", xticks=range(1, len(encodings) + 1)
)

# %% [markdown]
# Calling the parts one by one gives what the whole network gives:

# %%
whole = model(pictures)
print(
    "depth equal:",
    torch.equal(whole["depth"], depth),
    " cameras equal:",
    torch.equal(whole["pose_enc"], encodings[-1]),
)

# %% [markdown]
# ## Where the weights are

# %% mystnb={"figure": {"caption": "Parameters of each part of the network at hand.", "name": "fig-parameters"}}
parts = {
    name: sum(p.numel() for p in part.parameters())
    for name, part in model.named_children()
}
figure, axis = plt.subplots(figsize=(5, 2), layout="constrained")
bars = axis.barh(list(parts), [count / 1e6 for count in parts.values()])
axis.bar_label(bars, fmt="%.2f", padding=3)
_ = axis.set(xlabel="million parameters")

# %% [markdown]
# Most of the weights are in the aggregator. The chapter on the mask adds the one part that PAGE-4D has and VGGT
# {cite}`wang2025vggt` has not: the mask.

# %% [markdown]
# ## Recap
#
# - A picture is cut into patches; each patch, one camera token and four registers are the tokens of a frame.
# - Frame blocks see one frame, global blocks all of them; their outputs side by side are what the heads read.
# - Which frame is the world is said by the special tokens and by nothing else.
# - Cameras are read from one token a frame and corrected several times, maps from patches of four pairs.
#
# ## Exercises
#
# **1.** How many tokens have 100 frames of 518 x 336 in the released network, and how large would their matrix of attention
# be in one head with 16-bit numbers?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
released = page4d.PAGE4DConfig()
side = released.patch_size
many = 100 * (start + (518 // side) * (336 // side))
print(f"{many:,} tokens, {many**2 * 2 / 1e9:.0f} GB")
# Nobody stores it: attention is computed in tiles, and only its result is kept.

# %% [markdown]
# **2.** With how many frames does global attention cost ten times as much as frame attention?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
# (S P)^2 / (S P^2) = S, so with ten, whatever the size of the pictures.
for n in (2, 10, 100):
    print(f"{n} frames: global / frame = {(n * P) ** 2 / (n * P**2):.0f}")

# %% [markdown]
# **3.** Shuffle the patches of one frame before the first pair, positions and all. Without running it: which outputs change,
# and what would change if there were no rotary positions? (Try it in [](19_build_it_in_150_lines).)

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
# With its position carried along, a patch is the same token at another place of a list: attention does not see the
# order of the list, so the camera does not change and the maps are shuffled alike. Without rotary positions the network
# could not tell a picture from its jigsaw at all.
small = torch.randn(1, 1, 6, 8)
mixed = [3, 1, 5, 0, 4, 2]
look = torch.nn.functional.scaled_dot_product_attention
together = look(small, small, small)[:, :, mixed]
apart = look(*[small[:, :, mixed]] * 3)
print(f"largest difference {(together - apart).abs().max():.1e}")

# %% [markdown]
# ## Further reading
#
# {cite:t}`dosovitskiy2021vit` cut pictures into tokens first; {cite:t}`darcet2024registers` explain registers,
# {cite:t}`su2024roformer` rotary positions and {cite:t}`oquab2024dinov2` the encoder of the released network.
