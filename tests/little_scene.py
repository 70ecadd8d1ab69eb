"""A closed-form scene for the tests of viewer, exports and motion: a slanted wall and a square body that slides."""

from __future__ import annotations

import numpy as np
import torch

from page4d.geometry import invert
from page4d.result.exact import prediction_from_clip
from page4d.schema import Clip, Prediction

# Every number differs from its mirror image, so a swapped axis or a transposed matrix cannot pass.
WALL_NORMAL = np.array([0.25, -0.1, 1.0])
WALL_OFFSET = 4.0


def _pose(i: int) -> torch.Tensor:
    angle = 0.05 * i
    c, s = np.cos(angle), np.sin(angle)
    rotation = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return torch.cat((rotation, torch.tensor([[-0.2 * i], [0.05 * i], [0.03 * i]])), 1)


def _colour(point: np.ndarray) -> np.ndarray:
    """A smooth, aperiodic texture painted on the surface, so that views agree on it."""
    x, y = point[..., 0], point[..., 1]
    waves = (3.1 * x + 0.7 * y, 2.3 * y - 1.1 * x, 4.7 * x * y * 0.2 + x)
    return np.stack([0.5 + 0.45 * np.sin(w + k) for k, w in enumerate(waves)], -1)


def little_clip(frames: int = 4, height: int = 36, width: int = 48, still: bool = False) -> Clip:
    """A clip whose depth is exact at every pixel; the body is nearer than the wall and slides right and down."""
    K = torch.tensor([[40.0, 0, 25.5], [0, 46.0, 16.25], [0, 0, 1]], dtype=torch.float64) * (width / 48)
    K[2, 2] = 1
    pixel = np.stack([*np.meshgrid(np.arange(width), np.arange(height)), np.ones((height, width))], -1)
    depths, images, masks = [], [], []
    for i in range(frames):
        world_from_cam = invert(_pose(i).double()).numpy()
        ray = pixel @ np.linalg.inv(K.numpy()).T @ world_from_cam[:, :3].T
        centre = world_from_cam[:, 3]
        wall = (WALL_OFFSET - WALL_NORMAL @ centre) / (ray @ WALL_NORMAL)
        body = (2.5 - centre[2]) / ray[..., 2]
        hit = centre + body[..., None] * ray
        slide = 0.0 if still else 0.15 * i
        local = hit[..., :2] - np.array([-0.3 + slide, -0.2 + 0.4 * slide])
        inside = (np.abs(local) < 0.45).all(-1)
        depth = np.where(inside, body, wall)
        surface = centre + depth[..., None] * ray
        body_paint = _colour(np.concatenate((local * 3 + 5, np.zeros_like(local[..., :1])), -1))
        depths.append(depth)
        images.append(np.where(inside[..., None], body_paint, _colour(surface)))
        masks.append(inside & (not still))
    return Clip(
        images=torch.from_numpy(np.stack(images)).float().permute(0, 3, 1, 2),
        depth=torch.from_numpy(np.stack(depths)).float(),
        cam_from_world=torch.stack([_pose(i) for i in range(frames)]).float(),
        K=K.float().expand(frames, 3, 3).clone(),
        frame_numbers=torch.arange(frames),
        moving=torch.from_numpy(np.stack(masks)),
        name="little",
    )


def little_prediction(frames: int = 4, height: int = 36, width: int = 48, still: bool = False) -> Prediction:
    """The clip's exact geometry as a Prediction with a confidence that rises from left to right."""
    prediction = prediction_from_clip(little_clip(frames, height, width, still))
    prediction.depth_conf[:] = 1 + np.linspace(0, 1, width, dtype=np.float32)
    return prediction
