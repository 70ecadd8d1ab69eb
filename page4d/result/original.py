"""From the network's input back to the user's own files: intrinsics, depth and masks at the original image size.

`box_in_original` says which window of the original the H x W input shows, in pixel edges; crop, pad and squash are all
undone by it. Pixel centres are integers on both sides, so a coordinate maps as `x' = (x + 0.5) s - 0.5 + x0`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.geometry import world_points
from page4d.schema import Prediction, UserError


def pixel_scale(prediction: Prediction) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Original pixels per input pixel, (S, 2), and the box's corner (S, 2), both as x, y."""
    height, width = prediction.depth.shape[1:]
    box = prediction.box_in_original
    return (box[:, 2:] - box[:, :2]) / np.array([width, height], np.float64), box[:, :2].copy()


def intrinsics_in_original(prediction: Prediction) -> NDArray[np.float64]:
    """K (S, 3, 3) in pixels of the original images, pixel (0, 0) centred at (0, 0)."""
    scale, corner = pixel_scale(prediction)
    K = prediction.K.astype(np.float64)
    K[:, 0, :2] *= scale[:, :1]
    K[:, 1, 1] *= scale[:, 1]
    K[:, :2, 2] = (prediction.K[:, :2, 2] + 0.5) * scale - 0.5 + corner
    return K


def with_intrinsics(prediction: Prediction, K_original: NDArray[np.float64]) -> Prediction:
    """The prediction with known intrinsics in place of the predicted ones; points are lifted again from the depth.

    Shapes:  K_original (3, 3) for all frames or (S, 3, 3).
    Units:   pixels of the original images, pixel (0, 0) centred at (0, 0).
    Note:    depth and poses stay as predicted: a network that misjudged the focal length has misjudged them too.
    Raises:  UserError for another shape or a focal length that is not positive.
    """
    if np.asarray(K_original).shape not in ((3, 3), prediction.K.shape):
        raise UserError(f"intrinsics have shape {np.asarray(K_original).shape}, needed (3, 3) or {prediction.K.shape}")
    K = np.broadcast_to(np.asarray(K_original, np.float64), prediction.K.shape).copy()
    if not np.isfinite(K).all() or (K[:, [0, 1], [0, 1]] <= 0).any():
        raise UserError("known intrinsics need finite values and positive focal lengths fx, fy (in pixels)")
    scale, corner = pixel_scale(prediction)
    K[:, :2, 2] = (K[:, :2, 2] + 0.5 - corner) / scale - 0.5
    K[:, 0, :2] /= scale[:, :1]
    K[:, 1, 1] /= scale[:, 1]
    depth, pose = torch.from_numpy(prediction.depth).double(), torch.from_numpy(prediction.cam_from_world).double()
    points = world_points(depth, torch.from_numpy(K), pose).float().numpy()
    return replace(
        prediction, K=K.astype(np.float32), points=points, points_conf=prediction.depth_conf,
        meta=prediction.meta | {"intrinsics": "given"},
    )  # fmt: skip


def input_coordinates(prediction: Prediction, frame: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each original column and row lies in the input: x (w0,), y (h0,).

    Note:    values outside -0.5 ... size - 0.5 were not shown to the network.
    """
    scale, corner = pixel_scale(prediction)
    height, width = prediction.original_hw[frame]
    x = (np.arange(width) + 0.5 - corner[frame, 0]) / scale[frame, 0] - 0.5
    y = (np.arange(height) + 0.5 - corner[frame, 1]) / scale[frame, 1] - 0.5
    return x, y


def mask_in_original(prediction: Prediction, mask: NDArray[np.bool_], frame: int) -> NDArray[np.bool_]:
    """One frame's mask (H, W) at the original size (h0, w0); False where the network saw nothing."""
    x, y = input_coordinates(prediction, frame)
    return np.asarray(_nearest(mask, x, y).astype(np.bool_) & _shown(mask.shape, x, y))


def depth_in_original(prediction: Prediction, frame: int) -> NDArray[np.float32]:
    """One frame's depth at the original size (h0, w0); 0 where the network saw nothing or has no depth.

    Note:    bilinear on surfaces; nearest where a depth edge runs through the four neighbours, so that no point hangs
             between foreground and background.
    """
    depth = prediction.depth[frame].astype(np.float64)
    x, y = input_coordinates(prediction, frame)
    height, width = depth.shape
    x0, y0 = (np.clip(np.floor(v).astype(int), 0, max(n - 2, 0)) for v, n in ((x, width), (y, height)))
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    # Half a pixel beyond the outermost centres the line through the last two goes on.
    u, v = (x - x0)[None, :], (y - y0)[:, None]
    corners = np.stack([depth[np.ix_(r, c)] for r in (y0, y1) for c in (x0, x1)])
    weights = np.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u])
    smooth = (corners.min(0) > 0) & (corners.max(0) <= 1.1 * corners.min(0))
    blended = (corners * weights).sum(0)
    chosen = np.where(smooth & (blended > 0), blended, _nearest(depth, x, y))
    return np.where(_shown(depth.shape, x, y), chosen, 0).astype(np.float32)


def _shown(shape: tuple[int, ...], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    columns = (x >= -0.5) & (x < shape[1] - 0.5)
    rows = (y >= -0.5) & (y < shape[0] - 0.5)
    return np.asarray(rows[:, None] & columns[None, :])


def _nearest(values: NDArray[np.generic], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.generic]:
    rows = np.clip(np.rint(y).astype(int), 0, values.shape[0] - 1)
    columns = np.clip(np.rint(x).astype(int), 0, values.shape[1] - 1)
    return values[np.ix_(rows, columns)]
