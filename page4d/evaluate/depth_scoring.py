"""Depth of a sequence against its truth: which pixels are compared, and the errors under one fit or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.evaluate.depth_metrics import (
    DEPTH_METRICS,
    DepthErrors,
    DepthOptions,
    depth_errors,
    sequence_errors,
    valid_pixels,
    weighted_mean,
)
from page4d.evaluate.registration import compared_depth, place_in, stretch_over
from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.sequence import EvalSequence, pair_frames
from page4d.schema import Prediction, SequenceScore, UserError

Array = NDArray[np.floating[Any]]
ALIGNS = ("scale", "scale&shift", "metric")
# The released scripts stop their iterations early; the converged fits are the minima that they were on the way to.
_PUBLIC_FIT = {"scale": "scale", "scale&shift": "lad2_video", "metric": "metric"}
_CONVERGED_FIT = {"scale": "l1_scale", "scale&shift": "l1_scale_shift", "metric": "metric"}


def depth_options(rules: Rules) -> DepthOptions:
    """Limits and alignment of depth under a protocol; monocular depth is median-scaled in both.

    Raises:  UserError for an unknown `align`.
    """
    benchmark = rules.benchmark
    clip = (None, benchmark.post_clip_max)
    if benchmark.task == "monodepth":
        return DepthOptions("median", benchmark.max_depth, post_clip=clip)
    if rules.align not in ALIGNS:
        raise UserError(f"align={rules.align!r}; expected one of {', '.join(ALIGNS)}")
    fits = _PUBLIC_FIT if rules.protocol.alignment == "public" else _CONVERGED_FIT
    return DepthOptions(fits[rules.align], benchmark.max_depth, post_clip=clip)


@dataclass(frozen=True)
class ComparedFrame:
    """Prediction and truth of one frame at the same pixels; truth is 0 where nothing is compared.

    Note:    covered is the share of the measured pixels that the prediction shows at all.
    """

    name: str
    pred: Array
    gt: Array
    covered: float


def compared_frames(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> list[ComparedFrame]:
    """The frames of a sequence as a protocol compares them, before any alignment."""
    protocol = rules.protocol
    # Each frame of a monocular prediction is a world of its own, so only a video has another z than its cameras'.
    source = protocol.depth_source if rules.benchmark.task == "videodepth" else "own_camera"
    depth = compared_depth(prediction, source)
    if not np.isfinite(depth).all():
        raise UnscorableError(f"{int((~np.isfinite(depth)).sum())} predicted depths are not finite")
    frames = []
    for i, j in pair_frames(sequence, sequence.depth_stamps, protocol, "depth map"):
        gt = sequence.read_depth(sequence.depths[j])
        hw = (gt.shape[0], gt.shape[1])
        if protocol.registration == "stretch":
            pred, seen = stretch_over(depth[i], hw), np.ones(hw, np.bool_)
        else:
            pred, seen = place_in(depth[i], prediction.box_in_original[i], prediction.original_hw[i], hw)
        frames.append(_compared(sequence.images[i].name, pred, gt, seen))
    return frames


def _compared(name: str, pred: Array, gt: Array, seen: NDArray[np.bool_]) -> ComparedFrame:
    measured = gt > 0
    count = int(measured.sum())
    covered = float((seen & measured).sum() / count) if count else 1.0
    return ComparedFrame(name, pred, np.where(seen, gt, 0), covered)


def score_video_depth(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """All frames under one fit."""
    options = depth_options(rules)
    frames = compared_frames(sequence, prediction, rules)
    preds, gts = [], []
    for frame in frames:
        valid = valid_pixels(frame.pred, frame.gt, options)
        preds.append(frame.pred[valid])
        gts.append(frame.gt[valid])
    if not sum(map(len, gts)):
        raise UnscorableError("no frame has a valid ground-truth pixel")
    whole, single = sequence_errors(preds, gts, options)
    return _depth_score(sequence, whole, single, frames)


def score_mono_depth(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """Every frame under its own fit."""
    options = depth_options(rules)
    frames = compared_frames(sequence, prediction, rules)
    single = [depth_errors(frame.pred, frame.gt, options) for frame in frames]
    if not any(errors.valid_pixels for errors in single):
        raise UnscorableError("no frame has a valid ground-truth pixel")
    return _depth_score(sequence, weighted_mean(single), single, frames)


def _depth_score(
    sequence: EvalSequence,
    whole: DepthErrors,
    single: Sequence[DepthErrors],
    frames: Sequence[ComparedFrame],
) -> SequenceScore:
    notes = {"covered": float(np.mean([frame.covered for frame in frames])), "frames": float(len(frames))}
    if whole.fit is not None:
        notes |= {"scale": whole.fit.scale, "shift": whole.fit.shift}
    items: dict[str, tuple[float, ...]] = {}
    for name in DEPTH_METRICS:
        items[name] = tuple(getattr(errors, name) for errors in single)
    items["valid_pixels"] = tuple(float(errors.valid_pixels) for errors in single)
    values = {name: getattr(whole, name) for name in DEPTH_METRICS}
    names = tuple(frame.name for frame in frames)
    return SequenceScore(sequence.name, values, float(whole.valid_pixels), names, items, notes)
