"""Pictures and exact geometry of many scenes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from page4d.data.world.scenes import Scene
from page4d.data.world.solids import FAR_M, KINDS, PLANE, Solids, bounding_cone, first_hit, normals, shadowed
from page4d.data.world.textures import paint
from page4d.geometry import pixel_grid

CHUNK_PIXELS = {"cpu": 16384}
CHUNK_PIXELS_GPU = 1 << 21
SHADOW_BIAS_M = 0.02


@dataclass(frozen=True)
class Tables:
    """B scenes of equal frames and size, padded to equal solids, flattened to F = B S frames of N solids plus the sky.

    Shapes:  local_from_cam, next_from_local (F, N + 1, 3, 4); local_from_light (F, N, 3, 4), light (F, 3) in the
             camera; length, kind, instance, moving (F, N + 1); look (F, N + 1, 27): paint matrix, colours, pattern;
             air (F, 10); K (F, 3, 3); cam_from_world (F, 3, 4).
    Note:    next_from_local is K-less: camera coordinates of the next frame. The sky is a solid at infinity, whose
             local coordinates are world directions.
    """

    local_from_cam: Tensor
    next_from_local: Tensor
    local_from_light: Tensor
    light: Tensor
    camera_cone: Tensor
    light_cone: Tensor
    length: Tensor
    kind: Tensor
    instance: Tensor
    moving: Tensor
    look: Tensor
    air: Tensor
    K: Tensor
    cam_from_world: Tensor
    counts: tuple[int, ...]
    frames: int
    height: int
    width: int

    def rows(self, start: int, stop: int) -> Tables:
        """The frames from start to stop."""
        parts = {k: v[start:stop] for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **parts)


@dataclass(frozen=True)
class Rendered:
    """Per pixel: images (F, 3, H, W), depth, moving, instances (F, H, W), flow to the next frame (F, H, W, 2)."""

    images: Tensor
    depth: Tensor
    moving: Tensor
    instances: Tensor
    flow: Tensor


def affine_inverse(pose: Tensor) -> Tensor:
    """Inverse of affine maps (*, 3, 4), by the adjugate: faster than LAPACK for thousands of 3 x 3."""
    a, b, c = pose[..., :3].unbind(-1)
    rows = torch.stack((torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)), -2)
    inverse = rows / (a * rows[..., 0, :]).sum(-1)[..., None, None]
    return torch.cat((inverse, -inverse @ pose[..., 3:]), -1)


def _after(first: Tensor, second: Tensor) -> Tensor:
    """`first` after `second` for affine maps (*, 3, 4)."""
    out = first[..., :3] @ second
    out[..., 3] += first[..., 3]
    return out


def _slots(scenes: Sequence[Scene]) -> tuple[tuple[int, ...], Tensor]:
    """Solids of each kind in the padded layout, and each slot's solid in every scene (B, N), -1 where it has none."""
    counts = tuple(max(s.counts[k] for s in scenes) for k in range(KINDS))
    index = []
    for scene in scenes:
        start, row = 0, []
        for kind in range(KINDS):
            have = scene.counts[kind]
            row += list(range(start, start + have)) + [-1] * (counts[kind] - have)
            start += have
        index.append(row)
    return counts, torch.tensor(index)


def tables(scenes: Sequence[Scene], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tables:
    """Precompute in float64 what rendering needs of every frame and solid, then cast."""
    counts, slot = _slots(scenes)
    size = max(len(s.kind) for s in scenes) + 1

    def gathered(name: str, axis: int = 0) -> Tensor:
        """A per-solid field of all scenes in the padded layout; empty slots read a row of zeros."""
        padded = []
        for scene, row in zip(scenes, slot, strict=True):
            value = getattr(scene, name)
            blank = value.new_zeros(*value.shape[:axis], 1, *value.shape[axis + 1 :])
            padded.append(
                torch.cat((value, blank), axis).index_select(axis, torch.where(row < 0, value.shape[axis], row))
            )
        return torch.stack(padded)

    assert size > 1
    missing = slot < 0
    frames = len(scenes[0].times)
    world_from_local = gathered("world_from_local", 1)
    # An empty slot is a solid far away and huge in reach: no ray meets it before FAR_M.
    nothing = torch.tensor([[1e6, 0, 0, -3e6], [0, 1e6, 0, -3e6], [0, 0, 1e6, -3e6]], dtype=torch.float64)
    world_from_local = torch.where(missing[:, None, :, None, None], nothing, world_from_local)
    world_from_local = torch.cat((world_from_local, world_from_local.new_zeros(len(scenes), frames, 1, 3, 4)), 2)
    world_from_local[:, :, -1, :, :3] = torch.eye(3, dtype=torch.float64)
    cam_from_world = torch.stack([s.cam_from_world for s in scenes])
    return _finish(scenes, gathered, world_from_local, cam_from_world, counts, missing, device, dtype)


def _finish(scenes, gathered, world_from_local, cam_from_world, counts, missing, device, dtype):  # type: ignore[no-untyped-def]
    b, s, n = world_from_local.shape[:3]
    local_from_world = affine_inverse(world_from_local)
    world_from_cam = affine_inverse(cam_from_world)
    local_from_cam = _after(local_from_world, world_from_cam[:, :, None])
    following = torch.cat((cam_from_world[:, 1:], cam_from_world[:, -1:]), 1)
    after = torch.cat((world_from_local[:, 1:], world_from_local[:, -1:]), 1)
    next_from_local = _after(following[:, :, None], after)
    local_from_cam[:, :, -1, :, 3] = 0.0
    next_from_local[:, :, -1, :, 3] = 0.0
    light_world = torch.stack([x.light for x in scenes])[:, None, :, None]
    light = (cam_from_world[..., :3] @ light_world)[..., 0] + cam_from_world[..., 3]
    local_from_light = local_from_cam[:, :, :-1].clone()
    local_from_light[..., 3] += (local_from_light[..., :3] @ light[:, :, None, :, None])[..., 0]
    look = torch.cat((gathered("paint_matrix").flatten(2), gathered("colours"), gathered("pattern")), -1)
    sky = torch.stack([torch.cat((x.sky_matrix.flatten(), x.sky_colours, x.sky_pattern)) for x in scenes])
    look = torch.cat((look, sky[:, None]), 1)

    def per_frame(value: Tensor) -> Tensor:
        return value[:, None].expand(b, s, *value.shape[1:]).flatten(0, 1)

    def with_sky(name: str) -> Tensor:
        return F.pad(gathered(name), (0, 1))

    kind = torch.repeat_interleave(torch.arange(KINDS), torch.tensor(counts))
    kind = F.pad(kind, (0, 1), value=PLANE).expand(b, n)
    present = ~missing[:, None].expand(b, s, n - 1)
    cam_from_local = _after(cam_from_world[:, :, None], world_from_local[:, :, :-1])
    light_from_local = cam_from_local.clone()
    light_from_local[..., 3] -= light[:, :, None]
    length = gathered("length")[:, None].expand(b, s, n - 1)

    def cones(ray_from_local: Tensor, length: Tensor) -> Tensor:
        return bounding_cone(ray_from_local, length, kind[:, None, :-1], present)

    values = {
        "local_from_cam": local_from_cam.flatten(0, 1),
        "next_from_local": next_from_local.flatten(0, 1),
        "local_from_light": local_from_light.flatten(0, 1),
        "light": light.flatten(0, 1),
        "camera_cone": cones(cam_from_local, length).flatten(0, 1),
        "light_cone": cones(light_from_local, length).flatten(0, 1),
        "length": per_frame(with_sky("length")),
        "kind": per_frame(kind),
        "instance": per_frame(with_sky("instance")),
        "moving": per_frame(with_sky("moving")),
        "look": per_frame(look),
        "air": per_frame(torch.stack([x.air for x in scenes])),
        "K": per_frame(torch.stack([x.K for x in scenes])),
        "cam_from_world": cam_from_world.flatten(0, 1),
    }
    values = {k: v.to(device, dtype if v.is_floating_point() else v.dtype).contiguous() for k, v in values.items()}
    return Tables(**values, counts=counts, frames=s, height=scenes[0].height, width=scenes[0].width)


def rays(K: Tensor, pixels: Tensor) -> Tensor:
    """Directions with z = 1 through pixels: K (F, 3, 3), pixels (F or 1, P, 2) -> (F, 3, P)."""
    x = (pixels[..., 0] - K[:, 0, 2, None]) / K[:, 0, 0, None]
    y = (pixels[..., 1] - K[:, 1, 2, None]) / K[:, 1, 1, None]
    return torch.stack((x, y, torch.ones_like(x)), 1)


def camera_solids(table: Tables) -> Solids:
    """The solids as the cameras' rays see them."""
    n = sum(table.counts)
    return Solids(table.local_from_cam[:, :n], table.length[:, :n], table.camera_cone, table.counts)


def _shadow(table: Tables, points: Tensor, facing: Tensor) -> Tensor:
    """Camera points (F, 3, P) that the light does not reach, of those that face it (F, P)."""
    n = sum(table.counts)
    solids = Solids(table.local_from_light, table.length[:, :n], table.light_cone, table.counts)
    directions = points - table.light[:, :, None]
    limit = 1.0 - SHADOW_BIAS_M / directions.square().sum(1).sqrt_().clamp_(min=1.0)
    return shadowed(solids, directions, limit, facing)


def _shade(table: Tables, picked: Tensor, local: Tensor, depth: Tensor, directions: Tensor, hit: Tensor) -> Tensor:
    """RGB (3, F P) of surface points: texture, Lambert, shadow, fog; `picked` is the row of every pixel's solid."""
    f, _, p = directions.shape
    matrix = table.local_from_cam.flatten(0, 1)[..., :3].flatten(1).T.contiguous()[:, picked]
    look = table.look.flatten(0, 1).T.contiguous()[:, picked]
    kind, length = table.kind.flatten()[picked], table.length.flatten()[picked]
    local_normal = normals(kind, length, local)
    normal = torch.stack([sum(matrix[3 * r + c] * local_normal[r] for r in range(3)) for c in range(3)])  # type: ignore[misc]
    normal = normal / normal.square().sum(0).sqrt().clamp(min=1e-12)
    rays_flat = directions.transpose(0, 1).reshape(3, -1)
    points = rays_flat * depth
    to_light = table.light.T[:, :, None].expand(3, f, p).reshape(3, -1) - points
    cosine = (to_light * normal).sum(0).div_(to_light.square().sum(0).sqrt()).clamp_(min=0)
    length_of_ray = rays_flat.square().sum(0).sqrt()
    slant = ((rays_flat * normal).sum(0).abs() / length_of_ray).clamp(min=0.15)
    focal = table.K[:, 0, 0, None].expand(f, p).reshape(-1)
    footprint = (look[26] * depth / focal / slant.sqrt()).clamp(min=1e-6)
    coordinates = torch.stack(
        [
            look[4 * r] * local[0] + look[4 * r + 1] * local[1] + look[4 * r + 2] * local[2] + look[4 * r + 3]
            for r in range(3)
        ]
    )
    colour = paint(coordinates, look[12:21], look[21:27], footprint)
    air = table.air.T[:, :, None].expand(10, f, p).reshape(10, -1)
    lit = cosine
    if bool((table.air[:, 2] > 0).any()):
        facing = ((cosine > 0) & hit).view(f, p)
        shade = _shadow(table, points.view(3, f, p).transpose(0, 1), facing).flatten()
        lit = cosine * (1 - air[2] * shade)
    light = torch.where(hit, air[0] + air[1] * lit, 1.0 / air[7:10].amax(0))
    # Outdoors the ground melts into the horizon before the world ends.
    haze = torch.exp(-air[3] * depth * length_of_ray) * (2 - 2 * depth / FAR_M).clamp_(0, 1)
    haze = torch.where(hit, haze, 1 - 0.6 * torch.exp(-4 * local[1].abs()))
    return torch.lerp(air[4:7], colour * (air[7:10] * light), haze).clamp_(0, 1)


def _flow(table: Tables, picked: Tensor, local: Tensor, pixels: Tensor) -> Tensor:
    f, p = len(table.K), pixels.shape[-2]
    matrix = table.next_from_local.flatten(0, 1).flatten(1).T.contiguous()[:, picked]
    x, y, z = (
        matrix[4 * r] * local[0] + matrix[4 * r + 1] * local[1] + matrix[4 * r + 2] * local[2] + matrix[4 * r + 3]
        for r in range(3)
    )
    z = torch.where(z.abs() < 1e-6, torch.full_like(z, 1e-6), z)
    k = table.K
    u = (x / z).view(f, p) * k[:, 0, 0, None] + k[:, 0, 2, None]
    v = (y / z).view(f, p) * k[:, 1, 1, None] + k[:, 1, 2, None]
    return torch.stack((u, v), -1) - pixels


def local_points(table: Tables, picked: Tensor, directions: Tensor, depth: Tensor) -> Tensor:
    """Material coordinates (3, F P) of points at `depth` (F P,) along camera rays (F, 3, P)."""
    m = table.local_from_cam.flatten(0, 1).flatten(1).T.contiguous()[:, picked]
    x, y, z = directions.transpose(0, 1).reshape(3, -1) * depth
    return torch.stack([m[4 * r] * x + m[4 * r + 1] * y + m[4 * r + 2] * z + m[4 * r + 3] for r in range(3)])


def _render_chunk(table: Tables) -> Rendered:
    h, w, f = table.height, table.width, len(table.K)
    pixels = pixel_grid(h, w, like=table.K).reshape(1, h * w, 2)
    directions = rays(table.K, pixels)
    depth, solid = first_hit(camera_solids(table), directions)
    n = table.kind.shape[1]
    picked = (solid + n * torch.arange(f, device=solid.device)[:, None]).flatten()
    hit = (solid < n - 1).flatten()
    reach = torch.where(hit, depth.flatten(), torch.ones_like(depth).flatten())
    local = local_points(table, picked, directions, reach)
    colour = _shade(table, picked, local, reach, directions, hit)
    return Rendered(
        images=colour.view(3, f, h, w).transpose(0, 1),
        depth=torch.where(hit, reach, torch.zeros_like(reach)).view(f, h, w),
        moving=table.moving.flatten()[picked].view(f, h, w),
        instances=table.instance.flatten()[picked].view(f, h, w),
        flow=_flow(table, picked, local, pixels).view(f, h, w, 2),
    )


def render(table: Tables) -> Rendered:
    """All frames of the tables, in chunks that fit the CPU's cache or the GPU's memory."""
    budget = CHUNK_PIXELS.get(table.K.device.type, CHUNK_PIXELS_GPU)
    step = max(1, budget // (table.height * table.width))
    chunks = [_render_chunk(table.rows(i, i + step)) for i in range(0, len(table.K), step)]
    names = ("images", "depth", "moving", "instances", "flow")
    return Rendered(**{name: torch.cat([getattr(c, name) for c in chunks]) for name in names})
