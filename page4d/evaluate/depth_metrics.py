"""Depth errors: masks, clips, alignment and the numbers of the depth benchmarks.

The order of steps and the formulas are those of the released scripts, so the public protocol equals them to the
digit; the standard protocol differs in which alignment it names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.evaluate.alignment import ALIGNMENTS, Fit, chunks
from page4d.given import as_mask, as_real

Array = NDArray[np.floating[Any]]
FLOOR = 1e-5  # predictions at or below zero count as this in ratios and logarithms (E17)


@dataclass(frozen=True)
class DepthOptions:
    """How a depth map is compared; lengths in the ground truth's unit, None = unlimited.

    disparity: predictions are inverse depths; they are aligned as such and inverted afterwards.
    """

    alignment: str = "median"
    max_depth: float | None = 80.0
    pre_clip: tuple[float | None, float | None] = (None, None)
    post_clip: tuple[float | None, float | None] = (None, None)
    disparity: bool = False

    def __post_init__(self) -> None:
        if self.alignment not in ALIGNMENTS:
            raise ValueError(f"alignment {self.alignment!r} is not one of {', '.join(ALIGNMENTS)}")


@dataclass(frozen=True)
class DepthErrors:
    """Errors over the valid pixels of one item; lengths in the ground truth's unit.

    An item without a valid pixel has zeros of weight zero, as the released scripts give it.

    Note:    a new error is a field here, in the order of `_sums`, its sum there, and its row in `page4d/metrics.py`.
    """

    # The released tables have a share of pixels with a ratio below 1 besides, which is 0 (E19).
    abs_rel: float = 0.0
    sq_rel: float = 0.0
    rmse: float = 0.0
    log_rmse: float = 0.0
    delta_1: float = 0.0
    delta_2: float = 0.0
    delta_3: float = 0.0
    valid_pixels: int = 0
    fit: Fit | None = None


DEPTH_METRICS = tuple(f.name for f in fields(DepthErrors) if f.name not in ("valid_pixels", "fit"))
_ROOTS = ("rmse", "log_rmse")  # the root of a mean; every other error is a mean


def depth_errors(pred: Array, gt: Array, options: DepthOptions, mask: NDArray[np.bool_] | None = None) -> DepthErrors:
    """Align a stack of predicted depth maps with one fit and measure it.

    Shapes:  pred, gt, mask (..., H, W), all equal.
    Units:   gt in its own unit, 0 or negative = no measurement; pred in any unit unless the alignment is metric.
    Raises:  ValueError if the shapes differ.
    Source:  the released `depth_evaluation`; `mask` restricts the errors but not the alignment, as there.
    """
    pred, gt = as_real(pred), as_real(gt)
    valid = valid_pixels(pred, gt, options)
    p, g = pred[valid], gt[valid]
    if len(p) == 0:
        return DepthErrors()
    p, fit = align_depth(p, g, options)
    if mask is not None:
        counted = as_mask(mask, "depth_errors")[valid]
        p, g = p[counted], g[counted]
    return _errors(_sums(p, g), len(g), fit)


def sequence_errors(
    preds: Sequence[Array], gts: Sequence[Array], options: DepthOptions
) -> tuple[DepthErrors, list[DepthErrors]]:
    """Errors of a whole sequence under one fit, and of each frame under that same fit.

    Shapes:  vectors of valid pixels, one pair for each frame.
    Note:    the sequence's RMSE pools all its pixels, as the released video script does.
    """
    counts = [len(gt) for gt in gts]
    if sum(counts) == 0:
        return DepthErrors(), [DepthErrors() for _ in gts]
    pred, fit = align_depth(np.concatenate(preds), np.concatenate(gts), options)
    ends = np.cumsum(counts)
    sums = [_sums(pred[end - n : end], gt) for end, n, gt in zip(ends, counts, gts, strict=True)]
    total = np.sum(sums, axis=0)
    return _errors(total, sum(counts), fit), [_errors(s, n, fit) for s, n in zip(sums, counts, strict=True)]


def valid_pixels(pred: Array, gt: Array, options: DepthOptions) -> NDArray[np.bool_]:
    """Measured pixels nearer than the limit, both bounds strict."""
    if pred.shape != gt.shape:
        raise ValueError(f"prediction {pred.shape} and ground truth {gt.shape} differ; resize the prediction first")
    valid = gt > 0
    return valid if options.max_depth is None else valid & (gt < options.max_depth)


def align_depth(pred: Array, gt: Array, options: DepthOptions) -> tuple[Array, Fit]:
    """Valid predictions clipped, aligned to gt, turned from disparity to depth and clipped again.

    Shapes:  pred, gt (N,), of the valid pixels alone -> (N,) and the fit.
    """
    pred, gt = _before_fit(pred, options), as_real(gt)
    target = 1.0 / (gt + 1e-8) if options.disparity else gt
    fit = ALIGNMENTS[options.alignment](pred, target)
    return _clip(apply_fit(pred, fit, options), options.post_clip), fit


def apply_fit(pred: Array, fit: Fit, options: DepthOptions) -> Array:
    """The fit on any predictions, without clips; disparities come back as depths, non-positive ones as 0."""
    pred = as_real(pred)
    # The multiplication stays in the prediction's own precision: half the memory, and rounding of 1e-7 relative.
    moved = pred if fit == Fit(1.0, 0.0) else pred * pred.dtype.type(fit.scale) + pred.dtype.type(fit.shift)
    if options.disparity:
        return np.divide(1.0, moved, out=np.zeros_like(moved), where=moved > 0)
    return moved


def relative_errors(pred: Array, gt: Array, fit: Fit, options: DepthOptions) -> Array:
    """Relative error (N,) of valid pixels under a known fit, with the clips of `align_depth`."""
    pred = _before_fit(pred, options)
    moved = _clip(apply_fit(pred, fit, options), options.post_clip)
    return np.asarray(np.abs(moved - gt) / gt)


def error_map(pred: Array, gt: Array, fit: Fit, options: DepthOptions) -> Array:
    """Relative error of each valid pixel, 0 elsewhere; for pictures.

    Note:    from the unclipped prediction, as in the released scripts, so it can exceed what `depth_errors` counts.
    """
    pred, gt = as_real(pred), as_real(gt)
    valid = valid_pixels(pred, gt, options)
    errors = np.zeros(gt.shape)
    errors[valid] = np.abs(apply_fit(pred, fit, options)[valid] - gt[valid]) / gt[valid]
    return errors


def _before_fit(pred: Array, options: DepthOptions) -> Array:
    """Predictions as the fit sees them."""
    pred = _clip(as_real(pred), options.pre_clip)
    # The released fit of videos alone takes what is not positive for nothing.
    return np.where(pred < FLOOR, 0, pred) if options.alignment == "lad2_video" else pred


def _clip(values: Array, bounds: tuple[float | None, float | None]) -> Array:
    return values if bounds == (None, None) else np.clip(values, *bounds)


def _sums(pred: Array, gt: Array) -> NDArray[np.float64]:
    """What each error is the mean of, summed over pixels in the order of the fields: one pass in float64 pieces."""
    sums = np.zeros(len(DEPTH_METRICS))
    for p, g in chunks(pred, gt):
        error = p - g
        relative = error / g
        ratio = np.maximum(p, FLOOR) / g
        log = np.log(ratio)
        worst = np.maximum(ratio, 1 / ratio)
        below = [np.count_nonzero(worst < 1.25**power) for power in (1, 2, 3)]
        sums += (np.abs(relative).sum(), relative @ error, error @ error, log @ log, *below)
    return sums


def _errors(sums: NDArray[np.float64], n: int, fit: Fit) -> DepthErrors:
    if n == 0:
        return DepthErrors(fit=fit)
    means = dict(zip(DEPTH_METRICS, (sums / n).tolist(), strict=True))
    for name in _ROOTS:
        means[name] = math.sqrt(means[name])
    return DepthErrors(**means, valid_pixels=n, fit=fit)


def weighted_mean(items: Sequence[DepthErrors]) -> DepthErrors:
    """Mean of every metric over items, weighted by their valid pixels.

    Note:    RMSE becomes a weighted mean of RMSEs, not the pooled RMSE: the definition of all public tables (E18).
    Raises:  ValueError if no item has a valid pixel (the public scripts divide by zero).
    """
    weights = np.array([item.valid_pixels for item in items], np.float64)
    if weights.sum() == 0:
        raise ValueError(f"none of {len(items)} items has a valid ground-truth pixel; nothing to average")
    means: dict[str, Any] = {}
    for name in DEPTH_METRICS:
        values = np.array([getattr(item, name) for item in items])
        means[name] = float(weights @ values / weights.sum())
    return DepthErrors(**means, valid_pixels=int(weights.sum()))
