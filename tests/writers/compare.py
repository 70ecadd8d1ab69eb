"""Comparison of a loaded clip with the one that was written."""

from __future__ import annotations

import torch

from page4d.geometry import world_points
from page4d.schema import Clip


def assert_same_geometry(
    loaded: Clip, clip: Clip, depth_error: float = 0.0, relative: float = 0.0, pose_error: float = 1e-5
) -> None:
    """Depth, poses, K and world points agree within the format's quantisation, given in metres or as a share."""
    assert torch.equal(loaded.valid, clip.valid)
    torch.testing.assert_close(loaded.depth, clip.depth, atol=depth_error, rtol=relative)
    torch.testing.assert_close(loaded.cam_from_world, clip.cam_from_world, atol=pose_error, rtol=0)
    torch.testing.assert_close(loaded.K, clip.K, atol=1e-4, rtol=0)
    points = world_points(loaded.depth, loaded.K, loaded.cam_from_world)
    truth = world_points(clip.depth, clip.K, clip.cam_from_world)
    # A ray is at most twice as long as its depth in these cameras, and the scenes are a few metres across.
    reach = 2 * (depth_error + relative * float(clip.depth.max())) + 30 * pose_error
    assert float((points - truth)[clip.valid].norm(dim=-1).max()) <= reach


def assert_same_images(loaded: Clip, clip: Clip) -> None:
    """Bit for bit, as 8-bit values: for lossless formats."""
    assert torch.equal((loaded.images * 255).round(), (clip.images * 255).round())
