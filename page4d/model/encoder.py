"""Image to patch tokens: DINOv2 with four registers, or a single convolution for small networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from page4d.model.config import ENCODERS, PAGE4DConfig
from page4d.model.layers import Block, drawn

NUM_REGISTERS = 4


class PatchConv(nn.Module):
    """One strided convolution: images (B, 3, H, W) -> tokens (B, H/p * W/p, C)."""

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, patch_size)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


class DinoEncoder(nn.Module):
    """DINOv2 ViT with registers; returns the patch tokens after the final norm.

    Note:    names are those of the released weights; `mask_token` exists in them and is never used.
    Source:  Oquab et al. (2023), Darcet et al. (2023).
    """

    def __init__(self, width: int, depth: int, heads: int, img_size: int, patch_size: int) -> None:
        super().__init__()
        self.table_side, self.patch_size = img_size // patch_size, patch_size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(drawn(0.02, 1, 1 + self.table_side**2, width))
        self.register_tokens = nn.Parameter(drawn(1e-6, 1, NUM_REGISTERS, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = PatchConv(patch_size, width)
        self.blocks = nn.ModuleList(Block(width, heads, scale_init=1.0, eps=1e-6) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def positions(self, height: int, width: int) -> Tensor:
        """The position table for another grid: bicubic with antialias, given the target size directly."""
        if height == width == self.table_side:
            return self.pos_embed
        cls, patches = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        table = patches.unflatten(1, (self.table_side, self.table_side)).permute(0, 3, 1, 2).float()
        resized = F.interpolate(table, size=(height, width), mode="bicubic", antialias=True)
        return torch.cat((cls, resized.flatten(2).mT.to(cls.dtype)), 1)

    def forward(self, images: Tensor) -> Tensor:
        batch, _, height, width = images.shape
        patches = self.patch_embed(images)
        cls = self.cls_token.expand(batch, -1, -1)
        x = torch.cat((cls, patches), 1)
        x = x + self.positions(height // self.patch_size, width // self.patch_size)
        # Registers come after the addition: they stand nowhere in the picture.
        registers = self.register_tokens.expand(batch, -1, -1)
        x = torch.cat((x[:, :1], registers, x[:, 1:]), 1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 1 + NUM_REGISTERS :]  # type: ignore[no-any-return]


def build_encoder(config: PAGE4DConfig) -> nn.Module:
    """The patch encoder that the configuration names."""
    if config.patch_embed == "conv":
        return PatchConv(config.patch_size, config.embed_dim)
    return DinoEncoder(*ENCODERS[config.patch_embed], config.img_size, config.patch_size)
