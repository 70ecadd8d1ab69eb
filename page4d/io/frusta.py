"""Cameras as pyramids of lines: where their corners stand in the world."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from page4d.io.cloud import world_from_cam
from page4d.schema import Prediction


def frustum_size(prediction: Prediction, xyz: NDArray[np.float32]) -> float:
    """Depth at which a drawn camera's image plane stands: a share of the scene, or of the camera's path if longer."""
    centres = world_from_cam(prediction)[:, :, 3]
    spread = np.linalg.norm(np.percentile(xyz, 95, 0) - np.percentile(xyz, 5, 0)) if len(xyz) else 1.0
    path = np.linalg.norm(np.ptp(centres, axis=0))
    return float(max(0.04 * spread, 0.05 * path, 1e-6))


def frustum_corners(prediction: Prediction, size: float) -> NDArray[np.float64]:
    """Centre and image corners (S, 5, 3) of every camera in the world, corners clockwise from the top left.

    Frame:   corners lie on the outer pixel edges (-0.5 ... W - 0.5) at depth `size`.
    """
    _, h, w = prediction.depth.shape
    edge = np.array([[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]])
    homogeneous = np.concatenate((edge, np.ones((4, 1))), 1)
    rays = np.einsum("sij,nj->sni", np.linalg.inv(prediction.K.astype(np.float64)), homogeneous) * size
    local = np.concatenate((np.zeros((len(prediction), 1, 3)), rays), 1)
    pose = world_from_cam(prediction)
    return np.asarray(np.einsum("sij,snj->sni", pose[:, :, :3], local) + pose[:, None, :, 3])
