"""Exact tracks: a pixel's piece of material followed through all frames, with who hides it when."""

from __future__ import annotations

import torch
from torch import Tensor

from page4d.world.hits import per_ray, project_local, rays, trace
from page4d.world.solids import first_hit
from page4d.world.tables import Tables

# A point is seen where the first hit along its ray is no nearer than itself by more than this share of its depth.
_SLACK = {torch.float32: 1e-3, torch.float64: 1e-6}


def follow(table: Tables, frame: int, xy: Tensor) -> tuple[Tensor, Tensor]:
    """Follow what the pixels of one frame show through all frames of every clip.

    Shapes:  xy (B, N, 2) pixels of frame `frame` -> tracks (B, S, N, 2), visible bool (B, S, N).
    Units:   pixels; a track outside the image or hidden has its true position and is not visible; behind the camera
             the position is of no meaning.
    """
    s = table.frames
    chosen = torch.arange(frame, len(table.K), s, device=xy.device)
    start = table.rows(chosen)
    hits = trace(start, rays(start.K, xy))
    n = table.solids + 1
    solid = (hits.slot % n).view(len(xy), 1, -1).expand(-1, s, -1)
    slot = solid.flatten(0, 1) + torch.arange(len(table.K), device=xy.device)[:, None] * n
    maps = per_ray(table.cam_from_local.flatten(0, 1).flatten(1), slot.flatten())
    local = hits.local.view(3, len(xy), 1, -1).expand(-1, -1, s, -1).reshape(3, -1)
    pixels, z = project_local(maps, local, table.K)
    first, _ = first_hit(table.from_camera(), rays(table.K, pixels))
    # Pixel centres are integers, so the image ends half a pixel outside the outermost centres.
    limit = pixels.new_tensor([table.width, table.height]) - 0.5
    inside = ((pixels >= -0.5) & (pixels <= limit)).all(-1)
    sky = solid.flatten(0, 1) == n - 1
    reached = torch.where(sky, first.isinf(), first >= z * (1 - _SLACK[z.dtype]))
    visible = (z > 0) & inside & reached
    return pixels.unflatten(0, (-1, s)), visible.unflatten(0, (-1, s))
