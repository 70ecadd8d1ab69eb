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
# **Needs**: a minute on any computer; the released weights are 5 GB and want a GPU. Symbols are on the page of
# [notation](../notation.md).
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

# %% [markdown]
# ## A table of people who may all talk to each other
#
# Imagine that a scene is to be reconstructed by a crowd. Each person has seen one small square of one photograph, and
# nothing else. Nobody can say how far away their own square is: a white patch may be a near sheet of paper or a far wall. But
# they may talk. First, those of one photograph talk among themselves: "I am the edge of a table, who has the legs?" Then all
# photographs talk together: "has anyone else seen this corner, and where?" Then again within each photograph, with the new
# knowledge, and so on, two dozen times. At the end each square is asked for its depth, and one secretary per photograph, who
# saw nothing and only listened, is asked where the camera stood.
#
# That is the whole network. The people are **tokens**, vectors of numbers (1,024 of them in the released network); the talking is **attention**, a weighted mean
# over what others say; the secretary is the **camera token**. There is no matching, no triangulation and no adjustment of
# anything to anything, and no part of the program knows what a camera is until the last step turns nine numbers into one.
# What the crowd says to each other was never prescribed: it was found by training. This chapter looks at who hears whom.

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
# A picture is cut into square patches, as in {numref}`fig-patches`, and each patch becomes one vector.

# %% mystnb={"figure": {"caption": "The first frame as the network cuts it. Each square becomes one token.", "name": "fig-patches"}}
import matplotlib.pyplot as plt

rows, columns = H // config.patch_size, W // config.patch_size
figure, axis = plt.subplots(figsize=(4, 4 * H / W), layout="constrained")
axis.imshow(pictures[0].permute(1, 2, 0).cpu(), extent=(-0.5, W - 0.5, H - 0.5, -0.5))
lines = {"color": "white", "lw": 0.7, "alpha": 0.7}
for i in range(1, rows):
    axis.axhline(i * config.patch_size - 0.5, **lines)
for i in range(1, columns):
    axis.axvline(i * config.patch_size - 0.5, **lines)
_ = axis.set(xlabel="x (px)", ylabel="y (px)")

# %% [markdown]
# Ask of each square what it could know by itself. Many hold one colour and nothing else. Whatever the network
# says about those, it has from their neighbours.
#
# In letters, $H \times W$ pixels are cut into $h \times w$ patches of $p \times p$ pixels, and each becomes a vector of $C$
# numbers {cite}`dosovitskiy2021vit`. Why patches and not pixels? Because of the price of talking: everybody listens to everybody, so
# twice as many tokens are four times the work, and pixels would be $p^2$ times as many. Why not larger patches? Because
# what happens inside a patch must be said by one vector, and a fine edge in it is lost to everyone else. The small networks
# use a single convolution for the step from pixels to vector: $3\,p^2$ numbers go in, $C$ come out, the same matrix for
# every patch. The released ones use a whole DINOv2 encoder {cite}`oquab2024dinov2,darcet2024registers`, 24 blocks that
# have learned from a great many pictures, without labels, what tends to belong together.
#
# In front of the patches of each frame stand five vectors that belong to no place: one camera token and four registers. They
# are learned, and start the same for every picture. The camera token collects what its frame knows about its camera. The
# registers have no such duty; a transformer that has no place for notes writes them into patches where little is to be seen,
# and spoils those, so it is given paper {cite}`darcet2024registers`. So a frame has $P = 5 + h\,w$ tokens.

# %%
import torch

torch.set_grad_enabled(False)
tokens = model.aggregator.embed(pictures[None])
start = tokens.shape[2] - rows * columns
print(
    f"pictures {tuple(pictures.shape)}: {S} frames of {rows} x {columns} patches of {config.patch_size} px"
)
print(
    f"tokens   {tuple(tokens.shape)}: batch, frames, {start} special + {rows * columns} patches, width"
)

# %% [markdown]
# How does a token know *where* its square was? A list of vectors has no places. Here they are told in every block anew:
# before queries and keys are compared, both are turned by angles that grow with row and column, so that their product
# depends on how far two patches are apart and not on where they stand {cite}`su2024roformer`. The five special tokens are
# not turned at all. What is *not* told is the number of the frame: positions are the same in all frames.
#
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
    print(f"{name} swapped: cameras differ by {gap:.2g}")

# %% [markdown]
# The first number is rounding, the second is not. It takes three frames or more: of two only one is a later frame, and
# there is nothing to swap.
#
# This is a fine property and a hard limit at once. A set of holiday photographs in any order is as good as a film: the
# network cannot be confused by an order that it does not see. But it cannot use the order either. That a camera moves
# smoothly, that frame 7 lies between frames 6 and 8, that things do not jump: all of that must be found in the pictures, for
# nobody says it. And the choice of the first frame is a choice of yours. If it is the blurred one, the whole answer is
# expressed in a frame that the network sees badly. A later network, $\pi^3$ {cite}`wang2026pi3`, takes the privilege away: no
# frame is first there, and the points of every frame stand in its own camera.
#
# ## Two kinds of attention, in turn
#
# Attention in one formula {cite}`vaswani2017attention`: each token $i$ makes a query $q_i$, a key $k_i$ and a value $v_i$, three
# vectors of $d$ numbers, by three learned matrices. Token $i$ then receives
#
# $$ \sum_j a_{ij}\,v_j, \qquad a_{ij} = \frac{e^{\ell_{ij}}}{\sum_k e^{\ell_{ik}}}, \qquad
#    \ell_{ij} = \frac{q_i \cdot k_j}{\sqrt d} . $$
#
# The shares $a_{ij}$ are positive and sum to 1 over $j$: a weighted mean, in which each token decides by itself whom it hears.
# The root is there because the product of two random vectors of $d$ numbers grows with $\sqrt d$; without it, one key would take all the
# weight before anything is learned. Several such *heads* work side by side, each with its own matrices, so that a token can
# listen for several things at once. In this network queries and keys are also normalized first
# {cite}`henry2020qknorm`, which bounds every logit.
#
# Two extremes show what the formula can do. If all logits of a row are equal, the token hears the plain mean of everybody, and
# the more there are, the less each of them counts. If one logit is larger than all others by ten, that one has practically
# everything, and the token has *found a correspondence*. Everything between is a soft search.

# %% mystnb={"figure": {"caption": "Who hears whom, for the tokens of three frames: rows are who asks, columns are who is heard. Left: a frame block; right: a global block.", "name": "fig-two-attentions"}}
from page4d.viz import attention_diagram

attention_diagram()

# %% [markdown]
# {numref}`fig-two-attentions` draws the two. A *pair* is a frame block, in which a frame's tokens look only at each other,
# and a global block, in which the tokens of all frames look at each other. The two are the same function with the same kind of weights; the only difference is
# which tokens form the list. With $P$ tokens per frame, the first costs $S P^2$ comparisons and the second
# $(S P)^2$; that is why many frames are expensive. Why not global blocks only? Then each token would listen to a crowd in
# which its own frame is one of $S$, and what belongs to the single picture (this is a table, these are its legs) would have
# to be found in that noise. VGGT {cite}`wang2025vggt` alternates; so does its child.

# %%
P = tokens.shape[2]
print(
    f"{config.depth} pairs; P = {P}; frame attention {S * P**2:,} comparisons, global attention {(S * P) ** 2:,}"
)

# %% [markdown]
# The next cells listen to both blocks of one pair and keep the attention of one patch of the first frame: how much it takes
# from every other token, as the mean over heads. A mean over heads is a summary that hides who looks for what; it is shown
# because it is one picture. [Speed and memory](26_speed_and_memory.ipynb) has measured what these comparisons cost.

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
    axis.set_title(title)
    axis.set_axis_off()
for axis in axes[0][:2]:
    for ink, width in (("black", 3.5), ("cyan", 1.5)):
        look = {"color": ink, "markersize": 10, "markeredgewidth": width}
        axis.plot(patch % columns, patch // columns, "+", **look)
bar = figure.colorbar(shown, ax=axes[0].tolist(), label="share", shrink=0.75)

# %%
to_patches = {kind: row.unflatten(0, (-1, P))[:, start:] for kind, row in seen.items()}
own, *others = to_patches["global"].sum(1).tolist()
print(
    f"frame block: {100 * to_patches['frame'].sum():.0f} % on patches, the rest on special tokens"
)
print(
    f"global block: {100 * own:.0f} % on patches of its own frame, {100 * sum(others):.0f} % on others"
)
plain = rows * columns / (S * P)
print(f"if all tokens counted alike: {100 * plain:.0f} % on patches of each frame")

# %% [markdown]
# Read {numref}`fig-attention` from the cross outwards, and compare the panels of the global block. A bright place in
# another frame is where this patch has found something like itself; if the camera moved, it is not at the same place. A
# panel without a bright place says that nothing was found there, or that this pair does not look for it. The numbers above
# say how the sum of 1 is divided. Attention shows where information *comes from*; it does not say what is done with it.
#
# ## What the pairs hold
#
# The output of a pair is the frame block's tokens beside the global block's, twice the width, so that a head can compare
# what a patch meant in its own picture with what it means among all. Below is the mean over
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
# In {numref}`fig-pairs`, look at how the maps change from top to bottom: early pairs often resemble
# the picture, later ones its regions. Each map has its own scale, so brightness does not compare between maps; and a mean
# over channels may be flat although the channels are full. [Figure 2: what the layers see](15_figure_2.ipynb) asks with
# numbers what such a map knows about motion, and [Inside the model II: the mask](04_inside_the_model_mask.ipynb) builds on
# exactly this mean.
#
# ## What each head reads
#
# The aggregator returns one entry per pair, None where no head reads it, and the index at which patches start. The
# heads take what they need: the camera head only the camera token of the last pair, the dense heads the patch tokens
# of four pairs ({numref}`tab-heads`). The calls are VGGT's.

# %%
pair_outputs, start = model.aggregator(pictures)
encodings = model.camera_head(pair_outputs)
depth, depth_conf = model.depth_head(pair_outputs, pictures[None], start)
points, points_conf = model.point_head(pair_outputs, pictures[None], start)

# %% mystnb={"figure": {"caption": "What each head reads of the tokens, and the shape of what it returns.", "name": "tab-heads"}} tags=["hide-input"]
import pandas as pd

last, dense = config.depth - 1, ", ".join(map(str, config.dpt_pairs))
table = [
    ("camera", f"camera token of pair {last}", encodings[-1].shape, "pose encoding"),
    ("depth", f"patches of pairs {dense}", depth.shape, "z, and its confidence"),
    ("point", f"patches of pairs {dense}", points.shape, "x, y, z in the world"),
]
pd.DataFrame(table, columns=["head", "reads", "returns", "meaning"]).set_index("head")

# %% [markdown]
# Why four pairs for the maps? A depth map needs both: the outline of a thing, which early tokens still hold, and what the
# thing is and where, which only late tokens know. A DPT head {cite}`ranftl2021dpt` spreads the tokens of four depths of the
# network out as small pictures, brings them to four sizes, and adds them up from the coarsest to the finest. After the
# cutting into patches it is the first part that is made of convolutions, and the only one in which a value inside a patch
# gets a place of its own. Depth comes out as an exponential, so that it is positive whatever the numbers inside; confidence
# as $1 + e^c$. The two dense heads know nothing of each other and nothing of the camera head. They agree as far as training
# made them agree, which is why [Quickstart](01_quickstart.ipynb) calls depth and points two answers.
#
# The camera head refines: it predicts, feeds its prediction back and corrects it, with the same weights each time. The first
# guess starts from a learned constant; after that, each pass sees the token *and* what was said so far, and adds a
# difference. That is the idea of a solver, with the step learned instead of derived.
# All answers are returned; the final one counts. Nothing forces an answer to be nearer to the final one than the answer before
# it was; {numref}`fig-iterations` measures these distances for this clip.

# %% mystnb={"figure": {"caption": "How far the camera head's answer after each iteration is from its final answer, mean over frames and over the numbers of each part.", "name": "fig-iterations"}}
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
    xlabel="iteration", ylabel="mean distance", xticks=range(1, len(encodings) + 1)
)

# %% tags=["remove-input"]
from IPython.display import Markdown

steps = gaps.mean(1).tolist()[:-1]
falls = steps == sorted(steps, reverse=True)
told = "get smaller with every pass" if falls else "do not get smaller with every pass"
Markdown(
    f"For this clip the distances to the final answer {told}: "
    + ", ".join(f"{step:.4f}" for step in steps)
    + " in the mean over the nine numbers. A small distance says that the head has settled, not that it is right."
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
#
# {numref}`fig-parameters` counts them, part by part.

# %% mystnb={"figure": {"caption": "Parameters of each part of the network at hand.", "name": "fig-parameters"}}
parts = {
    name: sum(p.numel() for p in part.parameters())
    for name, part in model.named_children()
}
figure, axis = plt.subplots(figsize=(5, 2), layout="constrained")
bars = axis.barh(list(parts), [count / 1e6 for count in parts.values()])
axis.bar_label(bars, fmt="%.2f", padding=3)
axis.margins(x=0.15)
_ = axis.set(xlabel="million parameters")

# %% [markdown]
# Bars of weights are not bars of time: the dense heads have few weights and use them at every pixel. Follow one patch once
# more. It enters as $3\,p^2$ numbers
# that mean nothing alone; frame blocks tell it what it is part of; global blocks tell it where else that part was seen; and
# at the end one number per pixel is read from it. Nobody told it that the same thing seen from two places gives a depth. That
# it was possible to learn this from examples is the discovery of DUSt3R {cite}`wang2024dust3r`; that it works for all frames at once
# is VGGT's.
#
# [Build it in 150 lines](19_build_it_in_150_lines.ipynb) writes all of this down in functions of a few lines each. The next
# chapter adds the one part that PAGE-4D has and VGGT has not: the mask.

# %% [markdown]
# ## Recap
#
# - A picture is cut into patches; each patch, one camera token and four registers are the tokens of a frame.
# - Frame blocks see one frame, global blocks all of them; their outputs side by side are what the heads read.
# - Which frame is the world is said by the special tokens and by nothing else.
# - Cameras are read from one token per frame and corrected several times, maps from patches of four pairs.
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
# **3.** Shuffle the patches of one frame before the first pair, positions and all. Without running it: which outputs
# change, and what would change if there were no rotary positions? (Try it in [Build it in 150
# lines](19_build_it_in_150_lines.ipynb).)

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
# With its position carried along, a patch is the same token at another place of a list: attention does not see the
# order of the list, so the camera does not change and the maps are shuffled alike. Without rotary positions the network
# could not tell a picture from its jigsaw at all.
torch.manual_seed(0)
small = torch.randn(1, 1, 6, 8)
mixed = [3, 1, 5, 0, 4, 2]
look = torch.nn.functional.scaled_dot_product_attention
together = look(small, small, small)[:, :, mixed]
apart = look(*[small[:, :, mixed]] * 3)
print(f"largest difference {(together - apart).abs().max():.2g}")

# %% [markdown]
# **4.** Attention over many keys with equal logits is a mean. How much larger than all others must one logit be to get half of
# the weight, among the tokens of this clip and among those of a hundred frames?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
import math

for n in (S, 100):
    print(f"{n} frames, {n * P:,} tokens: {math.log(n * P - 1):.1f}")
# e^x = n P - 1: the logarithm of the number of keys. Long clips ask for sharper keys, but only slowly.

# %% [markdown]
# **5.** The first frame is shown twice, as the first and as the last one. Which cameras should be equal, and are they?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
twice = cameras([*range(S), 0])
print(f"first against its copy: {(twice[0] - twice[-1]).abs().max():.2g}")
print(f"first against another frame: {(twice[0] - twice[1]).abs().max():.2g}")
# Both show the same picture, but the copy carries the tokens of a later frame: equality has to be learned.

# %% [markdown]
# ## Further reading
#
# {cite:t}`dosovitskiy2021vit` cut pictures into tokens first; {cite:t}`darcet2024registers` explain registers,
# {cite:t}`su2024roformer` rotary positions and {cite:t}`oquab2024dinov2` the encoder of the released network.
