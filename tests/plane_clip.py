"""A static slanted wall seen by a moving camera: depth, flow and tracks in closed form, nothing symmetric."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from page4d.geometry import invert, pixel_grid, project, transform, unproject
from page4d.schema import Clip

NORMAL = torch.tensor([0.3, -0.2, 1.0])
OFFSET = 5.0


def plane_clip(seed: int = 0, frames: int = 3, height: int = 30, width: int = 44, tracks: int = 40) -> Clip:
    """Unequal focal lengths, an off-centre principal point, general rotations, and tracks of points on the wall."""
    rng = np.random.default_rng(seed)
    fx, fy, cx, cy = rng.uniform((30, 40, 18, 11), (40, 55, 24, 18))
    K = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float32).expand(frames, 3, 3).clone()
    rotation = torch.from_numpy(Rotation.from_rotvec(rng.uniform(-0.15, 0.15, (frames, 3))).as_matrix()).float()
    poses = torch.cat((rotation, torch.from_numpy(rng.uniform(-0.3, 0.3, (frames, 3, 1))).float()), -1)
    depth = plane_depth(K, poses, height, width)
    grid = pixel_grid(height, width, depth)
    world = transform(invert(poses), unproject(depth, K).flatten(1, 2))
    following, _ = project(transform(poses[1:], world[:-1]), K[1:])
    points = world[0][torch.from_numpy(rng.integers(0, height * width, tracks))]
    xy, _ = project(transform(poses, points.expand(frames, -1, -1)), K)
    inside = (xy >= -0.5).all(-1) & (xy[..., 0] < width - 0.5) & (xy[..., 1] < height - 0.5)
    ramps = torch.stack(((grid[..., 0] + 0.5) / width, (grid[..., 1] + 0.5) / height, torch.full((height, width), 0.5)))
    return Clip(
        images=ramps.expand(frames, -1, -1, -1).clone(),
        depth=depth,
        cam_from_world=poses,
        K=K,
        frame_numbers=torch.arange(frames),
        name="plane",
        dataset="plane",
        moving=grid[..., 0].expand(frames, -1, -1) > width / 2,
        instances=(grid[..., 0] // 8 + 10 * (grid[..., 1] // 8)).long().expand(frames, -1, -1),
        tracks=xy,
        tracks_visible=inside,
        flow=following.reshape(frames - 1, height, width, 2) - grid,
    )


def plane_depth(K: torch.Tensor, poses: torch.Tensor, height: int, width: int, mirrored: bool = False) -> torch.Tensor:
    """z-depth of the wall NORMAL . X = OFFSET (or its mirror image) at every pixel centre."""
    normal = NORMAL * torch.tensor([-1.0 if mirrored else 1.0, 1.0, 1.0])
    camera = invert(poses)
    rays = unproject(torch.ones(len(K), height, width), K).flatten(1, 2) @ camera[:, :, :3].mT
    depth = (OFFSET - camera[:, :, 3] @ normal)[:, None] / (rays @ normal)
    return depth.reshape(len(K), height, width)
