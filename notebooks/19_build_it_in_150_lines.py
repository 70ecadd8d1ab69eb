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
# # Build it in 150 lines
#
# The whole network, from pixels to cameras, depth and points, as plain functions on a dictionary of weights, with the
# same numbers as the package.
#
# **You will learn** every operation of VGGT and PAGE-4D in the order in which it happens: tokens, rotary positions,
# attention, a pair of blocks, the mask, the camera head and the dense head.
#
# **Needs**: a minute on any computer, and some PyTorch. What tokens are *for* is told in [Inside the model I:
# tokens](03_inside_the_model_tokens.ipynb) and [Inside the model II: the mask](04_inside_the_model_mask.ipynb); symbols are
# on the page of [notation](../notation.md).
#
# **The small run** takes the small network that comes with the package. The functions read every size from its
# configuration, so `weights = "mask"` runs the released network through the same lines. {numref}`fig-build-network` has the
# plan.

# %% tags=["parameters"]
weights = "tiny"
images = "synthetic:7"
frames = 4
device = "cpu"

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% mystnb={"figure": {"caption": "What this chapter builds.", "name": "fig-build-network"}}
import page4d
from page4d.data import open_views
from page4d.viz import network_diagram

model = page4d.PAGE4D.from_pretrained(weights, mask=True, device=device)
c = model.config
encoder = "one convolution" if c.patch_embed == "conv" else "DINOv2"
network_diagram(c.depth, c.mask_source, c.masked_pairs, c.dpt_pairs, encoder)

# %% [markdown]
# From here on the class `PAGE4D` is only asked for its weights, and at the end of each step for its answer, to compare.
# Three functions of one line read a layer out of the dictionary; everything else is made of them. Our numbers and the
# package's may differ by rounding: the largest difference must stay below a hundred-thousandth of the largest number.
#
# One habit makes the functions short. Every array ends in *tokens, numbers*, and a function leaves all axes before these
# two alone. The frames of a clip are such an axis: as (frames, tokens, numbers) they are a batch, in which no frame
# hears of another. Flattened into (frames times tokens, numbers) the same values are one long list, in which everybody
# hears everybody. The whole difference between the two kinds of attention below is that call of `flatten`, and it is why
# one function with one kind of weights can do both. If a shape surprises you, print it: most mistakes of a network
# written anew are axes, not formulas.

# %%
import torch
from torch.nn import functional as F

torch.set_grad_enabled(False)
w = model.state_dict()


def linear(x, name):
    return F.linear(x, w[name + ".weight"], w[name + ".bias"])


def norm(x, name, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], eps)


def conv(x, name, **options):
    return F.conv2d(x, w[name + ".weight"], w.get(name + ".bias"), **options)


# %%
def check(what, ours, theirs):
    gap = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    print(f"{what}: {tuple(ours.shape)}, largest relative difference {gap:.1e}")
    assert gap < 1e-5, what


# %% [markdown]
# ## Pixels to tokens
#
# A picture is cut into patches of $p \times p$ pixels, and every patch becomes a vector of $C$ numbers. In the small
# network this is one convolution whose stride is the patch; in the released one it is DINOv2 {cite}`oquab2024dinov2`, a
# transformer of its own, made of the same blocks that we are about to write (exercise 4).
#
# In front of the patches stand one **camera token** and four **registers** {cite}`darcet2024registers`, learned vectors
# that belong to no place. There are two sets of them: one for the first frame, which is the world, and one for all
# others.

# %%
views = open_views(images, size=c.img_size, patch=c.patch_size, frames=frames)
pictures = views.frames.images.to(device)
S, _, H, W = pictures.shape
rows, columns = H // c.patch_size, W // c.patch_size


# %%
def patches_of(pictures):
    mean = torch.tensor([0.485, 0.456, 0.406], device=device).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], device=device).view(3, 1, 1)
    x = (pictures - mean) / deviation
    if c.patch_embed != "conv":
        return model.aggregator.patch_embed(x)
    return conv(x, "aggregator.patch_embed.proj", stride=c.patch_size).flatten(2).mT


def tokens_of(pictures):
    learned = (w["aggregator.camera_token"][0], w["aggregator.register_token"][0])
    first, other = torch.cat(learned, 1)
    special = torch.stack([first] + [other] * (S - 1))
    return torch.cat((special, patches_of(pictures)), 1)


# %%
x = tokens_of(pictures)
check("tokens of all frames", x, model.aggregator.embed(pictures[None])[0])

# %% [markdown]
# ## Where a token is: rotary positions
#
# Attention has no idea of order: shuffle the tokens, and the answers are shuffled alike. Rotary positions
# {cite}`su2024roformer` put the place into the *product* of a query and a key. Take two numbers of the query as a point
# in the plane and turn it by an angle that grows with the token's row; do the same with the key. A product of two turned
# vectors depends on the difference of their angles, so on the difference of their rows, and not on the rows themselves.
#
# Half of a head's $d$ numbers turn with the row, half with the column, each at many speeds: within a half of width
# $D = d/2$ the pairs have the frequencies $\omega_i = 100^{-2i/D}$. Special tokens stand at $(0, 0)$ and patch rows and
# columns begin at 1. {numref}`fig-build-rope` shows what such a product knows.


# %%
def angles_of(rows, columns, half):
    frequencies = 100 ** (-torch.arange(0, half, 2, device=device) / half)
    grid = torch.arange(1, rows + 1), torch.arange(1, columns + 1)
    places = F.pad(torch.cartesian_prod(*grid), (0, 0, 5, 0)).to(device)
    angles = places[:, :, None] * frequencies
    return torch.cat((angles, angles), -1).flatten(1)


def turn(x, angles):
    """Numbers i and i + D / 2 of each half are the plane in which a pair turns."""
    a, b = x.unflatten(-1, (2, 2, -1)).unbind(-2)
    quarter = torch.stack((-b, a), -2).flatten(-3)
    return x * angles.cos() + quarter * angles.sin()


# %% mystnb={"figure": {"caption": "One vector as query in the middle and as key everywhere: the product after turning, highest where the key stands near the query. That is all a rotary embedding says.", "name": "fig-build-rope"}}
import matplotlib.pyplot as plt

half = c.embed_dim // c.num_heads // 2
side = 21
wide = angles_of(side, side, half)[5:]
vector = torch.ones(1, 2 * half, device=device)
key = turn(vector, wide)
product = (key[side * side // 2] @ key.T).view(side, side) / (2 * half)
figure, axis = plt.subplots(figsize=(3.6, 3), layout="constrained")
figure.colorbar(axis.imshow(product.cpu(), extent=(-10.5, 10.5, 10.5, -10.5)))
_ = axis.set(xlabel="columns apart", ylabel="rows apart", title="q · k / d")
_ = axis.set(xticks=range(-10, 11, 5), yticks=range(-10, 11, 5))

# %% [markdown]
# ## Attention, and a block around it
#
# Every token asks a question (query), offers an answer (value) and says what its answer is about (key)
# {cite}`vaswani2017attention`:
#
# $$ \text{out}_i = \sum_j \frac{e^{\ell_{ij}}}{\sum_k e^{\ell_{ik}}}\, v_j , \qquad
#    \ell_{ij} = \frac{q_i \cdot k_j}{\sqrt{d}} + b_{ij} . $$
#
# The bias $b_{ij}$ is zero except where the mask acts. Queries and keys pass a LayerNorm of their own before they are
# turned {cite}`henry2020qknorm`, which bounds the logits. Around attention stands the block of all modern
# transformers: normalize, transform, scale by a learned factor per channel {cite}`touvron2021cait`, add.


# %%
def attention(x, name, heads, angles=None, bias=0.0):
    qkv = linear(x, name + ".qkv").unflatten(-1, (3, heads, -1))
    q, k, v = qkv.movedim(-3, 0).transpose(-3, -2)
    if name + ".q_norm.weight" in w:
        q, k = norm(q, name + ".q_norm"), norm(k, name + ".k_norm")
    if angles is not None:
        q, k = turn(q, angles), turn(k, angles)
    logits = q @ k.mT / q.shape[-1] ** 0.5 + bias
    mixed = logits.softmax(-1) @ v
    return linear(mixed.transpose(-3, -2).flatten(-2), name + ".proj")


# %%
def mlp(x, name):
    return linear(F.gelu(linear(x, name + ".fc1")), name + ".fc2")


def block(x, name, heads, angles=None, bias=0.0, eps=1e-5):
    a = attention(norm(x, name + ".norm1", eps), name + ".attn", heads, angles, bias)
    x = x + w[name + ".ls1.gamma"] * a
    return x + w[name + ".ls2.gamma"] * mlp(
        norm(x, name + ".norm2", eps), name + ".mlp"
    )


# %% [markdown]
# ## The mask
#
# Between the two attentions of one pair, a small head looks at every frame's patch tokens as a picture of $C$ channels.
# Each channel is standardized over the picture, giving $z$; three convolutions and the mean of $z$ give one number per
# patch, squeezed into $m \in (-\frac12, \frac12)$. The bias is an outer product: $64\,\alpha$ for the rows of
# special tokens, $m$ for the columns of patches, zero elsewhere.


# %%
def mask_of(patches):
    z = patches.mT.unflatten(-1, (rows, columns))
    deviation = z.std((2, 3), keepdim=True).clamp(min=1e-6)
    z = (z - z.mean((2, 3), keepdim=True)) / deviation
    head = "aggregator.spatial_mask_head.head0"
    x = F.gelu(conv(z, head + ".0", padding=1, groups=z.shape[1]))
    x = conv(F.gelu(conv(x, head + ".2")), head + ".4")
    return torch.sigmoid(x + z.mean(1, keepdim=True)).flatten(1) - 0.5


def bias_of(m):
    strength = 64 * model.aggregator.alpha
    patch_rows = torch.full_like(m, strength if c.mask_rows == "all" else 0.0)
    row = F.pad(patch_rows, (5, 0), value=strength).flatten()
    return torch.outer(row, F.pad(m, (5, 0)).flatten())


# %% [markdown]
# ## Alternating attention
#
# Now the heart of VGGT, in one loop. **Frame attention**: the $S$ frames are a batch, each sees itself. **Global
# attention**: all tokens stand in one row and see each other. What a pair hands to the heads is both outputs side by
# side, $2C$ numbers per token. Positions repeat from frame to frame: nothing but the special tokens tells frames
# apart. The mask's bias of this clip is drawn in {numref}`fig-build-bias`.


# %%
def aggregate(pictures):
    x, bias, pairs = tokens_of(pictures), 0.0, []
    angles = angles_of(rows, columns, c.embed_dim // c.num_heads // 2)
    for i in range(c.depth):
        frame = block(x, f"aggregator.frame_blocks.{i}", c.num_heads, angles)
        if i == c.mask_source:
            bias = bias_of(mask_of(frame[:, 5:]))
        b = bias if i in c.masked_pairs else 0.0
        name = f"aggregator.global_blocks.{i}"
        x = block(frame.flatten(0, 1), name, c.num_heads, angles.repeat(S, 1), b)
        x = x.view_as(frame)
        pairs.append(torch.cat((frame, x), -1))
    return pairs


# %%
pairs = aggregate(pictures)
theirs = model.aggregator.run(pictures[None], keep=range(c.depth))
for i in (0, c.mask_source, c.depth - 1):
    check(f"pair {i}", pairs[i], theirs.tokens[i][0])
m = mask_of(pairs[c.mask_source][:, 5:, : c.embed_dim])
check("mask", m.view(S, rows, columns), theirs.mask[0])

# %% mystnb={"figure": {"caption": "The bias that this clip's mask adds to the logits, as it is: rows are queries, columns keys, frame after frame. The stripes are the rows of the special tokens, five in every frame; all other rows are blank unless the weights put the mask on all rows.", "name": "fig-build-bias"}}
bias = bias_of(m).cpu()
reach = float(bias.abs().max())
figure, axis = plt.subplots(figsize=(4.4, 3.4), layout="constrained")
shown = axis.imshow(
    bias, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest"
)
figure.colorbar(shown, label="added to the logit")
_ = axis.set(xlabel="key", ylabel="query")

# %% [markdown]
# ## The camera head
#
# One token per frame is enough for its camera: the camera token of the last pair. The head answers four times. The first
# time it knows nothing; then it is told its own last answer, as a shift, a scale and a gate on the token
# (the modulation of {cite:t}`peebles2023dit`), and corrects it. Its blocks let the cameras of all frames see each other.


# %%
def cameras(pairs):
    token, raw = norm(pairs[-1][:, 0], "camera_head.token_norm"), 0.0
    told = w["camera_head.empty_pose_tokens"][0]
    for _ in range(4):
        told = F.silu(linear(told, "camera_head.embed_pose"))
        change = linear(told, "camera_head.poseLN_modulation.1")
        shift, scale, gate = change.chunk(3, -1)
        plain = F.layer_norm(token, token.shape[-1:], eps=1e-6)
        x = token + gate * (plain * (1 + scale) + shift)
        for i in range(c.camera_trunk_depth):
            x = block(x, f"camera_head.trunk.{i}", c.camera_heads)
        raw = raw + mlp(norm(x, "camera_head.trunk_norm"), "camera_head.pose_branch")
        told = raw
    return torch.cat((raw[:, :7], raw[:, 7:].relu()), -1)


answer = model(pictures)
check("cameras", cameras(pairs), answer["pose_enc"][0])

# %% [markdown]
# Nine numbers: translation, quaternion, and two fields of view, which may not be negative.
#
# ## The dense head
#
# A map of depth has a value at every pixel, and tokens are $p$ pixels apart. The head is a DPT {cite}`ranftl2021dpt`. It
# takes the tokens of four pairs, early to late, as maps; brings them to four resolutions (times 4, times 2, as is, half);
# and adds them up from coarse to fine. Twice a faint picture of where things lie in the image is added, made of
# sines and cosines of the coordinates.


# %%
def where(like):
    channels, (h, w_) = like.shape[1], like.shape[2:]
    diagonal = (W**2 + H**2) ** 0.5
    frequencies = 100 ** (-torch.arange(channels // 4, device=device) / (channels // 4))
    waves = []
    for n, span in ((w_, W / diagonal), (h, H / diagonal)):
        v = torch.linspace(-span, span, n, device=device)[:, None] * (n - 1) / n
        waves.append(torch.cat(((v * frequencies).sin(), (v * frequencies).cos()), -1))
    across = waves[0][None].expand(h, -1, -1)
    down = waves[1][:, None].expand(-1, w_, -1)
    return 0.1 * torch.cat((across, down), -1).movedim(-1, 0)


# %%
def level(tokens, head, i):
    x = norm(tokens, head + ".norm").mT.unflatten(-1, (rows, columns))
    x = conv(x, f"{head}.projects.{i}")
    x, name = x + where(x), f"{head}.resize_layers.{i}"
    if i < 2:
        up = (4, 2)[i]
        x = F.conv_transpose2d(x, w[name + ".weight"], w[name + ".bias"], stride=up)
    if i == 3:
        x = conv(x, name, stride=2, padding=1)
    return conv(x, f"{head}.scratch.layer{i + 1}_rn", padding=1)


# %% [markdown]
# The residual unit has a quirk that the released weights depend on: its first ReLU overwrites what the skip connection
# later adds. So the sum is $\text{relu}(x) + \dots$ and not $x + \dots$ (exercise 3).


# %%
def unit(x, name):
    x = F.relu(x)
    return x + conv(
        F.relu(conv(x, name + ".conv1", padding=1)), name + ".conv2", padding=1
    )


def grow(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


# %%
def dense(pairs, head):
    levels = [level(pairs[p][:, 5:], head, i) for i, p in enumerate(c.dpt_pairs)]
    sizes = [(8 * rows, 8 * columns)] + [tuple(x.shape[2:]) for x in levels[:3]]
    path, scratch = 0.0, head + ".scratch"
    for i in (3, 2, 1, 0):
        name = f"{scratch}.refinenet{i + 1}"
        x = levels[i] if i == 3 else path + unit(levels[i], name + ".resConfUnit1")
        path = conv(grow(unit(x, name + ".resConfUnit2"), sizes[i]), name + ".out_conv")
    x = grow(conv(path, scratch + ".output_conv1", padding=1), (H, W))
    x = F.relu(conv(x + where(x), scratch + ".output_conv2.0", padding=1))
    return conv(x, scratch + ".output_conv2.2").movedim(1, -1)


# %% [markdown]
# What comes out is raw; the last channel is the confidence. Depth is positive, so it is an exponential. Points may lie
# anywhere, so they are an exponential in both directions, $\text{sign}(y)\,(e^{|y|} - 1)$. A confidence is $1 + e^c$: at
# least 1.

# %%
raw = dense(pairs, "depth_head")
depth, depth_conf = raw[..., :1].exp(), 1 + raw[..., 1].exp()
check("depth", depth, answer["depth"][0])
check("confidence", depth_conf, answer["depth_conf"][0])
raw = dense(pairs, "point_head")
points = raw[..., :3].sign() * torch.expm1(raw[..., :3].abs())
check("points", points, answer["world_points"][0])

# %% mystnb={"figure": {"caption": "Pictures, and the depth that the functions of this chapter computed from them.", "name": "fig-build-depth"}}
from page4d.viz import Row, contact_sheet

sheet = contact_sheet(
    [
        Row(pictures.permute(0, 2, 3, 1).cpu().numpy(), "image"),
        Row(depth[..., 0].cpu().numpy(), "depth", "z (scene units)"),
    ]
)

# %%
import inspect

parts = [linear, norm, conv, patches_of, tokens_of, angles_of, turn, attention, mlp]
parts += [block, mask_of, bias_of, aggregate, cameras, where, level, unit, grow, dense]
lines = sum(len(inspect.getsource(part).strip().splitlines()) for part in parts)
print(f"{len(parts)} functions, {lines} lines")
assert lines <= 150

# %% [markdown]
# ## If yours does not agree
#
# Whoever writes a network anew has it nearly right long before it is right, and nearly right is the worst state: everything
# runs, depth has the colours of depth, and nothing says that a constant is off. So compare after each step and not at the
# end, on weights that were not made for your code, and with a tight bound. The next cells make five slips
# on purpose, one at a time, each of them a line that one could have written in good faith: the other GELU, the other
# epsilon of a norm, patches that are counted from 0, maps that grow with their corners left free, and queries and keys
# that are not normalized.


# %%
def other_gelu(x, name):
    hidden = F.gelu(linear(x, name + ".fc1"), approximate="tanh")
    return linear(hidden, name + ".fc2")


def other_epsilon(x, name, eps=1e-5, right=norm):
    return right(x, name, 0.1 * eps)


def counted_from_zero(rows, columns, half, right=angles_of):
    angles = right(rows, columns, half)
    return torch.cat((angles[:5], angles[5:] - right(1, 1, half)[5:]))


# %%
def free_corners(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def no_query_norm(x, name, eps=1e-5, right=norm):
    return x if name.endswith(("q_norm", "k_norm")) else right(x, name, eps)


def depth_with(slip):
    """The depth while some of the functions above are replaced."""
    kept = {name: globals()[name] for name in slip}
    globals().update(slip)
    wrong = dense(aggregate(pictures), "depth_head")[..., :1].exp()
    globals().update(kept)
    return wrong


# %% mystnb={"figure": {"caption": "How far each slip changes the depth of this clip.", "name": "tab-build-slips"}}
import pandas as pd

slips = {
    "GELU by tanh": {"mlp": other_gelu},
    "a norm's epsilon": {"norm": other_epsilon},
}
slips |= {"counted from 0": {"angles_of": counted_from_zero}}
slips |= {"corners left free": {"grow": free_corners}}
slips |= {"no norm of q and k": {"norm": no_query_norm}}
told = {}
for what, slip in slips.items():
    off = (depth_with(slip) / depth - 1).abs()
    told[what] = {"median": float(off.median()), "largest": float(off.max())}
shown = pd.DataFrame(told).T.map("{:.4f}".format)
shown.replace("0.0000", "below 0.0001")

# %% [markdown]
# Compare {numref}`tab-build-slips` with {numref}`fig-build-depth`, and ask which of these you would have seen there.
# Even a slip that no picture shows makes another network, and weights that are trained with it belong to that code
# from then on.
#
# ## Recap
#
# - Tokens: patches of all frames, and five vectors per frame that belong to no place.
# - A block is attention and a small network, each normalized before, scaled after and added. Frame and global blocks are
#   the same function, called on the tokens in another order.
# - The mask is an outer product in the logits of some global blocks.
# - Cameras come from one token per frame, corrected three times; maps come from four depths of the network.
# - There is nothing else between pixels and cameras, depth and points. What the package adds around it are a head for
#   tracks, speed, memory, checks and names.
#
# ## Exercises
#
# **1.** Take the mask out of the first masked pair. Which rows of its output change, and by how much?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
i = c.masked_pairs[0]
angles = angles_of(rows, columns, c.embed_dim // c.num_heads // 2)
into = block(
    pairs[i - 1][..., c.embed_dim :],
    f"aggregator.frame_blocks.{i}",
    c.num_heads,
    angles,
)
flat, turns = into.flatten(0, 1), angles.repeat(S, 1)
name = f"aggregator.global_blocks.{i}"
with_mask = block(flat, name, c.num_heads, turns, bias_of(m))
without = block(flat, name, c.num_heads, turns)
change = (with_mask - without).view_as(into).abs().amax((0, 2))
print(f"special tokens {change[:5].max():.1e}, patches {change[5:].max():.1e}")

# %% [markdown]
# **2.** Move all patches by three rows and five columns. Show that no logit between patches changes, and say which logits
# do.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
near = angles_of(8, 8, half)
far = angles_of(11, 13, half)[5:].view(11, 13, -1)[3:, 5:].flatten(0, 1)
far = torch.cat((near[:5], far))
q = torch.randn(
    69, 2 * half, device=device, generator=torch.Generator(device).manual_seed(0)
)
moved = turn(q, far) @ turn(q, far).T - turn(q, near) @ turn(q, near).T
print(f"patch with patch {moved[5:, 5:].abs().max():.1e}")
print(f"special with patch {moved[:5, 5:].abs().max():.1e}")
# Special tokens stay at (0, 0), so a patch's distance to them changes.

# %% [markdown]
# **3.** Repair the quirk of the residual unit, so that the skip adds $x$. How much does the depth change?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
quirky = unit


def unit(x, name):
    inner = conv(F.relu(x), name + ".conv1", padding=1)
    return x + conv(F.relu(inner), name + ".conv2", padding=1)


repaired = dense(pairs, "depth_head")[..., :1].exp()
unit = quirky
print(
    f"depth changes by {100 * (repaired / depth - 1).abs().median():.0f} % in the median"
)

# %% [markdown]
# **4.** Write the encoder of the released network, DINOv2 with registers, with `block`: a class token and the patches
# get a table of positions, four registers are put between them, and after all blocks (LayerNorms with an epsilon of 1e-6,
# six heads in the smallest) a norm. Compare on random weights.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
torch.manual_seed(0)
small = page4d.PAGE4DConfig(
    img_size=112, embed_dim=384, num_heads=6, patch_embed="dinov2_vits14_reg", depth=4,
    mask_source=0, masked_pairs=(), dpt_pairs=(0, 1, 2, 3), enable_camera=False,
    enable_depth=False, enable_point=False, enable_track=False,
)  # fmt: skip
other = page4d.PAGE4D(small).to(device).eval()
mine, w = w, other.state_dict()
e, pixels = "aggregator.patch_embed", torch.rand(2, 3, 112, 112, device=device)
patches = conv(pixels, e + ".patch_embed.proj", stride=14).flatten(2).mT
cls = w[e + ".cls_token"].expand(2, -1, -1)
y = torch.cat((cls, patches), 1) + w[e + ".pos_embed"]
registers = w[e + ".register_tokens"].expand(2, -1, -1)
y = torch.cat((y[:, :1], registers, y[:, 1:]), 1)
for i in range(12):
    y = block(y, f"{e}.blocks.{i}", 6, eps=1e-6)
y = norm(y, e + ".norm", 1e-6)[:, 5:]
w = mine
check("DINOv2, small", y, other.aggregator.patch_embed(pixels))

# %% [markdown]
# **5.** Swap two frames, neither of them the first. What happens to the cameras? And if the first is one of them?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
before = cameras(pairs)
for order in ([0, *range(S - 1, 0, -1)], list(range(S - 1, -1, -1))):
    after = cameras(aggregate(pictures[order]))
    print(order, f"largest difference {(after - before[order]).abs().max():.1e}")
# The others are exchangeable; the first frame is the world, so another first frame is another world.

# %% [markdown]
# ## Further reading
#
# {cite:t}`vaswani2017attention` and {cite:t}`dosovitskiy2021vit` for the transformer and its first use on pictures;
# {cite:t}`su2024roformer` for rotary positions; {cite:t}`ranftl2021dpt` for the dense head; {cite:t}`wang2025vggt` and
# {cite:t}`zhou2025page4d` for the network. {cite:t}`dao2022flashattention` explains how attention is computed without
# ever writing down the matrix that we wrote down here.
