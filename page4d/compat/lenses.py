"""Distortion of lenses on the plane z = 1 of the camera's frame, under the names of `vggt.dependency.distortion`."""

from __future__ import annotations

import torch
from torch import Tensor


def apply_distortion(extra_params: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Where a lens shows points of the plane.

    Shapes:  extra_params (B, 1, 2 or 4), u and v (B, N) -> two (B, N).
    Raises:  ValueError for another number of parameters.
    """
    on_plane = torch.stack((u, v), -1)
    shown = on_plane + distortion(on_plane, extra_params)
    return shown[..., 0], shown[..., 1]


def single_undistortion(params: Tensor, tracks_normalized: Tensor) -> Tensor:
    """As there, in spite of the name: points (B, N, 2) *distorted* once by params (B, 1, 2 or 4).

    Raises:  ValueError for another number of parameters.
    """
    return tracks_normalized + distortion(tracks_normalized, params)


def iterative_undistortion(
    params: Tensor,
    tracks_normalized: Tensor,
    max_iterations: int = 100,
    max_step_norm: float = 1e-10,
    rel_step_size: float = 1e-6,
) -> Tensor:
    """The points that a lens shows at those given.

    Shapes:  params (B, 1, 2 or 4), tracks_normalized (B, N, 2) -> (B, N, 2).
    Note:    ends after `max_iterations`, or when no point moves by `max_step_norm` any more. `rel_step_size` is taken
             and not read: a fixed point needs no derivative.
    Raises:  ValueError for another number of parameters.
    """
    straight = tracks_normalized
    for _ in range(max_iterations):
        before = straight
        straight = tracks_normalized - distortion(before, params)
        if float((straight - before).norm(dim=-1).max()) < max_step_norm:
            break
    return straight


def distortion(on_plane: Tensor, parameters: Tensor) -> Tensor:
    """How far a lens moves a point of the plane z = 1.

    Source:  https://colmap.github.io/cameras.html: SIMPLE_RADIAL, RADIAL and OPENCV by the number of parameters.
    """
    k1, *rest = (p[:, None] for p in parameters.unbind(-1))
    u, v = on_plane.unbind(-1)
    r2 = u * u + v * v
    radial = k1 * r2
    if rest:
        radial = radial + rest[0] * r2 * r2
    du, dv = u * radial, v * radial
    if len(rest) == 3:
        p1, p2 = rest[1:]
        du = du + 2 * p1 * u * v + p2 * (r2 + 2 * u * u)
        dv = dv + 2 * p2 * u * v + p1 * (r2 + 2 * v * v)
    elif len(rest) > 1:
        raise ValueError(f"{len(rest) + 1} distortion parameters; expected 1 (k1), 2 (k1, k2) or 4 (k1, k2, p1, p2)")
    return torch.stack((du, dv), -1)
