"""The transformer block that the encoder, the aggregator and the camera head share, and 2-D RoPE."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Grid = tuple[int, int]  # rows and columns of the patches of a frame
NUM_SPECIAL = 5  # camera token and four registers stand before the patches of every frame
ROPE_BASE = 100.0


def drawn(deviation: float, *shape: int) -> Tensor:
    """Normal values around 0, on the device of the context (torch.normal would not heed it)."""
    values = torch.empty(shape)
    # On the meta device there is nothing to draw, and torch would load its compiler (seconds) to do so.
    return values if values.is_meta else values.normal_(0.0, deviation)


class Rope(NamedTuple):
    """Cosines and sines of a token sequence, each (P, head_dim); their type is the one that q and k are turned in."""

    cos: Tensor
    sin: Tensor

    def to(self, dtype: torch.dtype) -> Rope:
        """The same tables in another type."""
        return Rope(self.cos.to(dtype), self.sin.to(dtype))

    def repeat(self, frames: int) -> Rope:
        """Tables of several frames, one after the other: positions do not depend on the frame."""
        return Rope(self.cos.repeat(frames, 1), self.sin.repeat(frames, 1))


def rope_2d(height: int, width: int, head_dim: int, like: Tensor) -> Rope:
    """Tables of one frame: special tokens at (0, 0), patch (row, column) at (row + 1, column + 1).

    Shapes:  -> cos, sin (NUM_SPECIAL + height * width, head_dim); the first half of the head turns with the row, the
             second with the column; within a half the angles are laid out twice one after the other.
    """
    half = head_dim // 2
    exponents = torch.arange(0, half, 2, device=like.device, dtype=torch.float32) / half
    frequencies = ROPE_BASE**-exponents
    rows = torch.arange(1, height + 1, device=like.device)
    columns = torch.arange(1, width + 1, device=like.device)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1)
    # The padding is the position (0, 0) of the special tokens: they are never turned.
    positions = F.pad(grid, (0, 0, NUM_SPECIAL, 0)).float()
    angles = positions[..., None] * frequencies
    angles = torch.cat((angles, angles), -1).flatten(1)
    return Rope(angles.cos(), angles.sin())


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Turn queries or keys (*, P, head_dim) by the tables' angles, in the tables' type."""
    x = x.to(rope.cos.dtype)
    # (row half, column half) x (x1, x2): each half is turned in the planes spanned by x1 and x2.
    x1, x2 = x.unflatten(-1, (2, 2, -1)).unbind(-2)
    quarter_turned = torch.stack((-x2, x1), -2).flatten(-3)
    return torch.addcmul(x * rope.cos, quarter_turned, rope.sin)


class Mlp(nn.Module):
    """Two linear layers with exact GELU between."""

    def __init__(self, width: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, out or width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class LayerScale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, width: int, init: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), init))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Attention(nn.Module):
    """Self-attention through PyTorch's fused kernel, with optional q/k norm, RoPE and a bias on some rows.

    Note:    `bias` (B, keys) is added to the logits of the special tokens' rows only; with `bias_all_rows` every row
             gains it. With `grid`, the patch rows and columns of a frame, keys and values are `fewer`.
    """

    def __init__(self, width: int, heads: int, qk_norm: bool, bias_all_rows: bool = False) -> None:
        super().__init__()
        self.heads, self.bias_all_rows = heads, bias_all_rows
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.q_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()

    def queries_keys_values(self, x: Tensor, rope: Rope | None) -> tuple[Tensor, Tensor, Tensor]:
        """Normalized and turned q, k and v, each (B, heads, tokens, head_dim)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        # Norm before rotation: a rotation keeps lengths, so logits stay bounded wherever the token stands.
        q = self.q_norm(q)
        q = rotate(q, rope) if rope is not None else q
        k = self.k_norm(k)
        k = rotate(k, rope) if rope is not None else k
        return q, k, v

    def forward(
        self,
        x: Tensor,
        rope: Rope | None = None,
        bias: Tensor | None = None,
        frames: int | None = None,
        grid: Grid | None = None,
    ) -> Tensor:
        q, k, v = self.queries_keys_values(x, rope)
        some_rows = bias is not None and not self.bias_all_rows
        if frames is None:
            if some_rows or grid is not None:
                raise ValueError("which rows are special and which keys are fewer follows from the number of frames")
            frames = 1
        if grid is not None:
            k, v = fewer(k, frames, grid), fewer(v, frames, grid)
            bias = None if bias is None else fewer(bias[:, None, :, None], frames, grid)[:, 0, :, 0]
        if bias is not None:
            bias = bias[:, None, None].to(q.dtype)
        if bias is not None and some_rows:
            attended = special_rows_biased(q, k, v, bias, frames)
        else:
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def fewer(values: Tensor, frames: int, grid: Grid) -> Tensor:
    """Of keys or values of all frames, one of every 2 x 2 patches; special tokens and the first frame stay whole.

    Shapes:  values (B, heads, frames * P, D), P = NUM_SPECIAL + the patches of the grid -> (B, heads, fewer, D).
    Note:    neighbouring patches say nearly the same, and other frames see the place again. The first frame is the
             world that all cameras are told in, so nothing of it is left out.
    """
    own = values.unflatten(2, (frames, -1))
    first, others = own[:, :, 0], own[:, :, 1:]
    patches = others[:, :, :, NUM_SPECIAL:].unflatten(3, grid)
    looked_at = patches[:, :, :, ::2, ::2].flatten(3, 4)
    kept = torch.cat((others[:, :, :, :NUM_SPECIAL], looked_at), 3)
    return torch.cat((first, kept.flatten(2, 3)), 2)


def special_rows_biased(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, frames: int) -> Tensor:
    """Attention whose special rows see `bias` (B, 1, 1, keys) and whose patch rows do not.

    Note:    all rows go through the plain kernel; the NUM_SPECIAL of P rows per frame that are biased are computed
             once more by the slower biased one and put in their places. Cutting the patch rows out would copy all of q.
    """
    plain = F.scaled_dot_product_attention(q, k, v).unflatten(2, (frames, -1))
    special = q.unflatten(2, (frames, -1))[:, :, :, :NUM_SPECIAL].flatten(2, 3)
    biased = F.scaled_dot_product_attention(special, k, v, attn_mask=bias).unflatten(2, (frames, -1))
    return torch.slice_scatter(plain, biased, dim=3, end=NUM_SPECIAL).flatten(2, 3)


class Block(nn.Module):
    """Pre-norm transformer block with LayerScale: `x += ls1(attn(norm1 x))`, `x += ls2(mlp(norm2 x))`."""

    def __init__(
        self,
        width: int,
        heads: int,
        qk_norm: bool = False,
        scale_init: float = 0.01,
        eps: float = 1e-5,
        bias_all_rows: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads, qk_norm, bias_all_rows)
        self.ls1 = LayerScale(width, scale_init)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, 4 * width)
        self.ls2 = LayerScale(width, scale_init)

    def forward(
        self,
        x: Tensor,
        rope: Rope | None = None,
        bias: Tensor | None = None,
        frames: int | None = None,
        grid: Grid | None = None,
    ) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), rope, bias, frames, grid))
        return x + self.ls2(self.mlp(self.norm2(x)))  # type: ignore[no-any-return]
