"""Bonn RGB-D Dynamic: images of a camera with lens distortion, poses of a marker on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.linalg import polar

from page4d.schema import Clip
from writers.scene import poses_4x4
from writers.tum import START_S, write_ground_truth, write_images

K_640 = np.array([[542.822841, 0, 315.593520], [0, 542.576870, 237.756098], [0, 0, 1]])
DISTORTION = np.array([0.039903, -0.099343, -0.000730, -0.000144, 0.0])
T_ROS = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
T_M = np.array(
    [
        [1.0157, 0.1828, -0.2389, 0.0113],
        [0.0009, -0.8431, -0.6413, -0.0098],
        [-0.3009, 0.6147, -0.8085, 0.0111],
        [0, 0, 0, 1],
    ]
)


def write(root: Path, clips: Mapping[str, Clip], distort: bool = True) -> None:
    """Write sequences rgbd_bonn_<name>; with `distort` seen through the real lens, which needs a wide enough clip."""
    for name, clip in clips.items():
        stamps = START_S + np.arange(len(clip)) / 30
        write_images(root / name, through_the_lens(clip) if distort else clip, stamps)
        write_ground_truth(root / name / "groundtruth.txt", stamps, marker_poses(clip))


def marker_poses(clip: Clip) -> np.ndarray:
    """World-from-marker rows that belong to the clip's cameras; the sensor is mounted rigidly."""
    mounted = T_M.copy()
    mounted[:3, :3] = polar(T_M[:3, :3])[0]
    return T_ROS @ np.linalg.inv(poses_4x4(clip)) @ np.linalg.inv(mounted) @ np.linalg.inv(T_ROS)


def lens_matrix(height: int, width: int) -> np.ndarray:
    """K of the distorted camera for images of another size than 640 x 480 (pixel centres are integers)."""
    scale = np.array([width / 640, height / 480])
    K = K_640.copy()
    K[[0, 1], [0, 1]] *= scale
    K[:2, 2] = (K[:2, 2] + 0.5) * scale - 0.5
    return K


def through_the_lens(clip: Clip, lens: np.ndarray | None = None, distortion: np.ndarray = DISTORTION) -> Clip:
    """What the distorted camera sees of the clip: colour bilinear, depth nearest, black where the clip ends."""
    _, height, width = clip.depth.shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float64)
    lens, K = lens_matrix(height, width) if lens is None else lens, clip.K[0].double().numpy()
    rays = undistorted((grid - lens[:2, 2]) / lens[[0, 1], [0, 1]], distortion)
    where = (rays * K[[0, 1], [0, 1]] + K[:2, 2]).astype(np.float32)
    images = [cv2.remap(i.permute(1, 2, 0).numpy(), where, None, cv2.INTER_LINEAR) for i in clip.images]
    depth = [cv2.remap(d.numpy(), where, None, cv2.INTER_NEAREST) for d in clip.depth]
    return replace(
        clip,
        images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
        depth=torch.from_numpy(np.stack(depth)),
    )


def undistorted(distorted: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """Invert the Brown model on normalised points (*, 2) by fixed-point iteration, which converges for this lens."""
    k1, k2, p1, p2, k3 = distortion
    point = distorted
    for _ in range(30):
        x, y = point[..., 0], point[..., 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        bend = np.stack((2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y), -1)
        point = (distorted - bend) / radial[..., None]
    return point
