"""Point tracks: VGGT's iterative tracker (CoTracker's design); the PAGE-4D checkpoints carry none.

The tracker is chaotic: its flow embedding holds sin(v d) with d near 900, so a change of 1e-7 in the features moves the
last iteration by up to 0.6 px. Equal weights do not mean equal digits here across machines.

VGGT-1B's track head was trained for rigid scenes; its authors published `vggt-tracker` afterwards, which is what others
use for scenes that move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from page4d.model.config import PAGE4DConfig
from page4d.model.heads.dpt import FeatureExtractor, exact_dtype, sine_table
from page4d.model.heads.head import INFERENCE_CHUNK, Head, HeadInputs
from page4d.model.layers import Mlp, drawn
from page4d.schema import UserError

ITERATIONS = 4
STRIDE = 2
PYRAMID_LEVELS = 7
RADIUS = 4
ROUNDS = 6
ATTENTION_HEADS = 8
VIRTUAL_TRACKS = 64
POSITION_BASE = 10000.0
FLOW_SCALE = 518.0  # fixed in the public network, whatever the image size
MIN_SIDE_PX = 140


def sample(maps: Tensor, xy: Tensor, padding: str) -> Tensor:
    """Bilinear samples with aligned corners: maps (B, C, H, W), xy (B, N, M, 2) in map pixels -> (B, C, N, M).

    Note:    on a side of one pixel every coordinate reads that pixel.
    """
    height, width = maps.shape[-2:]
    # Filled on the device: a tensor of Python numbers would make the host wait for the copy.
    side_x, side_y = xy.new_full((), max(width - 1, 1)), xy.new_full((), max(height - 1, 1))
    unit = 2 * xy / torch.stack((side_x, side_y)) - 1
    return F.grid_sample(maps, unit, mode="bilinear", padding_mode=padding, align_corners=True)


def correlation(pyramid: Sequence[Tensor], features: Tensor, coords: Tensor) -> Tensor:
    """Dot products around every track on every level.

    Shapes:  pyramid of (B * S, C, h, w), features (B * S, Q, C), coords (B * S, Q, 2) -> (B * S, Q, levels * 81).
    Note:    the offset grid is an `ij` mesh added as (x, y): its first axis moves x.
    """
    steps = torch.arange(-RADIUS, RADIUS + 1, device=coords.device, dtype=coords.dtype)
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).flatten(0, 1)
    read = []
    for level, maps in enumerate(pyramid):
        # As in attention, divided by the root of the width, so that dots do not grow with it.
        dots = torch.einsum("bqc,bchw->bqhw", features, maps) / features.shape[-1] ** 0.5
        around = coords[:, :, None] / 2**level + offsets
        flat = sample(dots.flatten(0, 1)[:, None], around.flatten(0, 1)[:, None], "zeros")
        read.append(flat.flatten(1).unflatten(0, dots.shape[:2]))
    return torch.cat(read, -1)


def flow_embedding(flow: Tensor, width: int) -> Tensor:
    """(*, 2) -> (*, 2 * width + 4): for x then y, even channels sin(v d_i), odd ones cos, then flow / 518 twice."""
    d = 2 * torch.arange(width // 2, device=flow.device, dtype=flow.dtype) * (1000.0 / width)
    angles = flow[..., None] * d
    waves = torch.stack((angles.sin(), angles.cos()), -1).flatten(-3)
    return torch.cat((waves, flow / FLOW_SCALE, flow / FLOW_SCALE), -1)


def position_table(width: int, height_px: int, width_px: int, like: Tensor) -> Tensor:
    """2-D sine/cosine table (1, width, H, W) of pixel positions."""
    exact = exact_dtype(like.device)
    x = torch.arange(width_px, device=like.device, dtype=exact)
    y = torch.arange(height_px, device=like.device, dtype=exact)
    return sine_table(x, y, width, POSITION_BASE)[None].to(like.dtype)


class TrackerBlock(nn.Module):
    """Attention over tokens, or from tokens to a context.

    Note:    the residual is taken from the normalised input; the public tracker does so and its weights depend on it.
    """

    def __init__(self, width: int, cross: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        attention = nn.MultiheadAttention(width, ATTENTION_HEADS, batch_first=True)
        if cross:
            self.norm_context = nn.LayerNorm(width)
            self.cross_attn = attention
        else:
            self.attn = attention
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x = self.norm1(x)
        if context is None:
            x = x + self.attn(x, x, x, need_weights=False)[0]
        else:
            context = self.norm_context(context)
            x = x + self.cross_attn(x, context, context, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class UpdateTransformer(nn.Module):
    """Attention over time, and between tracks through virtual ones: (B, Q, S, D) -> (B, Q, S, out)."""

    def __init__(self, width_in: int, hidden: int, width_out: int) -> None:
        super().__init__()
        self.virual_tracks = nn.Parameter(drawn(1.0, 1, VIRTUAL_TRACKS, 1, hidden))  # spelt so in the weights
        self.input_norm = nn.LayerNorm(width_in)
        self.input_transform = nn.Linear(width_in, hidden)
        self.output_norm = nn.LayerNorm(hidden)
        self.flow_head = nn.Linear(hidden, width_out)
        self.time_blocks = nn.ModuleList(TrackerBlock(hidden, cross=False) for _ in range(ROUNDS))
        self.space_virtual_blocks = nn.ModuleList(TrackerBlock(hidden, cross=False) for _ in range(ROUNDS))
        self.space_point2virtual_blocks = nn.ModuleList(TrackerBlock(hidden, cross=True) for _ in range(ROUNDS))
        self.space_virtual2point_blocks = nn.ModuleList(TrackerBlock(hidden, cross=True) for _ in range(ROUNDS))

    def forward(self, tokens: Tensor) -> Tensor:
        start = self.input_transform(self.input_norm(tokens))
        batch, queries, frames, _ = start.shape
        x = torch.cat((start, self.virual_tracks.expand(batch, -1, frames, -1)), 1)
        for number in range(ROUNDS):
            x = self.time_blocks[number](x.flatten(0, 1)).unflatten(0, (batch, -1))
            by_frame = x.transpose(1, 2).flatten(0, 1)
            # Tracks meet only through the virtual ones: linear in their number where all pairs would be quadratic.
            points, virtual = by_frame[:, :queries], by_frame[:, queries:]
            virtual = self.space_virtual2point_blocks[number](virtual, points)
            virtual = self.space_virtual_blocks[number](virtual)
            points = self.space_point2virtual_blocks[number](points, virtual)
            x = torch.cat((points, virtual), 1).unflatten(0, (batch, frames)).transpose(1, 2)
        return self.flow_head(self.output_norm(x[:, :queries] + start))  # type: ignore[no-any-return]


class Tracker(nn.Module):
    """Refine tracks over feature maps of half the image's resolution, four times."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        width = 3 * features + 4
        self.features = features
        self.query_ref_token = nn.Parameter(drawn(1.0, 1, 2, width))
        self.corr_mlp = Mlp(PYRAMID_LEVELS * (2 * RADIUS + 1) ** 2, hidden, features)
        self.updateformer = UpdateTransformer(width, hidden, features + 2)
        self.fmap_norm = nn.LayerNorm(features)
        self.ffeat_norm = nn.GroupNorm(1, features)
        self.ffeat_updater = nn.Sequential(nn.Linear(features, features), nn.GELU())
        self.vis_predictor = nn.Sequential(nn.Linear(features, 1))
        self.conf_predictor = nn.Sequential(nn.Linear(features, 1))

    def build_pyramid(self, maps: Tensor) -> list[Tensor]:
        """Seven levels by 2 x 2 averages: (B * S, C, h, w) and smaller."""
        pyramid = [maps]
        for _ in range(PYRAMID_LEVELS - 1):
            pyramid.append(F.avg_pool2d(pyramid[-1], 2))
        return pyramid

    def update(
        self, pyramid: Sequence[Tensor], coords: Tensor, track_features: Tensor, first_maps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One iteration on coords (B, S, Q, 2) and track_features (B, S, Q, C); the caller resets frame 0."""
        frames = coords.shape[1]
        # Each iteration is trained by its own loss; gradients through the coordinates would couple them.
        coords = coords.detach()
        around = correlation(pyramid, track_features.flatten(0, 1), coords.flatten(0, 1))
        corr = self.corr_mlp(around).unflatten(0, coords.shape[:2])
        flow = flow_embedding(coords - coords[:, :1], self.features // 2)
        tokens = torch.cat((flow, corr, track_features), -1)
        # Where the query stands in the picture, the same for all frames of its track.
        table = position_table(tokens.shape[-1], first_maps.shape[-2], first_maps.shape[-1], first_maps)
        at_query = sample(table.expand(len(coords), -1, -1, -1), coords[:, :1], "border").squeeze(2).mT
        first, others = self.query_ref_token[:, :1], self.query_ref_token[:, 1:]
        reference = torch.cat((first, others.expand(-1, frames - 1, -1)), 1)
        tokens = tokens + at_query[:, None] + reference[:, :, None]
        delta = self.updateformer(tokens.transpose(1, 2)).transpose(1, 2)
        change = self.ffeat_norm(delta[..., 2:].flatten(0, 2)).unflatten(0, delta.shape[:3])
        return coords + delta[..., :2], track_features + self.ffeat_updater(change)

    def forward(
        self, query_points: Tensor, maps: Tensor, iterations: int = ITERATIONS
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        frames = maps.shape[1]
        maps = self.fmap_norm(maps.movedim(2, -1)).movedim(-1, 2)
        queries = query_points / STRIDE
        coords = queries[:, None].expand(-1, frames, -1, -1)
        at_query = sample(maps[:, 0], queries[:, None], "border").squeeze(2).mT
        track_features = at_query[:, None].expand(-1, frames, -1, -1)
        pyramid = self.build_pyramid(maps.flatten(0, 1))
        tracks = []
        for _ in range(iterations):
            coords, track_features = self.update(pyramid, coords, track_features, maps[:, 0])
            # The query is given, not estimated: frame 0 is set back to it.
            coords = torch.cat((queries[:, None], coords[:, 1:]), 1)
            tracks.append(coords * STRIDE)
        visible, confidence = self.vis_predictor(track_features), self.conf_predictor(track_features)
        return tracks, visible.squeeze(-1).sigmoid(), confidence.squeeze(-1).sigmoid()


class TrackHead(Head):
    """Tokens and query points to tracks.

    Shapes:  query_points (B, Q, 2) as (x, y) px of the first frame -> list of four (B, S, Q, 2), visibility and
             confidence (B, S, Q) in [0, 1].
    Raises:  UserError if a side of the images is under 140 px: the correlation pyramid has seven levels.
    """

    on_request: ClassVar[bool] = True

    def __init__(self, config: PAGE4DConfig) -> None:
        super().__init__()
        self.feature_extractor = FeatureExtractor(config)
        self.tracker = Tracker(config.track_features, config.track_hidden)

    def forward(
        self, aggregated_tokens: Sequence[Tensor | None], images: Tensor, patch_start_idx: int,
        query_points: Tensor, iters: int = ITERATIONS,
    ) -> tuple[list[Tensor], Tensor, Tensor]:  # fmt: skip
        if min(images.shape[-2:]) < MIN_SIDE_PX:
            raise UserError(
                f"tracking needs images of at least {MIN_SIDE_PX} px per side, the network sees "
                f"{images.shape[-2]} x {images.shape[-1]}; give less elongated pictures or weights with a larger input"
            )
        maps = self.feature_extractor(aggregated_tokens, images, patch_start_idx, INFERENCE_CHUNK)
        return self.tracker(query_points.float(), maps, iters)  # type: ignore[no-any-return]

    @staticmethod
    def pairs_read(config: PAGE4DConfig) -> tuple[int, ...]:
        """Those of its feature maps."""
        return FeatureExtractor.pairs_read(config)

    def outputs(self, seen: HeadInputs) -> dict[str, Any]:
        """Nothing where no points are asked for."""
        if seen.query_points is None:
            return {}
        tracks, visible, confidence = self(seen.tokens, seen.images, seen.patch_start, query_points=seen.query_points)
        return {"track": tracks[-1], "track_list": tracks, "vis": visible, "conf": confidence}
