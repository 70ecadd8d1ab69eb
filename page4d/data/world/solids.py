"""Rays against solids, each in its own coordinates where it has unit size.

Every solid is a simple shape under an affine map that may change from frame to frame. A ray in camera
coordinates with z component 1 keeps its parameter under the map, so the parameter of a hit is its z-depth, and
the local coordinates of a hit name the same piece of material in every frame. Rigid motion, stretching and
shearing are all exact in this way.

Local shapes: PLANE y = 0, seen from y > 0; ELLIPSOID |p| = 1; BOX max |p| = 1; CYLINDER x^2 + z^2 = 1, |y| <= 1;
CAPSULE radius 1 about the segment |y| <= length on the y axis.
"""

from __future__ import annotations

import torch
from torch import Tensor

PLANE, ELLIPSOID, BOX, CYLINDER, CAPSULE = range(5)
KINDS = 5
FAR_M = 50.0
_TINY = 1e-12


def _rows(matrix: Tensor, directions: Tensor) -> list[Tensor]:
    """Linear forms (F, R, n, 3) of the directions (F, 3, P): a list of R tensors (F, n, P)."""
    f, r, n, _ = matrix.shape
    return list((matrix.flatten(1, 2) @ directions).view(f, r, n, -1).unbind(1))


def _planes(A: Tensor, b: Tensor, directions: Tensor) -> Tensor:
    dy = A[:, :, 1] @ directions
    t = -b[:, :, 1, None] / dy.clamp_(max=-_TINY)
    return t.masked_fill_(b[:, :, 1, None] <= 0, torch.inf)


def _miss(t: Tensor, missed: Tensor) -> Tensor:
    return t.masked_fill_(missed, torch.inf)


def _cross_matrix(b: Tensor, A: Tensor) -> Tensor:
    """Rows of `b x (A d)` as linear forms of d: b (F, n, 3), A (F, n, 3, 3) -> (F, n, 3, 3)."""
    return torch.linalg.cross(b[..., None].expand_as(A), A, dim=2)


def _ellipsoids(A: Tensor, b: Tensor, directions: Tensor) -> Tensor:
    along = (b[..., None, :] @ A).squeeze(2)
    forms = torch.cat((A.transpose(1, 2), _cross_matrix(b, A).transpose(1, 2), along[:, None]), 1)
    dx, dy, dz, wx, wy, wz, bd = _rows(forms, directions)
    a = dx.square_().addcmul_(dy, dy).addcmul_(dz, dz)
    # |d|^2 - |b x d|^2 is the discriminant without the cancellation of b.d^2 - |d|^2 (|b|^2 - 1).
    disc = wx.square_().addcmul_(wy, wy).addcmul_(wz, wz).neg_().add_(a)
    t = disc.clamp(min=0).sqrt_().add_(bd).neg_().div_(a)
    return _miss(t, (disc <= 0) | (t <= 0))


def _boxes(A: Tensor, b: Tensor, directions: Tensor) -> Tensor:
    near: Tensor | None = None
    far: Tensor | None = None
    for axis in range(3):
        inverse = (A[:, :, axis] @ directions).reciprocal_()
        middle = -b[:, :, axis, None] * inverse
        reach = inverse.abs_()
        low, high = middle - reach, middle.add_(reach)
        near = low if near is None else torch.maximum(near, low)
        far = high if far is None else torch.minimum(far, high)
    assert near is not None and far is not None
    return _miss(near, ~((near < far) & (near > 0)))


def _sides(A: Tensor, b: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Infinite unit cylinder about y: (dy, middle, half width of the hit interval, discriminant)."""
    cross = b[..., 2, None] * A[..., 0, :] - b[..., 0, None] * A[..., 2, :]
    along = b[..., 0, None] * A[..., 0, :] + b[..., 2, None] * A[..., 2, :]
    dx, dy, dz, w, bd = _rows(torch.cat((A.transpose(1, 2), cross[:, None], along[:, None]), 1), directions)
    a = dx.square_().addcmul_(dz, dz).clamp_(min=_TINY)
    disc = torch.addcmul(a, w, w, value=-1)
    return dy, bd.neg_().div_(a), disc.clamp(min=0).sqrt_().div_(a), disc


def _cylinders(A: Tensor, b: Tensor, directions: Tensor) -> Tensor:
    dy, middle, half, disc = _sides(A, b, directions)
    inverse = dy.reciprocal_()
    centre = -b[:, :, 1, None] * inverse
    reach = inverse.abs_()
    near = torch.maximum(middle - half, centre - reach)
    far = torch.minimum(middle.add_(half), centre.add_(reach))
    return _miss(near, ~((near < far) & (near > 0) & (disc > 0)))


def _capsules(A: Tensor, b: Tensor, directions: Tensor, length: Tensor) -> Tensor:
    dy, middle, half, disc = _sides(A, b, directions)
    t = middle.sub_(half)
    y = torch.addcmul(b[:, :, 1, None].expand_as(t), t, dy)
    top = y >= 0
    on_side = y.abs_() <= length[..., None]
    caps = []
    for end in (1.0, -1.0):
        shifted = b.clone()
        shifted[..., 1] -= end * length
        caps.append(_ellipsoids(A, shifted, directions))
    hit = torch.where(on_side, t, torch.where(top, caps[0], caps[1]))
    return _miss(hit, (disc <= 0) | ~(hit > 0))


def intersect(local_from_ray: Tensor, length: Tensor, directions: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Parameter of the nearest hit of every ray with every solid, inf where it misses.

    Shapes:  local_from_ray (F, N, 3, 4), length (F, N), directions (F, 3, P) -> (F, N, P).
    Units:   multiples of the direction; for camera rays with z = 1 this is z-depth in metres.
    Note:    solids stand ordered by kind, `counts` of each. Origins inside a solid see no hit of it.
    """
    A, b = local_from_ray[..., :3], local_from_ray[..., 3]
    parts: list[Tensor] = []
    start = 0
    for kind, count in enumerate(counts):
        if count == 0:
            continue
        now = slice(start, start + count)
        start += count
        if kind == CAPSULE:
            parts.append(_capsules(A[:, now], b[:, now], directions, length[:, now]))
        else:
            parts.append((_planes, _ellipsoids, _boxes, _cylinders)[kind](A[:, now], b[:, now], directions))
    return torch.cat(parts, 1)


def normals(kind: Tensor, length: Tensor, points: Tensor) -> Tensor:
    """Outward normals, not normalised, at local surface points.

    Shapes:  kind, length (P,), points (3, P) -> (3, P).
    """
    x, y, z = points
    rounded = y - torch.minimum(torch.maximum(y, -length), length)
    curved = torch.stack((x, rounded, z))
    size = points.abs()
    on_face = points * (size >= size.amax(0, keepdim=True))
    cap = (kind == CYLINDER) & (size[1] > torch.hypot(x, z))
    up = torch.stack((torch.zeros_like(y), torch.where(kind == PLANE, torch.ones_like(y), y), torch.zeros_like(y)))
    flat = torch.where((kind == BOX)[None], on_face, up)
    return torch.where(((kind == BOX) | (kind == PLANE) | cap)[None], flat, curved)
