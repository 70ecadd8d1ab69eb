"""Pictures and exact geometry of many frames at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from page4d.geometry import pixel_grid
from page4d.world.hits import Hits, apply_maps, per_ray, project_local, rays, trace
from page4d.world.solids import FAR_M, normals, shadowed
from page4d.world.tables import Tables
from page4d.world.textures import paint

# Rays at once: on a CPU what stays in the cache, on a GPU what fits beside a model in training.
CHUNK_RAYS_CPU = 1 << 16
CHUNK_RAYS_GPU = 1 << 21
SHADOW_BIAS_M = 0.02
SKY_FILL = 0.15


@dataclass(frozen=True)
class Rendered:
    """Per pixel: images (F, 3, H, W), depth, moving, instances (F, H, W), flow to the next frame (F, H, W, 2)."""

    images: Tensor
    depth: Tensor
    moving: Tensor
    instances: Tensor
    flow: Tensor


def _unit(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors (3, M) of length 1, and their lengths (M,)."""
    length = vectors.square().sum(0).sqrt_()
    return vectors / length.clamp(min=1e-12), length


def _normals(table: Tables, hits: Hits) -> Tensor:
    """Unit normals in the camera (3, M); a normal is a covector, so the map's transpose brings it back."""
    kind = per_ray(table.kind.flatten(), hits.slot)
    length = per_ray(table.length.flatten(), hits.slot)
    local = normals(kind, length, hits.local)
    rows = hits.maps.view(3, 4, -1)[:, :3]
    normal = rows[0] * local[0]
    normal.addcmul_(rows[1], local[1]).addcmul_(rows[2], local[2])
    return _unit(normal)[0]


def _direct_light(table: Tables, hits: Hits, normal: Tensor, shadow_depth: Tensor) -> Tensor:
    """Lambert's cosine of each surface point, less what shadows take: (M,)."""
    f = len(table.K)
    lamp = table.light.T.repeat_interleave(len(hits.depth) // f, dim=1)
    from_light = hits.rays * hits.depth - lamp
    beam, distance = _unit(from_light)
    cosine = (beam * normal).sum(0).neg_().clamp_(min=0)
    if not table.shadows:
        return cosine
    # The ray from the light would meet the lit surface itself, but for this margin.
    limit = 1.0 - SHADOW_BIAS_M / distance.clamp(min=1.0)
    facing = (cosine > 0) & hits.found
    directions = from_light.view(3, f, -1).transpose(0, 1)
    dark = shadowed(table.from_light(), directions, limit.view(f, -1), facing.view(f, -1))
    return cosine.mul_(1 - shadow_depth * dark.flatten())


def _colours(table: Tables, hits: Hits) -> Tensor:
    """RGB (3, M): texture, Lambert, shadow, fog."""
    p = len(hits.depth) // len(table.K)
    look = per_ray(table.look.flatten(0, 1), hits.slot)
    air = table.air.T.repeat_interleave(p, dim=1)
    normal = _normals(table, hits)
    forward, stretch = _unit(hits.rays)
    # A pixel covers more of what it sees at a slant; the root is between its short side and its long one.
    slant = (forward * normal).sum(0).abs_().clamp_(min=0.15).sqrt_()
    focal = table.K[:, 0, 0].repeat_interleave(p)
    footprint = (look[26] * hits.depth / (slant * focal)).clamp_(min=1e-6)
    colour = paint(apply_maps(look[:12], hits.local), look[12:21], look[21:27], footprint)
    direct = _direct_light(table, hits, normal, air[2])
    # The sky, or a bright ceiling, lights what faces up more than what faces down, in shadow too.
    up = table.cam_from_world[:, :, 1].T.repeat_interleave(p, dim=1)
    fill = (up * normal).sum(0).mul_(-SKY_FILL).clamp_(min=-0.2 * SKY_FILL)
    own = 1.0 / air[7:10].amax(0)
    light = torch.where(hits.found, air[0] + air[1] * (direct + fill), own)
    clear = torch.exp(-air[3] * hits.depth * stretch)
    # Outdoors the ground melts into the horizon before the world ends, and the sky into haze near the horizon.
    clear = clear * (2 - 2 * hits.depth / FAR_M).clamp_(0, 1)
    clear = torch.where(hits.found, clear, 1 - 0.6 * torch.exp(-4 * hits.local[1].abs()))
    return torch.lerp(air[4:7], colour * (air[7:10] * light), clear).clamp_(0, 1)


def _render_chunk(table: Tables) -> Rendered:
    f, h, w = len(table.K), table.height, table.width
    pixels = pixel_grid(h, w, like=table.K).view(1, h * w, 2)
    hits = trace(table, rays(table.K, pixels))
    maps = per_ray(table.next_from_local.flatten(0, 1).flatten(1), hits.slot)
    seen_next, _ = project_local(maps, hits.local, table.K)
    images = _colours(table, hits).view(3, f, h, w).transpose(0, 1)
    depth = (hits.depth * hits.found).view(f, h, w)
    moving = per_ray(table.moving.flatten(), hits.slot).view(f, h, w)
    instances = per_ray(table.instance.flatten(), hits.slot).view(f, h, w)
    flow = (seen_next - pixels).view(f, h, w, 2)
    return Rendered(images, depth, moving, instances, flow)


def render(table: Tables) -> Rendered:
    """All frames of the tables, in chunks of whole frames, and of whole clips where they fit."""
    budget = CHUNK_RAYS_CPU if table.K.device.type == "cpu" else CHUNK_RAYS_GPU
    step = max(1, budget // (table.height * table.width))
    if step > table.frames:
        # Whole clips share a chunk with fewer others, and so with fewer of the others' solids.
        step -= step % table.frames
    chunks = [_render_chunk(table.rows(slice(i, i + step))) for i in range(0, len(table.K), step)]
    joined: dict[str, Tensor] = {}
    for f in fields(Rendered):
        joined[f.name] = torch.cat([getattr(chunk, f.name) for chunk in chunks])
    return Rendered(**joined)
