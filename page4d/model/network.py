"""The whole network: images in, VGGT's dictionary out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from page4d.io.weight_files import upload
from page4d.model.aggregator import Aggregator, AggregatorOutput
from page4d.model.config import PAGE4DConfig
from page4d.model.fingerprint import same_weights
from page4d.model.heads import HEADS, CameraHead, DepthHead, Head, HeadInputs, PointHead, TrackHead, pairs_read, switch
from page4d.model.heads.head import ALL_FRAMES, INFERENCE_CHUNK, TRAINING_CHUNK
from page4d.model.precision import heads_in_float32, hold_matrices
from page4d.model.weights import MASK_PREFIX, load_pretrained, save_folder


class PAGE4D(nn.Module):
    """VGGT with a dynamics-aware mask.

    Note:    PAGE4D() is the released network with all heads; PAGE4D(config) or PAGE4D(embed_dim=..., ...) another;
             PAGE4D.from_pretrained("tiny") comes with weights. aggregator, camera_head, depth_head, point_head and
             track_head are callable on their own as in VGGT; a head that is switched off is None.
    """

    camera_head: CameraHead | None
    depth_head: DepthHead | None
    point_head: PointHead | None
    track_head: TrackHead | None

    def __init__(self, config: PAGE4DConfig | None = None, **fields: Any) -> None:
        super().__init__()
        config = replace(config or PAGE4DConfig(), **fields)
        self.config = config
        self.aggregator = Aggregator(config)
        for name, build in HEADS.items():
            wanted = getattr(config, switch(name))
            setattr(self, f"{name}_head", build(config) if wanted else None)

    @classmethod
    def from_pretrained(cls, source: os.PathLike[str] | str, **options: Any) -> Self:
        """A network with weights, in eval mode; see `page4d.model.weights.load_pretrained` for sources and options."""
        return load_pretrained(cls, source, **options)

    def save_pretrained(self, folder: os.PathLike[str] | str) -> Path:
        """Write model.safetensors and config.json into a folder that `from_pretrained` reads."""
        return save_folder(self, folder)

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, token: str | None = None) -> str:
        """Publish what `save_pretrained` writes as a model repository of the Hugging Face hub; returns its address."""
        with tempfile.TemporaryDirectory() as folder:
            return upload(self.save_pretrained(folder), repo_id, private=private, token=token)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As any module's, and VGGT's states fit too: they have no mask head, which keeps its initial values.

        Raises:  RuntimeError as usual, also where the mask head is missing though the mask is on.
        """
        has_mask_head = any(name.startswith(MASK_PREFIX) for name in state_dict)
        if strict and not has_mask_head and self.aggregator.alpha == 0:
            own = {name: t for name, t in self.state_dict().items() if name.startswith(MASK_PREFIX)}
            state_dict = {**own, **state_dict}
        return super().load_state_dict(state_dict, strict, assign)

    @property
    def heads(self) -> dict[str, Head]:
        """The heads that are switched on, by name."""
        parts = {name: getattr(self, f"{name}_head") for name in HEADS}
        return {name: part for name, part in parts.items() if part is not None}

    def hold_matrices(self, dtype: torch.dtype) -> Self:
        """Keep the aggregator's matrices in `dtype` from now on, in place: half their memory in bfloat16.

        Note:    results are those of autocast to `dtype`, which no longer needs to be asked for. The digits that
                 float32 had are gone; load the weights again to train them.
        """
        with same_weights(self):
            hold_matrices(self.aggregator, dtype)
        return self

    def forward(
        self, images: Tensor, query_points: Tensor | None = None, given_mask: Tensor | None = None
    ) -> dict[str, Any]:
        """Predict cameras, depth and points of the frames of one or several scenes, under VGGT's keys.

        Shapes:  images (S, 3, H, W) or (B, S, 3, H, W) in [0, 1], sides multiples of the patch size;
                 query_points (Q, 2) or (B, Q, 2), (x, y) in pixels of the first frame;
                 given_mask (B, S, h, w), values of m that act in place of the learned mask while that is on
                 -> pose_enc (B, S, 9), pose_enc_list, depth (B, S, H, W, 1), depth_conf (B, S, H, W),
                 world_points (B, S, H, W, 3), world_points_conf, images (eval mode only); with query points track,
                 track_list, vis, conf; and `mask` (B, S, h, w) where the mask is on.
        Units:   depth is z in the frame's own camera; world_points are in the first camera's frame.
        Note:    keys of absent heads are absent.
        Raises:  ValueError for impossible shapes, or query points without a track head.
        """
        images = self.aggregator.check_images(images)
        if query_points is not None and self.track_head is None:
            raise ValueError("query points were given, but this network has no track head; VGGT's weights have one")
        return self.run(images, query_points, given_mask)[1]

    def run(
        self,
        images: Tensor,
        query_points: Tensor | None = None,
        given_mask: Tensor | None = None,
        dense_frames: slice = ALL_FRAMES,
        also_keep: Collection[int] = (),
    ) -> tuple[AggregatorOutput, dict[str, Any]]:
        """As `forward`, with the tokens behind it: of the pairs that heads read, and of those in `also_keep`.

        Shapes:  images (B, S, 3, H, W), the rest as `forward` takes it.
        Note:    depth and points are those of `dense_frames` alone.
        """
        out = self.aggregator.run(images, keep=pairs_read(self.config) | set(also_keep), given_mask=given_mask)
        with heads_in_float32(images.device.type):
            return out, self.read_heads(out, images, query_points, dense_frames)

    def read_heads(
        self,
        out: AggregatorOutput,
        images: Tensor,
        query_points: Tensor | None = None,
        dense_frames: slice = ALL_FRAMES,
        chunked: bool = True,
    ) -> dict[str, Any]:
        """Run every head that is switched on over the aggregator's output; depth and points of `dense_frames` only.

        Note:    dense maps are made of a few frames at a time, which bounds memory, or of all at once if not `chunked`.
        """
        queries = query_points[None] if query_points is not None and query_points.ndim == 2 else query_points
        usual_chunk = TRAINING_CHUNK if torch.is_grad_enabled() else INFERENCE_CHUNK
        chunk = usual_chunk if chunked else None
        seen = HeadInputs(out.tokens, images, out.patch_start, queries, dense_frames, chunk)
        predictions: dict[str, Any] = {} if out.mask is None else {"mask": out.mask}
        for head in self.heads.values():
            predictions |= head.outputs(seen)
        if not self.training:
            predictions["images"] = images
        return predictions
