"""Bring every sequence to the frame of its first camera and to a mean point distance of one."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from page4d.geometry import invert, relative_to_first, to_4x4
from page4d.settings import check_choice

Behaviour = Literal["corrected", "public"]

SCALE_RANGE = (1e-6, 1e6)


class Normalized(NamedTuple):
    """A batch in the first camera's frame; `scale` (B,) is what lengths were divided by.

    Shapes:  cam_from_world (B, S, 3, 4), cam_points and world_points (B, S, H, W, 3), depth (B, S, H, W), scale (B,),
             usable (B,) bool: whether the sequence had a valid point to take its scale from.
    """

    cam_from_world: Tensor
    cam_points: Tensor | None
    world_points: Tensor
    depth: Tensor
    scale: Tensor
    usable: Tensor


def check_behaviour(behaviour: str) -> None:
    """Refuse anything but the two behaviours by name."""
    check_choice(behaviour, Behaviour, "behaviour")


def normalize(
    cam_from_world: Tensor,
    world_points: Tensor,
    depth: Tensor,
    valid: Tensor,
    *,
    cam_points: Tensor | None = None,
    by_scale: bool = True,
    behaviour: Behaviour = "corrected",
) -> Normalized:
    """Move the world to the first camera and divide lengths by the mean distance of the valid points.

    Shapes:  cam_from_world (B, S, 3 or 4, 4), world_points (B, S, H, W, 3), depth and valid (B, S, H, W).
    Frame:   OpenCV; afterwards frame 0 is the identity and the world is its camera.
    Note:    public: a NaN outside `valid` makes the scale NaN, and then every length of the sequence 0 (T24); a
             sequence without valid points is multiplied by 1e6.
             Ours: pixels that do not count are not looked at; a sequence without valid points keeps its scale and is
             marked in `usable`. What is valid but not finite is left as it is: the loss leaves such pixels out.
    Raises:  UserError for a behaviour that is not known.
    """
    check_behaviour(behaviour)
    first = cam_from_world[:, 0]
    moved_poses = _relative(cam_from_world, behaviour)
    moved_points = torch.einsum("bij,bshwj->bshwi", first[:, :3, :3], world_points) + first[:, None, None, None, :3, 3]
    distance = moved_points.norm(dim=-1)
    counted = valid if behaviour == "public" else valid & distance.isfinite()
    usable = counted.flatten(1).any(1)
    scale = torch.ones_like(distance[:, 0, 0, 0])
    if by_scale:
        scale = _mean_distance(distance, counted, behaviour)
        if behaviour == "corrected":
            scale = torch.where(usable, scale, torch.ones_like(scale))
        moved_poses = torch.cat((moved_poses[..., :3], moved_poses[..., 3:] / scale[:, None, None, None]), -1)
        per_pixel = scale[:, None, None, None]
        moved_points, depth = moved_points / per_pixel[..., None], depth / per_pixel
        cam_points = None if cam_points is None else cam_points / per_pixel[..., None]
    if behaviour == "public":
        moved_poses, moved_points, depth = map(_finite, (moved_poses, moved_points, depth))
        cam_points = None if cam_points is None else _finite(cam_points)
    return Normalized(moved_poses, cam_points, moved_points, depth, scale, usable)


def _relative(cam_from_world: Tensor, behaviour: str) -> Tensor:
    if behaviour == "corrected":
        return relative_to_first(cam_from_world)
    # Full 4 x 4 products in the public order, for equal rounding.
    poses = to_4x4(cam_from_world)
    return (poses @ to_4x4(invert(poses[:, 0]))[:, None])[..., :3, :]


def _mean_distance(distance: Tensor, counted: Tensor, behaviour: str) -> Tensor:
    if behaviour == "corrected":
        distance = torch.where(counted, distance, torch.zeros_like(distance))
    weights = counted.to(distance.dtype)
    total, count = (distance * weights).flatten(1).sum(1), weights.flatten(1).sum(1)
    return (total / (count + 1e-3)).clamp(*SCALE_RANGE)


def _finite(x: Tensor) -> Tensor:
    return torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
