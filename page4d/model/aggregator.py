"""Alternating attention: every frame by itself, then all frames together, `depth` times.

A frame block and the global block after it are a pair; pairs are counted from 0, and heads read the outputs of some.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from page4d.model.config import PAGE4DConfig
from page4d.model.encoder import build_encoder
from page4d.model.heads import pairs_read
from page4d.model.layers import NUM_SPECIAL, Block, drawn, rope_2d
from page4d.model.mask import SpatialMaskHead, key_bias, mask_alpha
from page4d.model.precision import products_in, working_dtype

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


def channel_constants(values: Sequence[float], like: Tensor) -> Tensor:
    """Numbers of the three colour channels (3, 1, 1), made on the device: a copy from the host would wait for it."""
    return torch.stack([like.new_full((1, 1), value) for value in values])


class AggregatorOutput(NamedTuple):
    """Tokens of each kept pair (None where not kept), where patches start, and m (B, S, h, w) where the mask is on."""

    tokens: list[Tensor | None]
    patch_start: int
    mask: Tensor | None


class Aggregator(nn.Module):
    """Images to tokens.

    Shapes:  images (B, S, 3, H, W) in [0, 1] -> one (B, S, 5 + N, 2C) per pair: frame output beside global output.
    Note:    `mask_step` is the optimizer step that the mask's schedule reads; it stays 0 at inference. With
             `gradient_checkpointing` every block is recomputed in the backward pass, frozen or not. With `fewer_keys`
             global attention looks at one of every 2 x 2 patches of all frames but the first: an approximation, for
             many frames (benchmarks/fewer_keys.py).
    """

    def __init__(self, config: PAGE4DConfig) -> None:
        super().__init__()
        self.config = config
        self.mask_step = 0
        self.gradient_checkpointing = False
        self.fewer_keys = False
        width, heads = config.embed_dim, config.num_heads
        self.patch_embed = build_encoder(config)
        self.frame_blocks = nn.ModuleList(Block(width, heads, qk_norm=True) for _ in range(config.depth))
        all_rows = config.mask_rows == "all"
        self.global_blocks = nn.ModuleList(
            Block(width, heads, qk_norm=True, bias_all_rows=all_rows) for _ in range(config.depth)
        )
        self.camera_token = nn.Parameter(drawn(1e-6, 1, 2, 1, width))
        self.register_token = nn.Parameter(drawn(1e-6, 1, 2, NUM_SPECIAL - 1, width))
        self.spatial_mask_head = SpatialMaskHead(width)

    @property
    def patch_size(self) -> int:
        """Pixels per patch side, under the name that VGGT's scripts read."""
        return self.config.patch_size

    @property
    def patch_start_idx(self) -> int:
        """The index at which patch tokens begin, under the name that VGGT's scripts read."""
        return NUM_SPECIAL

    @property
    def alpha(self) -> float:
        """Strength of the mask at `mask_step`, 0 = off."""
        return mask_alpha(self.mask_step, self.config.mask_hold_start, self.config.mask_hold_end)

    def embed(self, images: Tensor) -> Tensor:
        """Normalize, encode, and put the special tokens in front: (B, S, 3, H, W) -> (B, S, P, C)."""
        batch, frames = images.shape[:2]
        mean = channel_constants(IMAGE_MEAN, images)
        std = channel_constants(IMAGE_STD, images)
        pictures = ((images - mean) / std).flatten(0, 1)
        patches = self.patch_embed(pictures).unflatten(0, (batch, frames))
        special = torch.cat((self.camera_token, self.register_token), 2)
        # Index 0 of the second axis belongs to the first frame, whose camera is the world; index 1 to all others.
        first = torch.arange(frames, device=images.device)[:, None, None] == 0
        specials = torch.where(first, special[:, :1], special[:, 1:]).expand(batch, -1, -1, -1)
        return torch.cat((specials.to(patches.dtype), patches), 2)

    def run(
        self, images: Tensor, keep: Collection[int] | None = None, given_mask: Tensor | None = None
    ) -> AggregatorOutput:
        """As `forward`, but keeps only the pairs named (None = all), and returns the mask as well.

        Note:    given_mask (B, S, h, w) acts in place of the learned m, which is returned all the same; while alpha is
                 0 neither acts. Without gradients kept pairs and turned q and k have the type of the products,
                 bfloat16 under autocast.
        Raises:  ValueError for a given mask of another shape than the patches.
        """
        patches = (*images.shape[:2], *(side // self.config.patch_size for side in images.shape[3:]))
        if given_mask is not None and tuple(given_mask.shape) != patches:
            raise ValueError(
                f"given_mask has shape {tuple(given_mask.shape)}, expected {patches}, one value for a patch"
            )
        device_type = images.device.type
        dtype = working_dtype(self, device_type)
        lean = dtype != torch.float32 and not torch.is_grad_enabled()
        # Training keeps what flows between the products in float32.
        between = dtype if lean else torch.promote_types(images.dtype, torch.float32)
        with products_in(dtype, device_type):
            return self._alternate(images, keep, given_mask, between)

    def _alternate(
        self, images: Tensor, keep: Collection[int] | None, given_mask: Tensor | None, between: torch.dtype
    ) -> AggregatorOutput:
        batch, frames, _, height, width = images.shape
        rows, columns = height // self.config.patch_size, width // self.config.patch_size
        rope = rope_2d(rows, columns, self.config.embed_dim // self.config.num_heads, images).to(between)
        rope_all = rope.repeat(frames)
        grid = (rows, columns) if self.fewer_keys else None
        alpha = self.alpha
        x = self.embed(images)
        kept: list[Tensor | None] = []
        m: Tensor | None = None
        bias: Tensor | None = None
        for pair in range(self.config.depth):
            # Every frame by itself: frames stand on the batch axis.
            x = self._block(self.frame_blocks[pair], x.flatten(0, 1), rope)
            frame_out = x.unflatten(0, (batch, frames))
            if pair == self.config.mask_source and alpha > 0:
                # Between the two attentions: the tokens know their own frame's geometry at this depth, and the pairs
                # that follow can already look past what moves.
                m = self.spatial_mask_head(frame_out[:, :, NUM_SPECIAL:].flatten(0, 1), rows, columns)
                m = m.unflatten(0, (batch, frames))
                bias = key_bias(m if given_mask is None else given_mask.flatten(2), alpha)
            pair_bias = bias if pair in self.config.masked_pairs else None
            # All frames together: one sequence of S * P tokens.
            x = self._block(self.global_blocks[pair], frame_out.flatten(1, 2), rope_all, pair_bias, frames, grid)
            x = x.unflatten(1, (frames, -1))
            wanted = keep is None or pair in keep
            kept.append(torch.cat((frame_out.to(between), x.to(between)), -1) if wanted else None)
            # Let go here, or the next frame block would run with a stream too many (0.7 GB at 200 frames).
            del frame_out
        m_map = m.unflatten(-1, (rows, columns)) if m is not None else None
        return AggregatorOutput(kept, NUM_SPECIAL, m_map)

    def _block(self, block: nn.Module, *inputs: Any) -> Tensor:
        """A block's answer to its inputs, which `Block.forward` names."""
        call: Callable[..., Tensor] = block
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(call, *inputs, use_reentrant=False)
        return call(*inputs)

    def forward(self, images: Tensor, keep: Collection[int] | None = None) -> tuple[list[Tensor | None], int]:
        """Pair outputs and the index where patches start, as VGGT's aggregator returns them.

        Note:    the list has one entry per pair, None where no head reads it; `keep=range(depth)` keeps all.
        """
        out = self.run(self.check_images(images), pairs_read(self.config) if keep is None else keep)
        return out.tokens, out.patch_start

    def check_images(self, images: Tensor) -> Tensor:
        """Add a missing batch axis.

        Raises:  ValueError for another number of axes or channels, or sides that are no multiple of the patch size.
        """
        images = images[None] if images.ndim == 4 else images
        patch = self.config.patch_size
        shape = tuple(images.shape)
        if len(shape) != 5 or shape[2] != 3 or shape[1] < 1:
            raise ValueError(f"images have shape {shape}, expected (S, 3, H, W) or (B, S, 3, H, W) with S >= 1")
        if shape[3] % patch or shape[4] % patch or 0 in shape:
            raise ValueError(
                f"images are {shape[3]} x {shape[4]} px, expected multiples of the patch size {patch}; load them with "
                f"page4d.io.images.load_images(paths, size={self.config.img_size}, patch={patch}).images"
            )
        return images
