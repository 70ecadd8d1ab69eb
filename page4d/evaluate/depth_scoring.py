"""Depth of a sequence against its truth: which pixels are compared, and the errors under one fit or many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from page4d.evaluate.depth_frames import ComparedFrame, compared_frames
from page4d.evaluate.depth_metrics import (
    DEPTH_METRICS,
    DepthErrors,
    DepthOptions,
    depth_errors,
    sequence_errors,
    valid_pixels,
    weighted_mean,
)
from page4d.evaluate.error_parts import Parts, error_parts
from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.sequence import EvalSequence
from page4d.schema import Prediction, SequenceScore

# How video depth is aligned: by `align` (one scale, scale and shift, or nothing) for all frames of a sequence together,
# so that the L1 error over all its valid pixels is least. The released scripts stop early: ten rounds of IRLS for a
# scale, 1000 steps of Adam for scale and shift. The converged fits are the minima that they were on the way to: a
# weighted median of truth over prediction for a scale, a bisection for scale and shift (evaluate/alignment.py).
_PUBLIC_FIT = {"scale": "scale", "scale&shift": "lad2_video", "metric": "metric"}
_CONVERGED_FIT = {"scale": "l1_scale", "scale&shift": "l1_scale_shift", "metric": "metric"}


def depth_options(rules: Rules) -> DepthOptions:
    """Limits and alignment of depth under a protocol; monocular depth is median-scaled in both."""
    benchmark = rules.benchmark
    clip = (None, benchmark.post_clip_max)
    if benchmark.task == "monodepth":
        return DepthOptions("median", benchmark.max_depth, post_clip=clip)
    fits = _PUBLIC_FIT if rules.protocol.solver == "public" else _CONVERGED_FIT
    return DepthOptions(fits[rules.align], benchmark.max_depth, post_clip=clip)


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
    parts = error_parts(frames, [whole.fit] * len(frames), options)
    return _depth_score(sequence, whole, single, frames, parts)


def score_mono_depth(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """Every frame under its own fit."""
    options = depth_options(rules)
    frames = compared_frames(sequence, prediction, rules)
    single = [depth_errors(frame.pred, frame.gt, options) for frame in frames]
    if not any(errors.valid_pixels for errors in single):
        raise UnscorableError("no frame has a valid ground-truth pixel")
    parts = error_parts(frames, [errors.fit for errors in single], options)
    return _depth_score(sequence, weighted_mean(single), single, frames, parts)


def _depth_score(
    sequence: EvalSequence,
    whole: DepthErrors,
    single: Sequence[DepthErrors],
    frames: Sequence[ComparedFrame],
    parts: Parts,
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
    weight = float(whole.valid_pixels)
    return SequenceScore(
        sequence.name, values | parts.values, weight, names, items, notes | parts.notes, weights=parts.weights
    )
