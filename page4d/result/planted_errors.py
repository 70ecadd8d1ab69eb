"""Exact predictions with errors of a stated kind: what is built on predictions is tested apart from a network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from page4d.geometry import camera_centres, relative_to_first, world_points
from page4d.schema import Prediction


@dataclass(frozen=True)
class PlantedErrors:
    """What is wrong with a window: its scale, its depth.

    Units:   depth_noise is a standard deviation as share of depth; outliers the share of pixels that lie
             outlier_factor times too far; scales the range from which a window draws its scale.
    """

    depth_noise: float = 0.02
    outliers: float = 0.01
    outlier_factor: float = 5.0
    scales: tuple[float, float] = (0.5, 2.0)


def plant_errors(exact: Prediction, errors: PlantedErrors, rng: np.random.Generator) -> Prediction:
    """A window as a network would say it that errs in this way: another world, another scale, noise on depth.

    Frame:   the world is the window's first camera, with the length of a metre drawn anew.
    Note:    confidence does not know of the errors: a join cannot hide behind it.
    """
    scale = np.exp(rng.uniform(*np.log(errors.scales)))
    pose = relative_to_first(torch.from_numpy(exact.cam_from_world).double())
    pose[..., 3] *= scale
    depth = (scale * exact.depth * _factors(exact.depth.shape, errors, rng)).astype(np.float32)
    points = None
    if exact.points is not None:
        K = torch.from_numpy(exact.K).double()
        points = world_points(torch.from_numpy(depth).double(), K, pose).float().numpy()
    return replace(exact, cam_from_world=pose.float().numpy(), depth=depth, points=points)


def with_wrong_cameras(exact: Prediction, turn_deg: float, step: float, rng: np.random.Generator) -> Prediction:
    """The prediction with every camera but the first turned and moved at random.

    Units:   turn_deg is the standard deviation of a turn about each axis, step that of a shift along each as share of
             the diagonal of the box around the cameras.
    """
    pose = torch.from_numpy(exact.cam_from_world).double()
    centres = camera_centres(pose)
    path = float((centres.amax(0) - centres.amin(0)).norm())
    turns, shifts = (torch.from_numpy(rng.standard_normal((len(exact) - 1, 3))) for _ in range(2))
    turn = torch.from_numpy(Rotation.from_rotvec(turn_deg * turns.numpy(), degrees=True).as_matrix())
    turned = turn @ pose[1:, :, :3]
    moved = -turned @ (centres[1:] + step * path * shifts)[..., None]
    pose[1:] = torch.cat((turned, moved), -1)
    return replace(exact, cam_from_world=pose.float().numpy())


def _factors(shape: tuple[int, ...], errors: PlantedErrors, rng: np.random.Generator) -> NDArray[np.float64]:
    noise = 1 + errors.depth_noise * rng.standard_normal(shape)
    far = rng.random(shape) < errors.outliers
    # A depth of zero means no depth; noise of a tenth reaches it once in 10^23 draws, that of a half does not wait.
    return np.asarray(np.maximum(noise, 0.05) * np.where(far, errors.outlier_factor, 1.0))
