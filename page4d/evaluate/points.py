"""Point maps: accuracy and completeness of a predicted scene against measured depth.

No public script exists for this task, so there is one protocol of ours and no claim that its numbers compare with
published ones: a Sim(3) on pixels that both sides know, then nearest-neighbour distances both ways, no ICP.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.sequence import EvalSequence, pair_frames
from page4d.geometry import fit_similarity, world_points
from page4d.io.trajectories import rigid_inverse
from page4d.result.pixel_map import PixelMap
from page4d.schema import Prediction, SequenceScore, UserError

Array = NDArray[np.floating[Any]]
POINT_METRICS = (
    "accuracy_mean", "accuracy_median", "completeness_mean", "completeness_median", "overall_mean", "overall_median",
)  # fmt: skip
MAX_POINTS = 200_000  # of a sequence, drawn with a fixed seed, so that the two search trees stay small


@dataclass(frozen=True)
class CorrespondingPoints:
    """Predicted and true points of the same pixels of a sequence.

    Shapes:  predicted, true (N, 3); motion (N,): 1 moves, 0 stands still, -1 nobody knows.
    """

    predicted: NDArray[np.float64]
    true: NDArray[np.float64]
    motion: NDArray[np.int8]


@dataclass(frozen=True)
class PointErrors:
    """Distances in the ground truth's unit after alignment.

    Note:    accuracy is from each predicted point to the nearest true one, completeness the other way, overall their
             mean; accuracy_still and accuracy_moving are those of the points whose motion is known, None without any.
    """

    accuracy_mean: float
    accuracy_median: float
    completeness_mean: float
    completeness_median: float
    points: int
    scale: float
    accuracy_still: float | None = None
    accuracy_moving: float | None = None

    @property
    def overall_mean(self) -> float:
        return 0.5 * (self.accuracy_mean + self.completeness_mean)

    @property
    def overall_median(self) -> float:
        return 0.5 * (self.accuracy_median + self.completeness_median)


def point_errors(pred: Array, gt: Array, motion: NDArray[np.int8] | None = None) -> PointErrors:
    """Align predicted points to true ones of the same pixels and measure both clouds.

    Shapes:  pred, gt (N, 3): the n-th rows are one pixel; motion (N,): 1 moves, 0 stands still, -1 nobody knows.
    Raises:  UserError if fewer than three points are given or they lie on a line.
    """
    if pred.shape != gt.shape or len(pred) < 3:
        raise UserError(f"{pred.shape} predicted and {gt.shape} true points; expected equally many, at least three")
    known = np.full(len(pred), -1, np.int8) if motion is None else motion
    try:
        return errors_of(CorrespondingPoints(np.asarray(pred, np.float64), np.asarray(gt, np.float64), known))
    except UnscorableError as error:
        raise UserError(str(error)) from error


def errors_of(pairs: CorrespondingPoints) -> PointErrors:
    """`point_errors` of points that are already side by side.

    Raises:  UnscorableError as `aligned_clouds`.
    """
    aligned, scale = aligned_clouds(pairs)
    accuracy, completeness = _nearest(aligned.predicted, aligned.true), _nearest(aligned.true, aligned.predicted)
    means = float(accuracy.mean()), float(completeness.mean())
    medians = float(np.median(accuracy)), float(np.median(completeness))
    still, moving = (_mean_where(accuracy, aligned.motion, kind) for kind in (0, 1))
    return PointErrors(means[0], medians[0], means[1], medians[1], len(accuracy), scale, still, moving)


def aligned_clouds(pairs: CorrespondingPoints) -> tuple[CorrespondingPoints, float]:
    """Both clouds thinned to MAX_POINTS, the predicted one moved onto the true one by one similarity; and its scale.

    Raises:  UnscorableError for fewer than three points, or points on one line.
    """
    if len(pairs.true) > MAX_POINTS:
        chosen = np.random.default_rng(0).choice(len(pairs.true), MAX_POINTS, replace=False)
        pairs = CorrespondingPoints(pairs.predicted[chosen], pairs.true[chosen], pairs.motion[chosen])
    source = torch.from_numpy(pairs.predicted)
    try:
        fit = fit_similarity(source, torch.from_numpy(pairs.true))
    except ValueError as error:
        raise UnscorableError(f"the point maps cannot be aligned: {error}") from error
    return replace(pairs, predicted=fit.apply(source).numpy()), float(fit.scale)


def _nearest(points: Array, others: Array) -> NDArray[np.float64]:
    """Distance from each point to the nearest of the others."""
    # Clouds of several frames hold equal points, a flat sheet as many as it has frames. Balanced trees with tight boxes
    # take eight times as long on those.
    distance, _ = cKDTree(others, compact_nodes=False, balanced_tree=False).query(points)
    return np.asarray(distance)


def _mean_where(distance: NDArray[np.float64], motion: NDArray[np.int8], kind: int) -> float | None:
    if not (motion == kind).any():
        return None
    return float(distance[motion == kind].mean())


def predicted_points(prediction: Prediction) -> NDArray[np.float64]:
    """World points (S, H, W, 3): the point head's where there is one, else depth lifted by the predicted cameras."""
    if prediction.points is not None:
        return prediction.points.astype(np.float64)
    return lift_depth(prediction.depth, prediction.K, prediction.cam_from_world)


def lift_depth(depth: Array, K: Array, cam_from_world: Array) -> NDArray[np.float64]:
    """`world_points` of arrays, in float64: (*, H, W), (*, 3, 3), (*, 3 or 4, 4) -> (*, H, W, 3)."""
    return world_points(*(torch.from_numpy(np.float64(a)) for a in (depth, K, cam_from_world))).numpy()


def true_points(
    sequence: EvalSequence, image: Path, depth: Path, prediction: Prediction, frame: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The measured point that each pixel of the network's input sees: (H, W, 3), and where there is one.

    Note:    the nearest ground-truth pixel is taken, because a mean over an edge is a point on no surface.
    """
    if sequence.read_camera is None:
        raise UserError(f"{sequence.name} has no cameras; point maps need them")
    measured = sequence.read_depth(depth)
    pose, K = sequence.read_camera(image)
    height, width = measured.shape
    of_depth = PixelMap.of_whole(prediction.original_hw[frame], (height, width))
    points = lift_depth(measured, of_depth.K_in_input(K), rigid_inverse(pose))
    rows, columns, inside = _pixels_under(prediction, frame, (height, width))
    return points[rows, columns], inside & (measured[rows, columns] > 0)


def _pixels_under(
    prediction: Prediction, frame: int, hw: tuple[int, ...]
) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.bool_]]:
    """Row and column, in a map of `hw` over the original, of each input pixel (H, W), and which lie inside."""
    height, width = hw
    of_map = PixelMap.of_whole(prediction.original_hw[frame], (height, width))
    x, y = PixelMap.of(prediction)[frame].onto(of_map).grid_in_original(prediction.size_hw)
    columns, rows = np.floor(x + 0.5).astype(int), np.floor(y + 0.5).astype(int)
    inside = ((rows >= 0) & (rows < height))[:, None] & (columns >= 0) & (columns < width)
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    return np.broadcast_to(rows[:, None], inside.shape), np.broadcast_to(columns, inside.shape), inside


def true_motion(
    sequence: EvalSequence, image: Path, hw: tuple[int, int], prediction: Prediction, frame: int
) -> NDArray[np.int8]:
    """What each pixel of the network's input (H, W) truly does: 1 moves, 0 stands still, -1 nobody knows."""
    motion = None if sequence.read_motion is None else sequence.read_motion(image)
    if motion is None:
        return np.full(hw, -1, np.int8)
    rows, columns, inside = _pixels_under(prediction, frame, motion.moving.shape)
    moving, known = motion.moving[rows, columns], motion.known[rows, columns] & inside
    return np.where(known, moving, -1).astype(np.int8)


def corresponding_points(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> CorrespondingPoints:
    """All pixels of all frames that have a measured depth.

    Raises:  UnscorableError if no frame has one.
    """
    points = predicted_points(prediction)
    predicted, true, motion = [], [], []
    for i, j in pair_frames(sequence, sequence.depth_stamps, rules.protocol, "depth map"):
        gt, seen = true_points(sequence, sequence.images[i], sequence.depths[j], prediction, i)
        predicted.append(points[i][seen])
        true.append(gt[seen])
        motion.append(true_motion(sequence, sequence.images[i], prediction.size_hw, prediction, i)[seen])
    if not true:
        raise UnscorableError("no image has a measured depth map")
    return CorrespondingPoints(np.concatenate(predicted), np.concatenate(true), np.concatenate(motion))


def score_points(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """Accuracy and completeness of the whole sequence's points."""
    rules.without_public("point maps have no public script")
    errors = errors_of(corresponding_points(sequence, prediction, rules))
    values = {name: float(getattr(errors, name)) for name in POINT_METRICS}
    parts = {"accuracy_still": errors.accuracy_still, "accuracy_moving": errors.accuracy_moving}
    values |= {name: value for name, value in parts.items() if value is not None}
    return SequenceScore(sequence.name, values, 1.0, notes={"points": float(errors.points), "scale": errors.scale})
