"""Errors of camera pairs once more, written from the definitions alone: the referee of `pose_auc`."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial.transform import Rotation
from torch import Tensor


def by_definition(predicted: Tensor, true: Tensor, limit: float) -> tuple[float, float, float]:
    """RRA, RTA and AUC at a limit, pair by pair, from camera centres and scipy's rotations."""
    rotations, directions = [], []
    for i, j in itertools.combinations(range(len(true)), 2):
        turns, shifts = [], []
        for poses in (predicted.numpy(), true.numpy()):
            seen = poses[i] @ np.append(-poses[j][:, :3].T @ poses[j][:, 3], 1)  # centre of j as camera i sees it
            turns.append(Rotation.from_matrix(poses[i][:, :3] @ poses[j][:, :3].T))
            shifts.append(seen / np.linalg.norm(seen))
        rotations.append(np.degrees((turns[0] * turns[1].inv()).magnitude()))
        directions.append(np.degrees(np.arccos(np.clip(shifts[0] @ shifts[1], -1, 1))))
    steps = np.linspace(0, limit, 200_001)
    both = np.maximum(rotations, directions)
    curve = (both[:, None] <= steps).mean(0)
    area = np.trapezoid(curve, steps) / limit
    return float(np.mean(np.array(rotations) <= limit)), float(np.mean(np.array(directions) <= limit)), float(area)
