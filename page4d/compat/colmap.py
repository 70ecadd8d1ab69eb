"""VGGT's way from arrays to a COLMAP model, under its names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.compat.points import project_world_points_to_cam
from page4d.result.reconstruction import Lens, Shown, reconstruction

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class _Sightings:
    """What one frame sees: (n, 2) pixels and the indices of the points they show."""

    pixels: NDArray[Any]
    points: NDArray[np.int64]


def batch_np_matrix_to_pycolmap(
    points3d: NDArray[Any],
    extrinsics: NDArray[Any],
    intrinsics: NDArray[Any],
    tracks: NDArray[Any],
    image_size: Sequence[int] | NDArray[Any],
    masks: NDArray[np.bool_] | None = None,
    max_reproj_error: float | None = None,
    max_points3D_val: float = 3000,
    shared_camera: bool = False,
    camera_type: str = "SIMPLE_PINHOLE",
    extra_params: NDArray[Any] | None = None,
    min_inlier_per_frame: int = 64,
    points_rgb: NDArray[Any] | None = None,
) -> tuple[pycolmap.Reconstruction, NDArray[np.bool_]] | tuple[None, None]:
    """A COLMAP model of points that are tracked through the frames, and which points are in it.

    Shapes:  points3d (P, 3), extrinsics (N, 3, 4), intrinsics (N, 3, 3), tracks (N, P, 2), masks (N, P),
             extra_params (N, 1), k1 of a SIMPLE_RADIAL camera.
    Note:    a point needs two frames in which its mask holds and its reprojection is nearer than `max_reproj_error`;
             (None, None) if a frame sees fewer than `min_inlier_per_frame` points. Pixels are written as they are.
    Raises:  ValueError without masks and max_reproj_error, or if the sizes differ. UserError without pycolmap.
    """
    shape = len(extrinsics), len(points3d)
    if tracks.shape[:2] != shape or len(intrinsics) != shape[0]:
        raise ValueError(f"tracks {tracks.shape} and {len(intrinsics)} intrinsics; expected {shape} of frames, points")
    if masks is None and max_reproj_error is None:
        raise ValueError("masks and max_reproj_error are both None: nothing says which sightings are good; give one")
    good = np.ones(shape, bool) if masks is None else masks.astype(bool)
    if max_reproj_error is not None:
        good = good & (_reprojection_error(points3d, extrinsics, intrinsics, tracks) < max_reproj_error)
    if good.sum(1).min() < min_inlier_per_frame:
        return None, None
    valid = (good.sum(0) >= 2) & (np.abs(points3d) < max_points3D_val).all(1)
    rows = np.cumsum(valid) - 1
    kept = zip(tracks, good & valid, strict=True)
    sightings = [_Sightings(pixels[seen], rows[seen]) for pixels, seen in kept]
    rgb = np.zeros((valid.sum(), 3), np.uint8) if points_rgb is None else points_rgb[valid]
    cameras = _Cameras(extrinsics, intrinsics, image_size, shared_camera, camera_type, extra_params)
    return _reconstruction(points3d[valid], rgb, sightings, cameras), valid


def batch_np_matrix_to_pycolmap_wo_track(
    points3d: NDArray[Any],
    points_xyf: NDArray[Any],
    points_rgb: NDArray[Any],
    extrinsics: NDArray[Any],
    intrinsics: NDArray[Any],
    image_size: Sequence[int] | NDArray[Any],
    shared_camera: bool = False,
    camera_type: str = "SIMPLE_PINHOLE",
) -> pycolmap.Reconstruction:
    """A COLMAP model of points that are each seen in the one frame they come from.

    Shapes:  points3d and points_rgb (P, 3), points_xyf (P, 3) = x, y, frame; extrinsics (N, 3, 4), intrinsics
             (N, 3, 3); image_size = width, height.
    Note:    pixels are written as they are; COLMAP puts the first pixel's centre at (0.5, 0.5).
             `page4d.export(prediction, folder, ["colmap"])` does shift them.
    Raises:  UserError without pycolmap.
    """
    frame_of = points_xyf[:, 2].astype(np.int64)
    per_frame = [np.flatnonzero(frame_of == number) for number in range(len(extrinsics))]
    sightings = [_Sightings(points_xyf[rows, :2], rows) for rows in per_frame]
    cameras = _Cameras(extrinsics, intrinsics, image_size, shared_camera, camera_type)
    return _reconstruction(points3d, points_rgb, sightings, cameras)


@dataclass(frozen=True)
class _Cameras:
    extrinsics: NDArray[Any]
    intrinsics: NDArray[Any]
    image_size: Sequence[int] | NDArray[Any]
    shared: bool
    kind: str
    radial: NDArray[Any] | None = None

    def parameters(self, number: int) -> list[float]:
        """What COLMAP's camera model calls its parameters.

        Raises:  ValueError for a model of other parameters than these.
        """
        (fx, _, cx), (_, fy, cy), _ = self.intrinsics[number].tolist()
        known = {"PINHOLE": [fx, fy, cx, cy], "SIMPLE_PINHOLE": [(fx + fy) / 2, cx, cy]}
        k1 = 0.0 if self.radial is None else float(self.radial[number, 0])
        known["SIMPLE_RADIAL"] = [*known["SIMPLE_PINHOLE"], k1]
        if self.kind not in known:
            raise ValueError(f"camera_type is {self.kind!r}; expected one of {', '.join(known)}")
        return known[self.kind]


def _reprojection_error(
    points: NDArray[Any], extrinsics: NDArray[Any], intrinsics: NDArray[Any], tracks: NDArray[Any]
) -> NDArray[np.float64]:
    """Pixels between a point's track and its projection, infinite behind the camera: (N, P)."""
    world, cameras, K = (torch.as_tensor(a).double() for a in (points, extrinsics, intrinsics))
    pixels, in_cameras = project_world_points_to_cam(world, cameras, K)
    assert pixels is not None
    off: NDArray[np.float64] = np.linalg.norm(pixels.numpy() - tracks, axis=-1)
    return np.where(in_cameras[:, 2].numpy() > 0, off, np.inf)


def _reconstruction(
    xyz: NDArray[Any], rgb: NDArray[Any], sightings: Sequence[_Sightings], cameras: _Cameras
) -> pycolmap.Reconstruction:
    width, height = (int(side) for side in cameras.image_size)
    count = 1 if cameras.shared else len(sightings)
    lenses = [Lens(cameras.kind, cameras.parameters(i), width, height) for i in range(count)]
    images = []
    for number, seen in enumerate(sightings):
        lens = 0 if cameras.shared else number
        images.append(Shown(cameras.extrinsics[number], lens, seen.pixels, seen.points))
    return reconstruction(xyz, rgb, lenses, images)
