"""Rays against solids, each in its own coordinates where it has unit size.

Every solid is a simple shape under an affine map that may change from frame to frame. A ray in camera
coordinates with z component 1 keeps its parameter under the map, so the parameter of a hit is its z-depth, and
the local coordinates of a hit name the same piece of material in every frame. Rigid motion, stretching and
shearing are all exact in this way.

Local shapes: PLANE y = 0, seen from y > 0; ELLIPSOID |p| = 1; BOX max |p| = 1; CYLINDER x^2 + z^2 = 1, |y| <= 1;
CAPSULE radius 1 about the segment |y| <= length on the y axis.

Planes meet every ray. The others are first tested by the cone about their bounding sphere, one small matrix
product for all rays and solids, and only the pairs that pass are computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

PLANE, ELLIPSOID, BOX, CYLINDER, CAPSULE = range(5)
KINDS = 5
FAR_M = 50.0
_TINY = 1e-12


@dataclass(frozen=True)
class Solids:
    """N solids in each of F frames, ordered by kind (`counts` of each), as rays from one origin a frame see them.

    Shapes:  local_from_ray (F, N, 3, 4), length (F, N), cone (F, N, 4): a ray (d, |d|) can only meet a solid if its
             product with the solid's cone is positive.
    """

    local_from_ray: Tensor
    length: Tensor
    cone: Tensor
    counts: tuple[int, ...]


def bounding_cone(ray_from_local: Tensor, length: Tensor, kind: Tensor, present: Tensor) -> Tensor:
    """Cones about the solids' bounding spheres as seen from the rays' origin.

    Shapes:  ray_from_local (*, 3, 4), length, kind, present (*) -> (*, 4).
    """
    M, centre = ray_from_local[..., :3], ray_from_local[..., 3]
    gram = M.mT @ M
    # Gershgorin bounds the largest stretch; without shear it is the longest half axis.
    stretch = gram.abs().sum(-1).amax(-1)
    squares = gram.diagonal(dim1=-2, dim2=-1)
    radius2 = torch.where(kind == BOX, squares.sum(-1), stretch)
    # From the middle of a cylinder to its rim; a capsule is the ball, carried along its axis.
    rim = squares[..., 1] + torch.maximum(squares[..., 0], squares[..., 2])
    radius2 = torch.where(kind == CYLINDER, rim, radius2)
    radius = radius2.sqrt() + (kind == CAPSULE) * length * squares[..., 1].sqrt()
    room = centre.square().sum(-1) - (1.001 * radius + 1e-4).square()
    outside = (room > 0)[..., None]
    toward = centre / room.clamp(min=_TINY).sqrt()[..., None]
    # A ray d is inside the cone where d . toward > |d|; an origin inside the ball lets every ray pass.
    axis = torch.where(outside, toward, 0.0)
    size = torch.where(outside, -1.0, 1.0).to(axis)
    cone = torch.cat((axis, size), -1)
    never: Tensor = cone.new_tensor([0.0, 0.0, 0.0, -1.0])
    return torch.where(present[..., None], cone, never)


def _local_rays(maps: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Origins and directions (3, M) in local coordinates: maps (12, M) row-major, directions (3, M)."""
    m = maps.view(3, 4, -1)
    local = m[:, 0] * directions[0]
    local.addcmul_(m[:, 1], directions[1]).addcmul_(m[:, 2], directions[2])
    return m[:, 3], local


def _ball(o: Tensor, d: Tensor) -> Tensor:
    a, along = (d * d).sum(0), (o * d).sum(0)
    w: Tensor = torch.linalg.cross(o, d, dim=0)
    # |d|^2 - |o x d|^2 is the discriminant without the cancellation of (o.d)^2 - |d|^2 (|o|^2 - 1).
    disc = a - w.square_().sum(0)
    t = disc.clamp(min=0).sqrt_().add_(along).neg_().div_(a)
    return t.masked_fill_((disc <= 0) | (t <= 0), torch.inf)


def _slab(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Between -1 and 1 on an axis: middle and half width of the interval, finite for rays along the slab too."""
    reach = d.abs().clamp_(min=_TINY).reciprocal_()
    return (o * reach.copysign(d)).neg_(), reach


def _box(o: Tensor, d: Tensor) -> Tensor:
    middle, reach = _slab(o, d)
    near, far = (middle - reach).amax(0), (middle + reach).amin(0)
    return near.masked_fill_((near >= far) | (near <= 0), torch.inf)


def _side(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Infinite unit cylinder about y: middle and half width of the hit interval, and its discriminant."""
    a = (d[0] * d[0]).addcmul_(d[2], d[2]).clamp_(min=_TINY)
    w = (o[2] * d[0]).addcmul_(o[0], d[2], value=-1)
    disc = torch.addcmul(a, w, w, value=-1)
    along = (o[0] * d[0]).addcmul_(o[2], d[2])
    return along.neg_().div_(a), disc.clamp(min=0).sqrt_().div_(a), disc


def _cylinder(o: Tensor, d: Tensor) -> Tensor:
    middle, half, disc = _side(o, d)
    centre, reach = _slab(o[1], d[1])
    near, far = torch.maximum(middle - half, centre - reach), torch.minimum(middle + half, centre + reach)
    return near.masked_fill_((near >= far) | (near <= 0) | (disc <= 0), torch.inf)


def _capsule(o: Tensor, d: Tensor, length: Tensor) -> Tensor:
    middle, half, disc = _side(o, d)
    t = middle - half
    y = torch.addcmul(o[1], t, d[1])
    end = torch.minimum(torch.maximum(y, -length), length)
    # Off the side, the ray can only meet the ball at the end that it passes.
    shifted = torch.stack((o[0], o[1] - torch.where(y < 0, -length, length), o[2]))
    hit = torch.where(y == end, t, _ball(shifted, d))
    return hit.masked_fill_((disc <= 0) | (hit <= 0), torch.inf)


def _planes(solids: Solids, directions: Tensor) -> tuple[Tensor, Tensor]:
    count = solids.counts[PLANE]
    if count == 0:
        shape = directions[:, 0].shape
        return directions.new_full(shape, torch.inf), torch.zeros(shape, dtype=torch.int64, device=directions.device)
    row = solids.local_from_ray[:, :count, 1]
    t = -row[..., 3:] / (row[..., :3] @ directions).clamp_(max=-_TINY)
    return t.masked_fill_(row[..., 3:] <= 0, torch.inf).min(1)


def pairs(solids: Solids, directions: Tensor, use: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Every hit of a ray with a solid that is no plane: (ray index f P + p, solid n, parameter), one kind at a time.

    Shapes:  directions (F, 3, P), use bool (F, P) or None for all rays.
    """
    f, _, p = directions.shape
    n = solids.length.shape[1]
    maps = solids.local_from_ray.reshape(f * n, 12).T.contiguous()
    lengths = solids.length.flatten()
    flat = directions.transpose(0, 1).reshape(3, -1)
    size = directions.square().sum(1, keepdim=True).sqrt_()
    widened = torch.cat((directions, size), 1)
    ever = (solids.cone[..., 3] > 0) | (solids.cone[..., :3] != 0).any(-1)
    groups = ever.any(0).split(solids.counts)
    start = solids.counts[PLANE]
    for kind, group in list(enumerate(groups))[1:]:
        alive = group.nonzero().squeeze(1) + start
        start += len(group)
        if len(alive) == 0:
            continue
        near = (solids.cone[:, alive] @ widened) > 0
        if use is not None:
            near &= use[:, None]
        index = near.flatten().nonzero().squeeze(1)
        row = torch.div(index, p, rounding_mode="floor")
        frame = torch.div(row, len(alive), rounding_mode="floor")
        ray = index - (row - frame) * p
        solid = alive.index_select(0, row - frame * len(alive))
        slot = frame * n + solid
        # index_select is several times faster than indexing with brackets.
        o, d = _local_rays(maps.index_select(1, slot), flat.index_select(1, ray))
        if kind == CAPSULE:
            t = _capsule(o, d, lengths.index_select(0, slot))
        else:
            t = (_ball, _box, _cylinder)[kind - 1](o, d)
        hit = t.isfinite().nonzero().squeeze(1)
        yield ray.index_select(0, hit), solid.index_select(0, hit), t.index_select(0, hit)


def first_hit(solids: Solids, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Parameter and solid of each ray's first hit; inf and N where there is none before FAR_M.

    Shapes:  directions (F, 3, P) -> (F, P) twice.
    Units:   multiples of the direction; for camera rays with z = 1 this is z-depth in metres.
    Note:    rays that start inside a solid do not see it.
    """
    f, _, p = directions.shape
    n = solids.length.shape[1]
    depth, solid = (x.flatten() for x in _planes(solids, directions))
    found = list(pairs(solids, directions))
    if found:
        ray, which, t = (torch.cat(column) for column in zip(*found, strict=True))
        depth = depth.scatter_reduce(0, ray, t, "amin")
        won = (t == depth.index_select(0, ray)).nonzero().squeeze(1)
        solid[ray.index_select(0, won)] = which.index_select(0, won)
    missed = ~(depth < FAR_M)
    return depth.masked_fill_(missed, torch.inf).view(f, p), solid.masked_fill_(missed, n).view(f, p)


def shadowed(solids: Solids, directions: Tensor, limit: Tensor, use: Tensor) -> Tensor:
    """Rays that meet a solid other than a plane before `limit`: (F, P) bool; planes bound the world and cast none.

    Shapes:  directions (F, 3, P), limit (F, P), use bool (F, P): rays that need an answer.
    """
    dark = torch.zeros_like(use).flatten()
    flat = limit.flatten()
    for ray, _, t in pairs(solids, directions, use):
        near = (t < flat.index_select(0, ray)).nonzero().squeeze(1)
        dark[ray.index_select(0, near)] = True
    return dark.view_as(use)


def normals(kind: Tensor, length: Tensor, points: Tensor) -> Tensor:
    """Outward normals, not normalised, at local surface points.

    Shapes:  kind, length (P,), points (3, P) -> (3, P).
    """
    x, y, z = points
    size = points.abs()
    box, plane = kind == BOX, kind == PLANE
    cap = (kind == CYLINDER) & (size[1] > torch.hypot(x, z))
    face = points * (size >= size.amax(0, keepdim=True))
    straight = length.masked_fill(kind == CYLINDER, 1.0)
    beyond = y - torch.minimum(torch.maximum(y, -straight), straight)
    normal = torch.where((box | cap)[None], face, torch.stack((x, beyond, z)))
    normal.masked_fill_(plane[None], 0.0)
    normal[1] += plane
    return normal
