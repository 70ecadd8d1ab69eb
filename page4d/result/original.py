"""From the network's input back to the user's own files: depth and masks at the original size, known intrinsics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.geometry import world_points
from page4d.result.pixel_map import PixelMap
from page4d.schema import Prediction, UserError

Array = NDArray[np.floating[Any]]
# Neighbours whose depths differ by more than this factor lie on two surfaces.
_SAME_SURFACE = 1.1
# Pixels: with others a ray through the picture leaves what float32 can say of a point.
LEAST_FOCAL, MOST_OF_K = 1e-3, 1e9


def check_intrinsics(K: NDArray[np.float64]) -> None:
    """Look at known intrinsics, (3, 3) or (S, 3, 3), before anything is made with them.

    Raises:  UserError for another shape, a value that is not finite, a focal length that is not positive, or a matrix
             that is none of a camera, such as a transposed one.
    """
    if K.shape[-2:] != (3, 3) or K.ndim > 3:
        raise UserError(f"intrinsics have shape {K.shape}, expected (3, 3) or one such matrix a frame")
    if not np.isfinite(K).all() or (K[..., [0, 1], [0, 1]] <= 0).any():
        raise UserError("known intrinsics: expected finite values and positive focal lengths fx, fy (in pixels)")
    focal = K[..., [0, 1], [0, 1]]
    if focal.min() < LEAST_FOCAL or np.abs(K).max() > MOST_OF_K:
        raise UserError(
            f"known intrinsics reach from {focal.min():g} to {np.abs(K).max():g}; expected focal lengths of "
            f"{LEAST_FOCAL:g} or more, and nothing beyond {MOST_OF_K:g}, in pixels"
        )
    check_camera_matrices(K)


def check_camera_matrices(K: NDArray[np.float64]) -> None:
    """Refuse matrices that no camera has, whatever their focal lengths: (3, 3) or (S, 3, 3).

    Raises:  UserError for one whose lower rows are not (0, fy, cy) and (0, 0, 1), such as a transposed one.
    """
    below = K.reshape(-1, 3, 3)[:, [1, 2, 2, 2], [0, 0, 1, 2]]
    off = np.abs(below - (0, 0, 0, 1)).max(1)
    if off.max() > 1e-6:
        wrong = K.reshape(-1, 3, 3)[off.argmax()].tolist()
        raise UserError(f"{wrong} is no K, expected [[fx, skew, cx], [0, fy, cy], [0, 0, 1]]; is it transposed?")


def with_intrinsics(prediction: Prediction, K_original: NDArray[np.float64]) -> Prediction:
    """The prediction with known intrinsics in place of the predicted ones; points are lifted again from the depth.

    Shapes:  K_original (3, 3) for all frames or (S, 3, 3).
    Units:   pixels of the original images, pixel (0, 0) centred at (0, 0).
    Note:    depth and poses stay as predicted: a network that misjudged the focal length has misjudged them too.
    Raises:  UserError for another shape or a focal length that is not positive.
    """
    given, wanted = np.asarray(K_original, np.float64), prediction.K.shape
    check_intrinsics(given)
    if given.shape not in ((3, 3), wanted):
        raise UserError(f"intrinsics have shape {given.shape}, expected (3, 3) or {wanted}")
    K = PixelMap.of(prediction).K_in_input(np.broadcast_to(given, wanted))
    depth, pose = torch.from_numpy(prediction.depth).double(), torch.from_numpy(prediction.cam_from_world).double()
    points = world_points(depth, torch.from_numpy(K), pose).float().numpy()
    return replace(
        prediction, K=K.astype(np.float32), points=points, points_conf=prediction.depth_conf,
        meta=prediction.meta | {"intrinsics": "given"},
    )  # fmt: skip


def mask_in_original(prediction: Prediction, mask: NDArray[np.bool_], frame: int) -> NDArray[np.bool_]:
    """One frame's mask (H, W) at the original size (h0, w0); False where the network saw nothing."""
    x, y = _input_grid(prediction, frame)
    return np.asarray(_at_nearest_pixel(mask, x, y).astype(np.bool_) & _shown(mask.shape, x, y))


def depth_in_original(prediction: Prediction, frame: int) -> NDArray[np.float32]:
    """One frame's depth at the original size (h0, w0); 0 where the network saw nothing or has no depth.

    Note:    bilinear on surfaces; nearest where a depth edge runs through the four neighbours, so that no point hangs
             between foreground and background.
    """
    depth = prediction.depth[frame].astype(np.float64)
    x, y = _input_grid(prediction, frame)
    corners, weights = _bilinear(depth, x, y)
    nearest, farthest = corners.min(0), corners.max(0)
    on_one_surface = (nearest > 0) & (farthest <= _SAME_SURFACE * nearest)
    blended = (corners * weights).sum(0)
    chosen = np.where(on_one_surface & (blended > 0), blended, _at_nearest_pixel(depth, x, y))
    return np.where(_shown(depth.shape, x, y), chosen, 0).astype(np.float32)


def _input_grid(prediction: Prediction, frame: int) -> tuple[Array, Array]:
    height, width = prediction.original_hw[frame].tolist()
    return PixelMap.of(prediction)[frame].grid_in_input((height, width))


def _bilinear(values: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """The four neighbours of every (x, y) of a grid, and their weights: two arrays (4, len(y), len(x))."""
    left, right, u = _neighbours(x, values.shape[1])
    top, bottom, v = _neighbours(y, values.shape[0])
    pairs = [(top, left), (top, right), (bottom, left), (bottom, right)]
    shares = [(1 - v, 1 - u), (1 - v, u), (v, 1 - u), (v, u)]
    corners = [values[np.ix_(rows, columns)] for rows, columns in pairs]
    weights = [down[:, None] * across for down, across in shares]
    return np.stack(corners), np.stack(weights)


def _neighbours(at: Array, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """The pixel before, the pixel after, and the way from one to the other.

    Half a pixel beyond the outermost centres the line through the last two is continued.
    """
    before = np.clip(np.floor(at).astype(np.int64), 0, max(size - 2, 0))
    return before, np.minimum(before + 1, size - 1), at - before


def _shown(shape: tuple[int, ...], x: Array, y: Array) -> NDArray[np.bool_]:
    columns = (x >= -0.5) & (x < shape[1] - 0.5)
    rows = (y >= -0.5) & (y < shape[0] - 0.5)
    return np.asarray(rows[:, None] & columns[None, :])


def _at_nearest_pixel(values: NDArray[np.generic], x: Array, y: Array) -> NDArray[np.generic]:
    rows = np.clip(np.rint(y).astype(int), 0, values.shape[0] - 1)
    columns = np.clip(np.rint(x).astype(int), 0, values.shape[1] - 1)
    return values[np.ix_(rows, columns)]
