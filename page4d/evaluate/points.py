"""Point maps: accuracy and completeness of a predicted scene against measured depth.

No public script exists for this task, so there is one protocol of ours and no claim that its numbers compare with
published ones: a Sim(3) on pixels that both sides know, then nearest-neighbour distances both ways, no ICP.
"""

from __future__ import annotations

from dataclasses import dataclass
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
class PointErrors:
    """Distances in the ground truth's unit after alignment.

    Note:    accuracy is from each predicted point to the nearest true one, completeness the other way, overall their
             mean.
    """

    accuracy_mean: float
    accuracy_median: float
    completeness_mean: float
    completeness_median: float
    points: int
    scale: float

    @property
    def overall_mean(self) -> float:
        return 0.5 * (self.accuracy_mean + self.completeness_mean)

    @property
    def overall_median(self) -> float:
        return 0.5 * (self.accuracy_median + self.completeness_median)


def point_errors(pred: Array, gt: Array) -> PointErrors:
    """Align predicted points to true ones of the same pixels and measure both clouds.

    Shapes:  pred, gt (N, 3): the n-th rows are one pixel.
    Raises:  UserError if fewer than three points are given or they lie on a line.
    """
    if pred.shape != gt.shape or len(pred) < 3:
        raise UserError(f"{pred.shape} predicted and {gt.shape} true points; expected equally many, at least three")
    if len(pred) > MAX_POINTS:
        chosen = np.random.default_rng(0).choice(len(pred), MAX_POINTS, replace=False)
        pred, gt = pred[chosen], gt[chosen]
    source, target = torch.from_numpy(np.float64(pred)), torch.from_numpy(np.float64(gt))
    try:
        fit = fit_similarity(source, target)
    except ValueError as error:
        raise UserError(f"the point maps cannot be aligned: {error}") from error
    moved = fit.apply(source).numpy()
    accuracy, _ = cKDTree(gt).query(moved)
    completeness, _ = cKDTree(moved).query(gt)
    means = float(accuracy.mean()), float(completeness.mean())
    medians = float(np.median(accuracy)), float(np.median(completeness))
    return PointErrors(means[0], medians[0], means[1], medians[1], len(pred), float(fit.scale))


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
    x, y = PixelMap.of(prediction)[frame].onto(of_depth).grid_in_original(prediction.size_hw)
    columns, rows = np.floor(x + 0.5).astype(int), np.floor(y + 0.5).astype(int)
    inside = ((rows >= 0) & (rows < height))[:, None] & (columns >= 0) & (columns < width)
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    seen = measured[rows[:, None], columns]
    return points[rows[:, None], columns], inside & (seen > 0)


def score_points(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """Accuracy and completeness of the whole sequence's points."""
    rules.without_public("point maps have no public script")
    points = predicted_points(prediction)
    predicted, true = [], []
    for i, j in pair_frames(sequence, sequence.depth_stamps, rules.protocol, "depth map"):
        gt, seen = true_points(sequence, sequence.images[i], sequence.depths[j], prediction, i)
        predicted.append(points[i][seen])
        true.append(gt[seen])
    try:
        errors = point_errors(np.concatenate(predicted), np.concatenate(true))
    except UserError as error:
        raise UnscorableError(str(error)) from error
    values = {name: float(getattr(errors, name)) for name in POINT_METRICS}
    return SequenceScore(sequence.name, values, 1.0, notes={"points": float(errors.points), "scale": errors.scale})
