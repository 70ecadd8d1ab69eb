"""The whole network: images in, VGGT's dictionary out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from page4d.model.aggregator import Aggregator, AggregatorOutput
from page4d.model.config import PAGE4DConfig
from page4d.model.heads.camera import CameraHead
from page4d.model.heads.dpt import DepthHead, PointHead
from page4d.model.heads.track import TrackHead
from page4d.model.precision import hold_matrices

ALL_FRAMES = slice(None)
# Frames that a dense head takes at once: one chunk's maps are the peak of a short clip, and two frames fill a GPU.
TRAINING_CHUNK = 8
INFERENCE_CHUNK = 2


class PAGE4D(nn.Module):
    """VGGT with a dynamics-aware mask.

    Build:   PAGE4D() is the released network with all heads; PAGE4D(config) or PAGE4D(embed_dim=..., ...) another;
             PAGE4D.from_pretrained("tiny") comes with weights.
    Parts:   aggregator, camera_head, depth_head, point_head and track_head are callable on their own as in VGGT; a
             head that is switched off is None.
    """

    def __init__(self, config: PAGE4DConfig | None = None, **fields: Any) -> None:
        super().__init__()
        config = replace(config or PAGE4DConfig(), **fields)
        self.config = config
        self.aggregator = Aggregator(config)
        self.camera_head = CameraHead(config) if config.enable_camera else None
        self.point_head = PointHead(config) if config.enable_point else None
        self.depth_head = DepthHead(config) if config.enable_depth else None
        self.track_head = TrackHead(config) if config.enable_track else None

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> Self:
        """A network with weights, in eval mode; see `page4d.model.weights.load_pretrained` for sources and options."""
        from page4d.model.weights import load_pretrained

        return load_pretrained(cls, source, **options)

    def hold_matrices(self, dtype: torch.dtype) -> Self:
        """Keep the aggregator's matrices in `dtype` from now on, in place: half their memory in bfloat16.

        Note:    results are those of autocast to `dtype`, which no longer needs to be asked for. The digits that
                 float32 had are gone; load the weights again to train them.
        """
        hold_matrices(self.aggregator, dtype)
        return self

    def pairs_read(self) -> set[int]:
        """Block pairs whose tokens the heads read; nothing else needs to be kept."""
        return self.config.pairs_read()

    def forward(
        self, images: Tensor, query_points: Tensor | None = None, given_mask: Tensor | None = None
    ) -> dict[str, Any]:
        """Predict cameras, depth and points of the frames of one or several scenes.

        Shapes:  images (S, 3, H, W) or (B, S, 3, H, W) in [0, 1], sides multiples of the patch size;
                 query_points (Q, 2) or (B, Q, 2), (x, y) in pixels of the first frame;
                 given_mask (B, S, h, w), values of m that act in place of the learned mask while that is on.
        Returns: VGGT's keys: pose_enc (B, S, 9), pose_enc_list, depth (B, S, H, W, 1), depth_conf (B, S, H, W),
                 world_points (B, S, H, W, 3), world_points_conf, images (eval mode only); with query points track,
                 track_list, vis, conf; and `mask` (B, S, h, w) where the mask is on. Keys of absent heads are absent.
        Units:   depth is z in the frame's own camera; world_points are in the first camera's frame.
        Errors:  ValueError for impossible shapes, or query points without a track head.
        """
        images = self.aggregator.check_images(images)
        if query_points is not None and self.track_head is None:
            raise ValueError("query points were given, but this network has no track head; VGGT's weights have one")
        out = self.aggregator.run(images, keep=self.pairs_read(), given_mask=given_mask)
        with torch.autocast(images.device.type, enabled=False):
            return self.read_heads(out, images, query_points)

    def read_heads(
        self,
        out: AggregatorOutput,
        images: Tensor,
        query_points: Tensor | None = None,
        dense_frames: slice = ALL_FRAMES,
    ) -> dict[str, Any]:
        """Run every head that is switched on over the aggregator's output; depth and points of `dense_frames` only."""
        tokens: Sequence[Tensor | None] = out.tokens
        start = out.patch_start
        chunk = TRAINING_CHUNK if torch.is_grad_enabled() else INFERENCE_CHUNK
        dense = [None if level is None else level[:, dense_frames] for level in tokens]
        pictures = images[:, dense_frames]
        predictions: dict[str, Any] = {} if out.mask is None else {"mask": out.mask}
        if self.camera_head is not None:
            predictions["pose_enc_list"] = self.camera_head(tokens)
            predictions["pose_enc"] = predictions["pose_enc_list"][-1]
        if self.depth_head is not None:
            predictions["depth"], predictions["depth_conf"] = self.depth_head(dense, pictures, start, chunk)
        if self.point_head is not None:
            predictions["world_points"], predictions["world_points_conf"] = self.point_head(
                dense, pictures, start, chunk
            )
        if self.track_head is not None and query_points is not None:
            queries = query_points if query_points.ndim == 3 else query_points[None]
            tracks, visible, confidence = self.track_head(tokens, images, start, query_points=queries)
            predictions |= {"track": tracks[-1], "track_list": tracks, "vis": visible, "conf": confidence}
        if not self.training:
            predictions["images"] = images
        return predictions
