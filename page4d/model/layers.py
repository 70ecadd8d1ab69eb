"""The transformer block that the encoder, the aggregator and the camera head share, and 2-D RoPE."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NUM_SPECIAL = 5  # camera token and four registers stand before the patches of every frame
ROPE_BASE = 100.0


class Rope(NamedTuple):
    """Cosines and sines of a token sequence, each (P, head_dim)."""

    cos: Tensor
    sin: Tensor


def rope_2d(height: int, width: int, head_dim: int, like: Tensor) -> Rope:
    """Tables of one frame: special tokens at (0, 0), patch (row, column) at (row + 1, column + 1).

    Shapes:  -> cos, sin (NUM_SPECIAL + height * width, head_dim); the first half of the head turns with the row, the
             second with the column; within a half the angles are laid out twice one after the other.
    """
    half = head_dim // 2
    frequencies = ROPE_BASE ** (-torch.arange(0, half, 2, device=like.device, dtype=torch.float32) / half)
    rows, columns = torch.meshgrid(
        torch.arange(1, height + 1, device=like.device), torch.arange(1, width + 1, device=like.device), indexing="ij"
    )
    positions = F.pad(torch.stack((rows.flatten(), columns.flatten()), -1), (0, 0, NUM_SPECIAL, 0)).float()
    angles = positions[..., None] * frequencies
    angles = torch.cat((angles, angles), -1).flatten(1)
    return Rope(angles.cos(), angles.sin())


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Turn queries or keys (*, P, head_dim) by the tables' angles."""
    first, second = x.unflatten(-1, (2, 2, -1)).unbind(-2)
    turned = torch.stack((-second, first), -2).flatten(-3)
    return x * rope.cos.to(x.dtype) + turned * rope.sin.to(x.dtype)


class Mlp(nn.Module):
    """Two linear layers with exact GELU between."""

    def __init__(self, width: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, out or width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class LayerScale(nn.Module):
    """A learned factor a channel."""

    def __init__(self, width: int, init: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), init))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Attention(nn.Module):
    """Self-attention through PyTorch's fused kernel, with optional q/k norm, RoPE and a bias on some rows.

    Note:    `bias` (B, keys) is added to the logits of the special tokens' rows only. Patch rows stay on the plain
             kernel; only NUM_SPECIAL of P rows per frame take the slower one. With `bias_all_rows` every row gains it.
    """

    def __init__(self, width: int, heads: int, qk_norm: bool, bias_all_rows: bool = False) -> None:
        super().__init__()
        self.heads, self.bias_all_rows = heads, bias_all_rows
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.q_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()

    def queries_keys_values(self, x: Tensor, rope: Rope | None) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised and turned q, k and v, each (B, heads, tokens, head_dim)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = rotate(q, rope), rotate(k, rope)
        return q, k, v

    def forward(self, x: Tensor, rope: Rope | None = None, bias: Tensor | None = None, frames: int = 1) -> Tensor:
        q, k, v = self.queries_keys_values(x, rope)
        if bias is not None:
            bias = bias[:, None, None].to(q.dtype)
        if bias is None or self.bias_all_rows:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        else:
            by_frame = q.unflatten(2, (frames, -1))
            special, patches = by_frame[:, :, :, :NUM_SPECIAL], by_frame[:, :, :, NUM_SPECIAL:]
            biased = F.scaled_dot_product_attention(special.flatten(2, 3), k, v, attn_mask=bias)
            plain = F.scaled_dot_product_attention(patches.flatten(2, 3), k, v)
            out = torch.cat((biased.unflatten(2, (frames, -1)), plain.unflatten(2, (frames, -1))), 3).flatten(2, 3)
        return self.proj(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


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

    def forward(self, x: Tensor, rope: Rope | None = None, bias: Tensor | None = None, frames: int = 1) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), rope, bias, frames))
        return x + self.ls2(self.mlp(self.norm2(x)))  # type: ignore[no-any-return]
