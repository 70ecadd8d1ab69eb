"""Dense maps from the tokens of four pairs (DPT): depth, points, or features for the tracker.

Source:  Ranftl et al. (2021) for the architecture; the names are those of the released weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from page4d.model.config import PAGE4DConfig

POSITION_FACTOR = 0.1
OUTPUT_HIDDEN = 32  # at any feature width


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with aligned corners."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def uv_embedding(channels: int, size: tuple[int, int], aspect: float, like: Tensor) -> Tensor:
    """Sine/cosine embedding of a UV grid whose half diagonal is 1: (channels, *size).

    Note:    the first half of the channels comes from x, the rest from y, each [sin, cos]; `aspect` is W / H.
    """
    height, width = size
    diagonal = (aspect**2 + 1) ** 0.5
    # The outermost pixels' centres lie half a pixel inside the picture's border.
    span_x = aspect / diagonal * (width - 1) / width
    span_y = 1 / diagonal * (height - 1) / height
    from_x = _waves(span_x, width, channels // 4, like)
    from_y = _waves(span_y, height, channels // 4, like)
    # Only the axes are computed, in float64; the whole table would take eight bytes for each number of the map.
    table_x = from_x.mT[:, None].expand(-1, height, -1)
    table_y = from_y.mT[:, :, None].expand(-1, -1, width)
    return torch.cat((table_x, table_y))


def _waves(span: float, count: int, quarter: int, like: Tensor) -> Tensor:
    """[sin, cos] of `count` positions from -span to span at `quarter` frequencies: (count, 2 * quarter)."""
    # float64 keeps the frequencies exact where they are large; mps has none.
    exact = torch.float32 if like.device.type == "mps" else torch.float64
    positions = torch.linspace(-span, span, count, device=like.device, dtype=exact)
    exponents = torch.arange(quarter, device=like.device, dtype=exact) / quarter
    angles = positions[:, None] * 100.0**-exponents
    return torch.cat((angles.sin(), angles.cos()), -1).to(like.dtype)


def add_position(x: Tensor, aspect: float) -> Tensor:
    """Add a tenth of the UV embedding to a map (B, C, h, w)."""
    table = uv_embedding(x.shape[1], (x.shape[2], x.shape[3]), aspect, x)
    return torch.add(x, table, alpha=POSITION_FACTOR)


class ResidualUnit(nn.Module):
    """Two 3 x 3 convolutions around a skip.

    Note:    the skip adds relu(x), not x: the public unit's first ReLU works in place, and the weights depend on it.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return x + self.conv2(F.relu(self.conv1(x)))  # type: ignore[no-any-return]


class Fusion(nn.Module):
    """Join a level to the coarser path and bring the sum to the next level's size."""

    def __init__(self, features: int, deepest: bool = False) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, 1)
        if not deepest:
            self.resConfUnit1 = ResidualUnit(features)
        self.resConfUnit2 = ResidualUnit(features)

    def forward(self, path: Tensor | None, level: Tensor, size: tuple[int, int]) -> Tensor:
        x = level if path is None else path + self.resConfUnit1(level)
        return self.out_conv(resize(self.resConfUnit2(x), size))  # type: ignore[no-any-return]


class Scratch(nn.Module):
    """Everything after the levels have their resolution; named so in the weights."""

    def __init__(self, channels: Sequence[int], features: int, outputs: int | None) -> None:
        super().__init__()
        for number, width in enumerate(channels, 1):
            self.add_module(f"layer{number}_rn", nn.Conv2d(width, features, 3, padding=1, bias=False))
            self.add_module(f"refinenet{number}", Fusion(features, deepest=number == len(channels)))
        hidden = features if outputs is None else features // 2
        self.output_conv1 = nn.Conv2d(features, hidden, 3, padding=1)
        if outputs is not None:
            self.output_conv2 = nn.Sequential(
                nn.Conv2d(hidden, OUTPUT_HIDDEN, 3, padding=1), nn.ReLU(), nn.Conv2d(OUTPUT_HIDDEN, outputs, 1)
            )

    def fuse(self, levels: Sequence[Tensor]) -> Tensor:
        """Four maps, finest first, to one at twice the finest size."""
        modules = dict(self.named_children())
        maps = [modules[f"layer{number}_rn"](level) for number, level in enumerate(levels, 1)]
        sizes = [(2 * maps[0].shape[2], 2 * maps[0].shape[3])] + [(m.shape[2], m.shape[3]) for m in maps[:-1]]
        path: Tensor | None = None
        for number in range(len(maps), 0, -1):
            path = modules[f"refinenet{number}"](path, maps[number - 1], sizes[number - 1])
        return self.output_conv1(path)  # type: ignore[no-any-return]


def _split(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Channels last; the last one is the confidence `1 + exp(c)`."""
    maps = maps.movedim(-3, -1)
    return maps[..., :-1], 1 + maps[..., -1].exp()


def activate_depth(maps: Tensor) -> tuple[Tensor, Tensor]:
    """(B, S, 2, H, W) -> depth (B, S, H, W, 1) = exp, confidence (B, S, H, W)."""
    value, confidence = _split(maps)
    return value.exp(), confidence


def activate_points(maps: Tensor) -> tuple[Tensor, Tensor]:
    """(B, S, 4, H, W) -> points (B, S, H, W, 3) by the inverse of sign(x) log(1 + |x|), confidence (B, S, H, W)."""
    value, confidence = _split(maps)
    return value.sign() * torch.expm1(value.abs()), confidence


class DPTHead(nn.Module):
    """The dense head; `outputs` counts value and confidence channels, None returns features for the tracker.

    Shapes:  tokens of the four pairs and images (B, S, 3, H, W) -> raw maps (B, S, outputs, H, W), or
             features (B, S, features, H / 2, W / 2).
    Memory:  frames go through in chunks; the result does not depend on the chunk.
    """

    def __init__(self, config: PAGE4DConfig, features: int, outputs: int | None) -> None:
        super().__init__()
        self.pairs, self.patch_size, self.outputs = config.dpt_pairs, config.patch_size, outputs
        width, channels = 2 * config.embed_dim, config.dpt_channels
        self.norm = nn.LayerNorm(width)
        self.projects = nn.ModuleList(nn.Conv2d(width, c, 1) for c in channels)
        self.resize_layers = nn.ModuleList(
            (
                nn.ConvTranspose2d(channels[0], channels[0], 4, 4),
                nn.ConvTranspose2d(channels[1], channels[1], 2, 2),
                nn.Identity(),
                nn.Conv2d(channels[3], channels[3], 3, 2, padding=1),
            )
        )
        self.scratch = Scratch(channels, features, outputs)

    def raw_maps(
        self, aggregated_tokens: Sequence[Tensor | None], images: Tensor, patch_start_idx: int, frames_chunk_size: int
    ) -> Tensor:
        """Unactivated maps of all frames, a chunk of frames at a time."""
        levels = [aggregated_tokens[pair] for pair in self.pairs]
        if any(level is None for level in levels):
            raise ValueError(f"DPT head: tokens of pairs {self.pairs} are needed, not all were kept")
        batch, frames = images.shape[:2]
        size = (images.shape[-2], images.shape[-1])
        flat = [level[:, :, patch_start_idx:].flatten(0, 1) for level in levels if level is not None]
        step = batch * max(1, frames_chunk_size)
        chunks = [self._chunk([level[i : i + step] for level in flat], size) for i in range(0, batch * frames, step)]
        maps: Tensor = torch.cat(chunks).unflatten(0, (batch, frames))
        return maps

    def _chunk(self, levels: list[Tensor], size: tuple[int, int]) -> Tensor:
        rows, columns = size[0] // self.patch_size, size[1] // self.patch_size
        aspect = size[1] / size[0]
        maps = []
        for tokens, project, bring in zip(levels, self.projects, self.resize_layers, strict=True):
            x = project(self.norm(tokens.float()).transpose(1, 2).unflatten(2, (rows, columns)))
            maps.append(bring(x if self.outputs is None else add_position(x, aspect)))
        fused = self.scratch.fuse(maps)
        if self.outputs is None:
            return resize(fused, (size[0] // 2, size[1] // 2))
        fused = add_position(resize(fused, size), aspect)
        return self.scratch.output_conv2(fused)  # type: ignore[no-any-return]


class DepthHead(DPTHead):
    """Depth (B, S, H, W, 1) and confidence (B, S, H, W)."""

    def __init__(self, config: PAGE4DConfig) -> None:
        super().__init__(config, config.dpt_features, 2)

    def forward(
        self, aggregated_tokens: Sequence[Tensor | None], images: Tensor, patch_start_idx: int,
        frames_chunk_size: int = 8,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        return activate_depth(self.raw_maps(aggregated_tokens, images, patch_start_idx, frames_chunk_size))


class PointHead(DPTHead):
    """World points (B, S, H, W, 3) in the first camera's frame and confidence (B, S, H, W)."""

    def __init__(self, config: PAGE4DConfig) -> None:
        super().__init__(config, config.dpt_features, 4)

    def forward(
        self, aggregated_tokens: Sequence[Tensor | None], images: Tensor, patch_start_idx: int,
        frames_chunk_size: int = 8,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        return activate_points(self.raw_maps(aggregated_tokens, images, patch_start_idx, frames_chunk_size))
