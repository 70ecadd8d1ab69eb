"""Where the depth error sits: on what moves, on what stands still, and where the confidence says that it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.evaluate.alignment import Fit
from page4d.evaluate.confidence_curves import sparsification
from page4d.evaluate.depth_frames import ComparedFrame
from page4d.evaluate.depth_metrics import DepthOptions, relative_errors, valid_pixels

PART_METRICS = ("abs_rel_still", "abs_rel_moving", "ause")
MAX_PIXELS = 200_000  # of a sequence, drawn with a fixed seed: sorting ten million says no more
Errors = NDArray[np.floating[Any]]


@dataclass
class Parts:
    """Scores that only some sequences have, the weights of those that are no share of the whole, and notes."""

    values: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)


def error_parts(frames: Sequence[ComparedFrame], fits: Sequence[Fit | None], options: DepthOptions) -> Parts:
    """Relative error of moving and of still pixels under the fit of all of them, and the confidence's calibration.

    Note:    weighed by their pixels, the means of moving and still pixels are that of all pixels whose motion is known.
             A confidence that is the same everywhere says nothing and has no calibration.
    """
    errors, confidences, moving, still = [], [], [], []
    for frame, fit in zip(frames, fits, strict=True):
        if fit is None:
            continue
        valid = valid_pixels(frame.pred, frame.gt, options)
        error = relative_errors(frame.pred[valid], frame.gt[valid], fit, options)
        errors.append(error)
        confidences.append(frame.confidence[valid])
        if frame.motion is not None:
            known, moves = frame.motion.known[valid], frame.motion.moving[valid]
            moving.append(error[known & moves])
            still.append(error[known & ~moves])
    parts = Parts()
    for name, found in (("abs_rel_moving", moving), ("abs_rel_still", still)):
        _add_mean(parts, name, found)
    if errors:
        _add_calibration(parts, np.concatenate(errors), np.concatenate(confidences))
    return parts


def _add_mean(parts: Parts, name: str, found: Sequence[Errors]) -> None:
    count = sum(map(len, found))
    if count > 0:
        parts.values[name] = float(np.concatenate(found).mean(dtype=np.float64))
        parts.weights[name] = float(count)


def _add_calibration(parts: Parts, error: Errors, confidence: Errors) -> None:
    if len(error) > MAX_PIXELS:
        chosen = np.random.default_rng(0).choice(len(error), MAX_PIXELS, replace=False)
        error, confidence = error[chosen], confidence[chosen]
    if not error.any() or np.ptp(confidence) == 0 or not np.isfinite(confidence).all():
        return
    curve = sparsification(error, confidence)
    parts.values["ause"] = curve.ause
    parts.notes["ause_of_chance"] = curve.ause_of_chance
