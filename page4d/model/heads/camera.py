"""Cameras from the camera token of the last pair, in four iterations with shared weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from page4d.model.config import PAGE4DConfig
from page4d.model.layers import Block, Mlp

POSE_WIDTH = 9
ITERATIONS = 4


def activate_pose(raw: Tensor) -> Tensor:
    """Translation and quaternion as they are, fields of view non-negative."""
    return torch.cat((raw[..., :7], F.relu(raw[..., 7:])), -1)


class CameraHead(nn.Module):
    """Tokens to pose encodings: a list of four (B, S, 9), the last one is the prediction.

    Gradient: stops at the pose that is fed back.
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
            raise ValueError("camera head: the last pair's tokens were not kept")
        tokens = self.token_norm(last[:, :, 0].float())
        raw: Tensor | None = None
        poses = []
        for _ in range(num_iterations):
            fed_back = self.empty_pose_tokens.expand(*tokens.shape[:2], -1) if raw is None else raw.detach()
            shift, scale, gate = self.poseLN_modulation(self.embed_pose(fed_back)).chunk(3, -1)
            normed = F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)
            x = self.trunk(tokens + gate * (normed * (1 + scale) + shift))
            delta = self.pose_branch(self.trunk_norm(x))
            raw = delta if raw is None else raw + delta
            poses.append(activate_pose(raw))
        return poses
