"""From the pixels of the network's input to those of the ground truth, and from z in a camera to z in the world."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from page4d.io.trajectories import rigid_inverse
from page4d.result.pixel_map import PixelMap

Array = NDArray[np.floating[Any]]


def world_z(depth: Array, K: Array, cam_from_world: Array) -> NDArray[np.float64]:
    """z in the predicted world, the first camera's frame: what the released scripts score as video depth (E1).

    Shapes:  depth (S, H, W), K (S, 3, 3), cam_from_world (S, 3, 4) -> (S, H, W).
    Note:    equals depth only where the camera has not moved; it can be negative.
    """
    _, height, width = depth.shape
    u, v = np.arange(width), np.arange(height)[:, None]
    result = np.empty(depth.shape)
    for i, pose in enumerate(rigid_inverse(cam_from_world)):
        (fx, _, cx), (_, fy, cy), _ = K[i].astype(np.float64)
        across, down, ahead, origin = pose[2]
        # How far a step of one along each pixel's ray goes along the world's z axis.
        ray_z = across * (u - cx) / fx + down * (v - cy) / fy + ahead
        result[i] = ray_z * depth[i] + origin
    return result


def stretch_over(depth: Array, gt_hw: tuple[int, int], interpolation: int = cv2.INTER_CUBIC) -> Array:
    """Resize one map over the whole ground truth, whatever part of the image it shows."""
    return np.asarray(cv2.resize(depth, (gt_hw[1], gt_hw[0]), interpolation=interpolation))


def place_in(
    depth: Array,
    box: NDArray[np.float64],
    original_hw: NDArray[np.int64],
    gt_hw: tuple[int, int],
    interpolation: int = cv2.INTER_CUBIC,
) -> tuple[Array, NDArray[np.bool_]]:
    """One map brought to the ground-truth pixels that it shows, and which those are.

    Shapes:  depth (H, W), box (4,) = x0, y0, x1, y1 in pixel edges of the original -> two arrays of gt_hw.
    Note:    equal to `stretch_over` when the box is the whole image. Outside the box: 0, False.
    """
    height, width = depth.shape
    if box.tolist() == [0, 0, *original_hw[::-1].tolist()]:
        return stretch_over(depth, gt_hw, interpolation), np.ones(gt_hw, np.bool_)
    of_input, of_truth = PixelMap.of_box(box, (height, width)), PixelMap.of_whole(original_hw, gt_hw)
    x, y = of_truth.onto(of_input).grid_in_original(gt_hw)
    inside_y, inside_x = (y >= -0.5) & (y <= height - 0.5), (x >= -0.5) & (x <= width - 0.5)
    inside = inside_y[:, None] & inside_x
    where = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    moved = cv2.remap(depth, where[0], where[1], interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.where(inside, moved, 0), inside
