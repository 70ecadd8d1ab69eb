"""A network small enough for every test, with random weights and cameras that can be inverted."""

from __future__ import annotations

from typing import Any

import torch

from page4d.model import PAGE4D, PAGE4DConfig

LITTLE = PAGE4DConfig(
    img_size=64, patch_size=8, embed_dim=64, depth=4, num_heads=4, patch_embed="conv", mask_source=1,
    masked_pairs=(2,), dpt_features=16, dpt_channels=(8, 16, 16, 16), dpt_pairs=(0, 1, 2, 3), camera_heads=4,
    camera_trunk_depth=2, enable_track=False, track_features=16, track_hidden=96,
)  # fmt: skip


def little_model(seed: int = 0, **fields: Any) -> PAGE4D:
    """Random weights from a seed; LayerScale is large enough for every block to matter, fields of view are near 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PAGE4D(LITTLE, **fields)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("gamma"):
                value.fill_(0.3)
        if model.camera_head is not None:
            model.camera_head.pose_branch.fc2.weight *= 0.1
            model.camera_head.pose_branch.fc2.bias[6] += 1.0
            model.camera_head.pose_branch.fc2.bias[7:] += 0.3
    return model.eval()
