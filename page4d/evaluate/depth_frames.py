"""Prediction and truth of depth at the same pixels, as a protocol compares them, before any alignment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.evaluate.registration import place_in, stretch_over, world_z
from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.sequence import EvalSequence, MotionTruth, pair_frames
from page4d.schema import Prediction, UserError

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ComparedFrame:
    """Prediction and truth of one frame at the same pixels; truth is 0 where nothing is compared.

    Note:    confidence is the prediction's; covered is the share of the measured pixels that the prediction shows at
             all; motion is what truly moves, None where nobody knows.
    """

    name: str
    pred: Array
    gt: Array
    confidence: Array
    covered: float
    motion: MotionTruth | None = None


def compared_frames(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> list[ComparedFrame]:
    """The frames of a sequence as a protocol compares them, before any alignment."""
    protocol = rules.protocol
    # Each frame of a monocular prediction is a world of its own, so only a video has another z than its cameras'.
    depth: Array = prediction.depth
    if rules.benchmark.task == "videodepth" and protocol.depth_source == "world_z":
        depth = world_z(prediction.depth, prediction.K, prediction.cam_from_world)
    if not np.isfinite(depth).all():
        raise UnscorableError(f"{int((~np.isfinite(depth)).sum())} predicted depths are not finite")
    frames = []
    for i, j in pair_frames(sequence, sequence.depth_stamps, protocol, "depth map"):
        gt = sequence.read_depth(sequence.depths[j])
        hw = (gt.shape[0], gt.shape[1])
        both = []
        for values in (depth[i], prediction.depth_conf[i]):
            placed, seen = _placed(values, i, prediction, hw, protocol.registration)
            both.append(placed)
        measured = gt > 0
        count = int(measured.sum())
        covered = float((seen & measured).sum() / count) if count else 1.0
        motion = _motion(sequence, i, hw)
        name, pred, confidence = sequence.images[i].name, both[0], both[1]
        frames.append(ComparedFrame(name, pred, np.where(seen, gt, 0), confidence, covered, motion))
    return frames


def _placed(
    values: Array, frame: int, prediction: Prediction, hw: tuple[int, int], registration: str
) -> tuple[Array, NDArray[np.bool_]]:
    if registration == "stretch":
        return stretch_over(values, hw), np.ones(hw, np.bool_)
    return place_in(values, prediction.box_in_original[frame], prediction.original_hw[frame], hw)


def _motion(sequence: EvalSequence, frame: int, hw: tuple[int, int]) -> MotionTruth | None:
    motion = None if sequence.read_motion is None else sequence.read_motion(sequence.images[frame])
    if motion is not None and motion.moving.shape != hw:
        name = sequence.images[frame].name
        raise UserError(
            f"{sequence.name}, {name}: a mask of {motion.moving.shape} for a depth map of {hw}; they differ"
        )
    return motion
