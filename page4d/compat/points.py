"""VGGT's functions of points, cameras and rotations, under its names."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from page4d.compat.lenses import distortion, iterative_undistortion
from page4d.geometry import matrix_to_quaternion, quaternion_to_matrix, transform, unproject, world_points


def quat_to_mat(quaternions: Tensor) -> Tensor:
    """Rotation matrices (*, 3, 3) from quaternions x, y, z, w (*, 4) of any non-zero length."""
    return quaternion_to_matrix(quaternions)


def standardize_quaternion(quaternions: Tensor) -> Tensor:
    """Of q and -q, which are one rotation, the one whose real part, the last, is not negative: (*, 4) -> (*, 4)."""
    return torch.where(quaternions[..., 3:] < 0, -quaternions, quaternions)


def mat_to_quat(matrix: Tensor) -> Tensor:
    """Quaternions x, y, z, w (*, 4) with w >= 0 from rotation matrices (*, 3, 3)."""
    return matrix_to_quaternion(matrix)


def depth_to_cam_coords_points(depth_map: NDArray[Any], intrinsic: NDArray[Any]) -> NDArray[np.float32]:
    """Points of one depth map in its camera's frame.

    Shapes:  depth_map (H, W), intrinsic (3, 3) -> (H, W, 3), float32.
    Raises:  ValueError if `intrinsic` has skew, as there.
    """
    if intrinsic.shape != (3, 3) or intrinsic[0, 1] != 0 or intrinsic[1, 0] != 0:
        raise ValueError(f"intrinsic is {intrinsic.tolist()}, expected (3, 3) without skew")
    points = unproject(torch.as_tensor(depth_map).double(), torch.as_tensor(intrinsic).double())
    return points.numpy().astype(np.float32)


def depth_to_world_coords_points(
    depth_map: NDArray[Any] | None, extrinsic: NDArray[Any], intrinsic: NDArray[Any], eps: float = 1e-8
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_]] | tuple[None, None, None]:
    """Points of one depth map in the world and in its camera's frame, and where the depth is above `eps`.

    Shapes:  depth_map (H, W), extrinsic (3, 4), intrinsic (3, 3) -> (H, W, 3), (H, W, 3), (H, W); None gives Nones.
    """
    if depth_map is None:
        return None, None, None
    in_camera = depth_to_cam_coords_points(depth_map, intrinsic)
    depth, K, pose = (torch.as_tensor(a).double() for a in (depth_map, intrinsic, extrinsic[:3]))
    in_world = world_points(depth, K, pose).numpy()
    return in_world.astype(np.result_type(in_camera, extrinsic)), in_camera, depth_map > eps


def project_world_points_to_cam(
    world_points: Tensor,
    cam_extrinsics: Tensor,
    cam_intrinsics: Tensor | None = None,
    distortion_params: Tensor | None = None,
    default: float = 0.0,
    only_points_cam: bool = False,
) -> tuple[Tensor | None, Tensor]:
    """Pixels of N points in B cameras, and the points in the cameras' frames.

    Shapes:  world_points (N, 3), cam_extrinsics (B, 3, 4), cam_intrinsics (B, 3, 3) -> (B, N, 2), (B, 3, N).
    Note:    with `only_points_cam` the pixels are None and no intrinsics are read.
    Raises:  ValueError if pixels are asked for without intrinsics.
    """
    cam_points = transform(cam_extrinsics[:, :3], world_points.expand(len(cam_extrinsics), -1, -1)).mT
    if only_points_cam:
        return None, cam_points
    if cam_intrinsics is None:
        raise ValueError("cam_intrinsics is None: pixels need intrinsics; give them, or only_points_cam=True")
    return img_from_cam(cam_intrinsics, cam_points, distortion_params, default), cam_points


def img_from_cam(
    cam_intrinsics: Tensor, cam_points: Tensor, distortion_params: Tensor | None = None, default: float = 0.0
) -> Tensor:
    """Pixels of points that are given in their camera's frame; not a number becomes `default`.

    Shapes:  cam_intrinsics (B, 3, 3), cam_points (B, 3, N), distortion_params (B, 1, 2 or 4) -> (B, N, 2).
    """
    on_plane = (cam_points[:, :2] / cam_points[:, 2:]).mT
    if distortion_params is not None:
        on_plane = on_plane + distortion(on_plane, distortion_params)
    pixels = on_plane @ cam_intrinsics[:, :2, :2].mT + cam_intrinsics[:, None, :2, 2]
    return torch.nan_to_num(pixels, nan=default)


def cam_from_img(pred_tracks: Tensor, intrinsics: Tensor, extra_params: Tensor | None = None) -> Tensor:
    """Pixels to the plane z = 1 of the camera's frame: the inverse of `img_from_cam` without skew.

    Shapes:  pred_tracks (B, N, 2), intrinsics (B, 3, 3), extra_params (B, 1, 2 or 4) -> (B, N, 2).
    """
    focal = torch.stack((intrinsics[:, 0, 0], intrinsics[:, 1, 1]), -1)
    seen = (pred_tracks - intrinsics[:, None, :2, 2]) / focal[:, None]
    if extra_params is None:
        return seen
    return iterative_undistortion(extra_params, seen)


def randomly_limit_trues(mask: NDArray[np.bool_], max_trues: int) -> NDArray[np.bool_]:
    """The mask with at most `max_trues` of its True values, chosen at random.

    Note:    draws from numpy's global state, as there, so that `np.random.seed` decides.
    """
    chosen = np.flatnonzero(mask)
    if len(chosen) <= max_trues:
        return mask
    limited = np.zeros(mask.size, bool)
    limited[np.random.permutation(chosen)[:max_trues]] = True
    return limited.reshape(mask.shape)


def create_pixel_coordinate_grid(num_frames: int, height: int, width: int) -> NDArray[np.float32]:
    """x, y and the frame's number of every pixel: (num_frames, height, width, 3)."""
    frame, y, x = np.meshgrid(np.arange(num_frames), np.arange(height), np.arange(width), indexing="ij")
    return np.stack((x, y, frame), -1).astype(np.float32)
