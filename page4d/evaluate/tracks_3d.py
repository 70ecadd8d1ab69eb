"""Points followed through camera-free world coordinates: how far off, and seen when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Seen = NDArray[np.bool_]
THRESHOLDS_M = (0.1, 0.3, 0.5, 1.0)


@dataclass(frozen=True)
class TrackErrors:
    """Errors of the tracks of one clip.

    Units:   end_point_error in metres, the mean distance over visible points; within is the share of visible points
             closer than each of THRESHOLDS_M, in that order; visibility_accuracy is a share of all points, NaN where
             the model says nothing of visibility.
    """

    end_point_error: float
    within: tuple[float, ...]
    visibility_accuracy: float
    points: int

    @property
    def average_points_within(self) -> float:
        """APD: the mean share over the thresholds; higher is better."""
        return float(np.mean(self.within))


def track_errors(predicted: Array, true: Array, seen: Seen, predicted_seen: Seen | None = None) -> TrackErrors:
    """Compare tracks in one world.

    Shapes:  predicted, true (S, N, 3); seen, predicted_seen bool (S, N).
    Units:   metres, in one frame of reference: align before.
    Note:    points that are hidden in a frame count for visibility only. A predicted position that is not finite is
             infinitely far away: it lies within no threshold, and the mean distance is then infinite.
    Raises:  ValueError if shapes differ or no point is visible.
    Source:  Koppula et al. (2024), section 4.
    """
    if predicted.shape != true.shape or predicted.shape[:2] != seen.shape or predicted.shape[2:] != (3,):
        raise ValueError(f"tracks {predicted.shape} and {true.shape}, seen {seen.shape}: expected (S, N, 3) and (S, N)")
    if not seen.any():
        raise ValueError("no point is visible in any frame; there is no distance to measure")
    distance = np.linalg.norm(predicted[seen].astype(np.float64) - true[seen], axis=-1)
    distance = np.where(np.isfinite(distance), distance, np.inf)
    within = tuple(float((distance < limit).mean()) for limit in THRESHOLDS_M)
    known = float("nan") if predicted_seen is None else float((predicted_seen == seen).mean())
    return TrackErrors(float(distance.mean()), within, known, int(seen.sum()))


def scale_by_median(predicted: Array, true: Array, seen: Seen) -> float:
    """The factor that brings predicted points to the truth's scale: median ratio of distances from the first camera.

    Shapes:  predicted, true (S, N, 3) in the first camera's frame; seen bool (S, N).
    Note:    one factor for the whole clip, so that a scale that drifts is an error; the median leaves outliers out.
    Raises:  ValueError if no visible point is finite and away from the camera.
    """
    ours = np.linalg.norm(predicted[seen].astype(np.float64), axis=-1)
    theirs = np.linalg.norm(true[seen].astype(np.float64), axis=-1)
    usable = np.isfinite(ours) & (ours > 0)
    if not usable.any():
        raise ValueError("no visible predicted point is finite and away from the camera; no scale can be found")
    return float(np.median(theirs[usable] / ours[usable]))
