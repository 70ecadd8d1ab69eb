"""Dense maps from the tokens of four pairs (DPT): depth, points, or features for the tracker.

Source:  Ranftl et al. (2021) for the architecture; the names are those of the released weights.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from page4d.model.config import PAGE4DConfig
from page4d.model.heads.head import TRAINING_CHUNK, Head, HeadInputs

POSITION_FACTOR = 0.1
UV_BASE = 100.0
OUTPUT_HIDDEN = 32  # at any feature width


def resize_maps(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with aligned corners."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def uv_embedding(channels: int, size: tuple[int, int], aspect: float, like: Tensor) -> Tensor:
    """Sine/cosine embedding of a UV grid whose half diagonal is 1: (channels, *size); `aspect` is W / H."""
    height, width = size
    diagonal = (aspect**2 + 1) ** 0.5
    # The outermost pixels' centres lie half a pixel inside the picture's border.
    span_x = aspect / diagonal * (width - 1) / width
    span_y = 1 / diagonal * (height - 1) / height
    exact = exact_dtype(like.device)
    x = torch.linspace(-span_x, span_x, width, device=like.device, dtype=exact)
    y = torch.linspace(-span_y, span_y, height, device=like.device, dtype=exact)
    return sine_table(x, y, channels, UV_BASE).to(like.dtype)


def sine_table(x: Tensor, y: Tensor, channels: int, base: float) -> Tensor:
    """Positions as waves, float32 (channels, len(y), len(x)): half of the channels from x, the rest from y.

    Note:    each half is [sin, cos] at channels / 4 frequencies base^(-i / (channels / 4)).
    """
    quarter = channels // 4
    exponents = torch.arange(quarter, device=x.device, dtype=x.dtype) / quarter
    # Only the axes are computed in float64; as a whole the table would be twice as large as the map it goes to.
    angles_x, angles_y = x * base ** -exponents[:, None], y * base ** -exponents[:, None]
    waves_x = torch.cat((angles_x.sin(), angles_x.cos())).float()
    waves_y = torch.cat((angles_y.sin(), angles_y.cos())).float()
    from_x = waves_x[:, None].expand(-1, len(y), -1)
    from_y = waves_y[:, :, None].expand(-1, -1, len(x))
    return torch.cat((from_x, from_y))


def exact_dtype(device: torch.device) -> torch.dtype:
    """float64, which keeps frequencies exact where they are large; mps has none."""
    return torch.float32 if device.type == "mps" else torch.float64


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
        x = resize_maps(self.resConfUnit2(x), size)
        return self.out_conv(x)  # type: ignore[no-any-return]


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
            first = nn.Conv2d(hidden, OUTPUT_HIDDEN, 3, padding=1)
            self.output_conv2 = nn.Sequential(first, nn.ReLU(), nn.Conv2d(OUTPUT_HIDDEN, outputs, 1))

    def fuse(self, levels: Sequence[Tensor]) -> Tensor:
        """Four maps, finest first, to one at twice the finest size."""
        modules = dict(self.named_children())
        maps = [modules[f"layer{number}_rn"](level) for number, level in enumerate(levels, 1)]
        sizes = [(m.shape[2], m.shape[3]) for m in maps]
        # Each level leaves at the size of the next finer one; the finest leaves at twice its own.
        leaves_at = [(2 * sizes[0][0], 2 * sizes[0][1]), *sizes[:-1]]
        path: Tensor | None = None
        for number in range(len(maps), 0, -1):
            path = modules[f"refinenet{number}"](path, maps[number - 1], leaves_at[number - 1])
        return self.output_conv1(path)  # type: ignore[no-any-return]


def split_confidence(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Channels last; the last one is the confidence `1 + exp(c)`."""
    maps = maps.movedim(-3, -1)
    # Never below 1: the loss weighs errors by it and charges its logarithm.
    confidence = 1 + maps[..., -1].exp()
    return maps[..., :-1], confidence


def activate_depth(maps: Tensor) -> tuple[Tensor, Tensor]:
    """(B, S, 2, H, W) -> depth (B, S, H, W, 1) = exp, confidence (B, S, H, W)."""
    value, confidence = split_confidence(maps)
    return value.exp(), confidence


def activate_points(maps: Tensor) -> tuple[Tensor, Tensor]:
    """(B, S, 4, H, W) -> points (B, S, H, W, 3) by the inverse of sign(x) log(1 + |x|), confidence (B, S, H, W)."""
    value, confidence = split_confidence(maps)
    # Coordinates have a sign and span decades; this is linear near 0 and exponential far out.
    return value.sign() * torch.expm1(value.abs()), confidence


class DPTTrunk(nn.Module):
    """The dense network; `outputs` counts value and confidence channels, None returns features for the tracker.

    Shapes:  tokens of the four pairs and images (B, S, 3, H, W) -> raw maps (B, S, outputs, H, W), or
             features (B, S, features, H / 2, W / 2).
    Note:    frames go through in chunks; the result does not depend on the chunk, the memory does.
    """

    def __init__(self, config: PAGE4DConfig, features: int, outputs: int | None) -> None:
        super().__init__()
        self.pairs, self.patch_size, self.outputs_per_pixel = config.dpt_pairs, config.patch_size, outputs
        width, channels = 2 * config.embed_dim, config.dpt_channels
        self.norm = nn.LayerNorm(width)
        self.projects = nn.ModuleList(nn.Conv2d(width, c, 1) for c in channels)
        # Four levels out of one grid of patches: four times and twice as fine, as it is, half as fine.
        fourfold = nn.ConvTranspose2d(channels[0], channels[0], 4, 4)
        twofold = nn.ConvTranspose2d(channels[1], channels[1], 2, 2)
        halved = nn.Conv2d(channels[3], channels[3], 3, 2, padding=1)
        self.resize_layers = nn.ModuleList((fourfold, twofold, nn.Identity(), halved))
        self.scratch = Scratch(channels, features, outputs)

    @staticmethod
    def pairs_read(config: PAGE4DConfig) -> tuple[int, ...]:
        """The four pairs that the levels are made of."""
        return config.dpt_pairs

    def raw_maps(
        self,
        aggregated_tokens: Sequence[Tensor | None],
        images: Tensor,
        patch_start_idx: int,
        frames_chunk_size: int | None,
    ) -> Tensor:
        """Unactivated maps of all frames, `frames_chunk_size` frames at a time (None = all at once)."""
        batch, frames = images.shape[:2]
        size = (images.shape[-2], images.shape[-1])
        levels = [self._patches(aggregated_tokens, pair, patch_start_idx) for pair in self.pairs]
        if frames_chunk_size is None:  # without a loop, whose length an exported network would hold as a constant
            together: Tensor = self._chunk(levels, size).unflatten(0, (batch, frames))
            return together
        step = batch * max(1, frames_chunk_size)
        chunks = []
        for first in range(0, batch * frames, step):
            part = [level[first : first + step] for level in levels]
            chunks.append(self._chunk(part, size))
        maps: Tensor = torch.cat(chunks).unflatten(0, (batch, frames))
        return maps

    def _patches(self, aggregated_tokens: Sequence[Tensor | None], pair: int, patch_start_idx: int) -> Tensor:
        tokens = aggregated_tokens[pair]
        if tokens is None:
            raise ValueError(f"DPT head: pair {pair} was not kept; keep pairs {self.pairs}")
        return tokens[:, :, patch_start_idx:].flatten(0, 1)

    def _chunk(self, levels: list[Tensor], size: tuple[int, int]) -> Tensor:
        rows, columns = size[0] // self.patch_size, size[1] // self.patch_size
        aspect = size[1] / size[0]
        for_tracks = self.outputs_per_pixel is None
        maps = []
        for tokens, project, bring in zip(levels, self.projects, self.resize_layers, strict=True):
            # float32 even under autocast: exp and expm1 at the end would turn bfloat16's steps into percents.
            grid = self.norm(tokens.float()).transpose(1, 2).unflatten(2, (rows, columns))
            x = project(grid)
            maps.append(bring(x if for_tracks else add_position(x, aspect)))
        fused = self.scratch.fuse(maps)
        if for_tracks:
            return resize_maps(fused, (size[0] // 2, size[1] // 2))
        fused = add_position(resize_maps(fused, size), aspect)
        return self.scratch.output_conv2(fused)  # type: ignore[no-any-return]


class DenseHead(DPTTrunk, Head):
    """A head of dense maps: what it is per pixel, and its confidence."""

    def __init__(self, config: PAGE4DConfig) -> None:
        super().__init__(config, config.dpt_features, self.channels)

    @staticmethod
    @abstractmethod
    def activate(maps: Tensor) -> tuple[Tensor, Tensor]:
        """Raw maps (B, S, channels, H, W) -> values, channels last, and confidence (B, S, H, W)."""

    def forward(
        self, aggregated_tokens: Sequence[Tensor | None], images: Tensor, patch_start_idx: int,
        frames_chunk_size: int | None = TRAINING_CHUNK,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        return self.activate(self.raw_maps(aggregated_tokens, images, patch_start_idx, frames_chunk_size))


class DepthHead(DenseHead):
    """Depth (B, S, H, W, 1) and confidence (B, S, H, W)."""

    channels: ClassVar[int] = 2
    activate = staticmethod(activate_depth)

    def outputs(self, seen: HeadInputs) -> dict[str, Any]:
        """Depth along z of the frame's own camera."""
        depth, confidence = self(seen.dense_tokens, seen.dense_images, seen.patch_start, seen.chunk)
        return {"depth": depth, "depth_conf": confidence}

    @staticmethod
    def kept(outputs: Mapping[str, Tensor], size_hw: tuple[int, int]) -> dict[str, Tensor]:
        """Depth without its channel axis."""
        return {"depth": outputs["depth"][..., 0], "depth_conf": outputs["depth_conf"]}


class PointHead(DenseHead):
    """World points (B, S, H, W, 3) in the first camera's frame and confidence (B, S, H, W)."""

    channels: ClassVar[int] = 4
    activate = staticmethod(activate_points)

    def outputs(self, seen: HeadInputs) -> dict[str, Any]:
        """Points in the world, which is the first camera."""
        points, confidence = self(seen.dense_tokens, seen.dense_images, seen.patch_start, seen.chunk)
        return {"world_points": points, "world_points_conf": confidence}

    @staticmethod
    def kept(outputs: Mapping[str, Tensor], size_hw: tuple[int, int]) -> dict[str, Tensor]:
        """As they are, under the names of a Prediction."""
        return {"points": outputs["world_points"], "points_conf": outputs["world_points_conf"]}


class FeatureExtractor(DPTTrunk):
    """Feature maps for the tracker, (B, S, features, H / 2, W / 2)."""

    def __init__(self, config: PAGE4DConfig) -> None:
        super().__init__(config, config.track_features, None)

    def forward(
        self, aggregated_tokens: Sequence[Tensor | None], images: Tensor, patch_start_idx: int,
        frames_chunk_size: int | None = TRAINING_CHUNK,
    ) -> Tensor:  # fmt: skip
        return self.raw_maps(aggregated_tokens, images, patch_start_idx, frames_chunk_size)
