"""Cameras from the camera token of the last pair, in four iterations with shared weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from page4d.geometry import pose_encoding_to_extri_intri
from page4d.model.config import PAGE4DConfig
from page4d.model.heads.head import Head, HeadInputs
from page4d.model.layers import Block, Mlp

POSE_WIDTH = 9
ITERATIONS = 4


def activate_pose(raw: Tensor) -> Tensor:
    """Translation and quaternion as they are, fields of view non-negative."""
    return torch.cat((raw[..., :7], F.relu(raw[..., 7:])), -1)


class CameraHead(Head):
    """Tokens to pose encodings: a list of four (B, S, 9), the last one is the prediction.

    Note:    gradients stop at the pose that is fed back.
    """

    def __init__(self, config: PAGE4DConfig) -> None:
        super().__init__()
        width = 2 * config.embed_dim
        self.trunk = nn.Sequential(*(Block(width, config.camera_heads) for _ in range(config.camera_trunk_depth)))
        self.token_norm = nn.LayerNorm(width)
        self.trunk_norm = nn.LayerNorm(width)
        self.empty_pose_tokens = nn.Parameter(torch.zeros(1, 1, POSE_WIDTH))
        self.embed_pose = nn.Linear(POSE_WIDTH, width)
        self.poseLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))
        self.pose_branch = Mlp(width, width // 2, POSE_WIDTH)

    def forward(self, aggregated_tokens: Sequence[Tensor | None], num_iterations: int = ITERATIONS) -> list[Tensor]:
        last = aggregated_tokens[-1]
        if last is None:
            raise ValueError("camera head: the last pair's tokens were not kept; keep the last pair")
        # One token per frame: whatever the cameras know of the pictures has to be in it.
        tokens = self.token_norm(last[:, :, 0].float())
        raw: Tensor | None = None
        poses = []
        for _ in range(num_iterations):
            # Without this stop the four iterations would be one deep recurrent network.
            fed_back = self.empty_pose_tokens.expand(*tokens.shape[:2], -1) if raw is None else raw.detach()
            # Adaptive LayerNorm (as in DiT): the current pose shifts and scales what the trunk reads.
            shift, scale, gate = self.poseLN_modulation(self.embed_pose(fed_back)).chunk(3, -1)
            normed = F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)
            modulated = normed * (1 + scale) + shift
            # The trunk attends over frames, so that cameras agree with each other.
            x = self.trunk(tokens + gate * modulated)
            delta = self.pose_branch(self.trunk_norm(x))
            raw = delta if raw is None else raw + delta
            poses.append(activate_pose(raw))
        return poses

    @staticmethod
    def pairs_read(config: PAGE4DConfig) -> tuple[int, ...]:
        """The last pair alone."""
        return (config.depth - 1,)

    def outputs(self, seen: HeadInputs) -> dict[str, Any]:
        """Every iteration, and the last as the prediction."""
        poses = self(seen.tokens)
        return {"pose_enc_list": poses, "pose_enc": poses[-1]}

    @staticmethod
    def kept(outputs: Mapping[str, Tensor], size_hw: tuple[int, int]) -> dict[str, Tensor]:
        """Cameras as matrices."""
        cam_from_world, K = pose_encoding_to_extri_intri(outputs["pose_enc"].float(), size_hw)
        assert K is not None
        return {"cam_from_world": cam_from_world, "K": K}
