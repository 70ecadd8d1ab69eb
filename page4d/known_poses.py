"""Known camera poses: a Prediction brought into their world and scale, and how well its own cameras agree with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from page4d.geometry import Similarity, fit_similarity, nearest_rotation, rotation_angle_deg
from page4d.io.trajectories import Trajectory
from page4d.result.cloud import world_from_cam
from page4d.result.metric_scale import check_path, paired_frames, stands_still
from page4d.result.placed import moved
from page4d.robust import robust_weights, weighted_median
from page4d.schema import Prediction, UserError

ROUNDS = 20
MAX_PAIRS_OF = 300  # frames whose distances to each other are compared
# A path whose second extent is less than this share of its first does not say how the world is turned about it.
STRAIGHT = 0.05
# Of the path: of stored positions that lie farther apart than this, the rounding is seen in the points.
COARSEST = 1e-4


@dataclass(frozen=True)
class PoseFit:
    """The similarity from a prediction's world to that of given poses.

    Units:   position is the median distance of a camera from where it was given, in the poses' unit, path the diagonal
             of the box around the given positions; turn_deg is the median angle between orientations.
    """

    similarity: Similarity
    frames: int
    position: float
    path: float
    turn_deg: float

    def record(self) -> dict[str, Any]:
        """What a Prediction's meta says of it."""
        fit = self.similarity
        numbers = {"frames": self.frames, "position": self.position, "path": self.path, "turn_deg": self.turn_deg}
        placed = {"rotation": fit.rotation.tolist(), "translation": fit.translation.tolist()}
        return {"scale": float(fit.scale), **placed, **numbers}

    def words(self) -> str:
        """One line for the user."""
        return (
            f"poses: {self.frames} cameras, scale {float(self.similarity.scale):.6g}; half of them lie within "
            f"{self.position:.3g} of their given place on a path of {self.path:.3g}, and turned by up to "
            f"{self.turn_deg:.2g} degrees"
        )


def check_given(positions: NDArray[np.float64]) -> None:
    """Refuse given camera positions (N, 3) that no prediction can be brought to, before there is one.

    Raises:  UserError if the camera stands still, or so far from the origin, as in coordinates of a map, that the
             float32 numbers of a Prediction would round its path.
    """
    check_path(positions)
    far, path = float(np.abs(positions).max()), float(np.ptp(positions, axis=0).max())
    step = float(np.spacing(np.float32(far)))
    if step > COARSEST * path:
        raise UserError(
            f"the given poses lie up to {far:.9g} from their origin on a path of {path:.3g}; numbers are stored in "
            f"float32, {step:.2g} apart there: take one position off all of them first"
        )


def with_poses(prediction: Prediction, trajectory: Trajectory) -> tuple[Prediction, PoseFit]:
    """The prediction in the world and scale of given poses; its cameras stay its own, moved as a whole.

    Note:    frames with times are paired with poses by time, others one to one in order.
    Raises:  UserError as `check_given`, if poses and frames do not pair up, or if the predicted camera stands still.
    """
    frames, poses = paired_frames(prediction, trajectory, least=2)
    check_given(trajectory.positions[poses])
    cameras = world_from_cam(prediction)[frames]
    if stands_still(prediction, cameras[..., 3]):
        raise UserError("the predicted camera stands still, which gives no scale; expected a film of a moving one")
    ours = torch.from_numpy(cameras)
    theirs = torch.from_numpy(trajectory.world_from_camera[poses, :3])
    fit = robust_similarity(ours, theirs)
    away = (fit.apply(ours[..., 3]) - theirs[..., 3]).norm(dim=-1)
    turned_deg = rotation_angle_deg(theirs[..., :3] @ (fit.rotation @ ours[..., :3]).mT)
    box = theirs[..., 3].amax(0) - theirs[..., 3].amin(0)
    about = PoseFit(fit, len(frames), float(away.median()), float(box.norm()), float(turned_deg.median()))
    before = float(prediction.meta.get("scale", {}).get("factor", 1.0))
    scale = {"factor": before * float(fit.scale), "unit": "units of the given poses", "source": "given poses"}
    result = moved(prediction, fit)
    return replace(result, meta=prediction.meta | {"scale": scale, "poses": about.record()}), about


def robust_similarity(ours: Tensor, theirs: Tensor) -> Similarity:
    """The similarity between the worlds of two lists of cameras that a minority of wrong ones does not move.

    Shapes:  ours, theirs (N, 3, 4), world from camera, N >= 2.
    Note:    rotation from the orientations, scale from the distances between cameras, translation as the median; where
             the path spans a plane, all three are then fitted to the positions, far ones counting less.
    Raises:  UserError if one of the cameras stands still.
    Source:  the weights of Geman and McClure (1987); Umeyama (1991) for the last fit.
    """
    rotation = _mean_rotation(theirs[..., :3] @ ours[..., :3].mT)
    scale = _ratio_of_distances(ours[..., 3], theirs[..., 3])
    source, target = ours[..., 3], theirs[..., 3]
    translation = (target - scale * source @ rotation.mT).median(0).values
    fit = Similarity(scale, rotation, translation)
    if len(source) < 3 or min(_flatness(source), _flatness(target)) < STRAIGHT:
        return fit
    for _ in range(ROUNDS):
        distance = (fit.apply(source) - target).norm(dim=-1)
        weight = robust_weights(distance, distance.median())
        try:
            fit = fit_similarity(source, target, weights=weight)
        except ValueError:  # the cameras that still count stand on one line
            return fit
    return fit


def _mean_rotation(turns: Tensor) -> Tensor:
    """The rotation nearest to most of N."""
    weight = torch.ones(len(turns), dtype=turns.dtype)
    mean = turns[0]
    for _ in range(ROUNDS):
        mean = nearest_rotation((weight[:, None, None] * turns).sum(0))
        away_deg = rotation_angle_deg(turns @ mean.mT)
        weight = robust_weights(away_deg, away_deg.median())
    return mean


def _ratio_of_distances(ours: Tensor, theirs: Tensor) -> Tensor:
    """The median ratio of the distances between cameras, long ones counting more."""
    step = -(-len(ours) // MAX_PAIRS_OF)
    near, far = _distances(ours[::step]), _distances(theirs[::step])
    usable = (near > 1e-9) & (far > 1e-9)
    if not usable.any():
        raise UserError("a camera that stands still gives no scale; poses of a moving camera were expected")
    # By our distances: a pose that is given far away from all others must not count for more.
    return weighted_median(far[usable] / near[usable], near[usable])


def _distances(positions: Tensor) -> Tensor:
    """From every camera to every later one."""
    first, second = torch.triu_indices(len(positions), len(positions), offset=1)
    distances: Tensor = (positions[first] - positions[second]).norm(dim=-1)
    return distances


def _flatness(positions: Tensor) -> float:
    """Second to first extent of a path: 0 of a straight one."""
    extents: NDArray[np.float64] = torch.linalg.svdvals(positions - positions.mean(0)).numpy()
    return float(extents[1] / max(extents[0], 1e-12))
