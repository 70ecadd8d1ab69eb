"""What rays hit: the solid, its depth, the piece of material, and where that piece is in another frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from page4d.world.solids import first_hit
from page4d.world.tables import Tables


def rays(K: Tensor, pixels: Tensor) -> Tensor:
    """Directions with z = 1 through pixels: K (F, 3, 3), pixels (F or 1, P, 2) -> (F, 3, P)."""
    x = (pixels[..., 0] - K[:, 0, 2, None]) / K[:, 0, 0, None]
    y = (pixels[..., 1] - K[:, 1, 2, None]) / K[:, 1, 1, None]
    return torch.stack((x, y, torch.ones_like(x)), 1)


def per_ray(values: Tensor, index: Tensor) -> Tensor:
    """Columns of per-solid values for every ray: (R, C) or (R,) and index (M,) -> (C, M) or (M,), channels first."""
    if values.ndim == 1:
        return values.index_select(0, index)
    # Channels first: what follows works on one channel of all rays at a time.
    return values.T.contiguous().index_select(1, index)


def apply_maps(maps: Tensor, points: Tensor) -> Tensor:
    """Affine maps (12, M), row-major, applied to points (3, M)."""
    first, second, third, shift = maps.view(3, 4, -1).unbind(1)
    moved = torch.addcmul(shift, first, points[0])
    moved.addcmul_(second, points[1])
    return moved.addcmul_(third, points[2])


@dataclass(frozen=True)
class Hits:
    """First hits of F P camera rays, flattened.

    Shapes:  rays, local (3, M); depth, found, slot (M,); maps (12, M) local from camera; M = F P.
    Note:    without a hit the ray found the sky: slot is the sky's row, depth is 1, local the world direction.
             slot indexes tables flattened over frames and solids.
    """

    rays: Tensor
    depth: Tensor
    found: Tensor
    slot: Tensor
    maps: Tensor
    local: Tensor


def trace(table: Tables, directions: Tensor) -> Hits:
    """Follow camera rays (F, 3, P) to what they hit first."""
    depth, solid = first_hit(table.from_camera(), directions)
    rows = torch.arange(len(directions), device=solid.device)[:, None] * (table.solids + 1)
    slot, found = (solid + rows).flatten(), depth.isfinite().flatten()
    # The sky is at infinity: there the direction itself stands for the point.
    reach = depth.flatten().masked_fill(~found, 1.0)
    flat = directions.transpose(0, 1).reshape(3, -1)
    maps = per_ray(table.local_from_cam.flatten(0, 1).flatten(1), slot)
    return Hits(flat, reach, found, slot, maps, apply_maps(maps, flat * reach))


def project_local(maps: Tensor, local: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels (F, P, 2) and z (F, P) of material points: maps (12, F P) to the camera, local (3, F P), K (F, 3, 3).

    Note:    pixels of points with z <= 0 are of no meaning.
    """
    x, y, z = apply_maps(maps, local).unflatten(1, (len(K), -1))
    # Points in the plane of the camera have no pixel; any finite number will do for them.
    safe = torch.where(z.abs() < 1e-6, torch.full_like(z, 1e-6), z)
    u = x / safe * K[:, 0, 0, None] + K[:, 0, 2, None]
    v = y / safe * K[:, 1, 1, None] + K[:, 1, 2, None]
    return torch.stack((u, v), -1), z
