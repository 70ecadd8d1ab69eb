"""Scale and shift that bring a predicted depth onto the ground truth: what depth benchmarks do before they score.

Two families. The public ones reproduce the released scripts, stopping rules included. The converged ones
(`l1_scale`, `l1_scale_shift`) find the minimum of the same L1 objective exactly, so no step budget and no unit of
length decides the score. All work on the flat vectors of valid pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.measured import is_measured

Vector = NDArray[np.floating[Any]]
ADAM_RATE, ADAM_STEPS = 1e-4, 1000  # of the released scripts
CHUNK = 1 << 18  # elements that stay in the cache while several passes run over them


class NoFitError(ValueError):
    """These predictions cannot be brought onto any ground truth in the way asked for."""


class Fit(NamedTuple):
    """`aligned = scale * prediction + shift`; shift in the ground truth's unit."""

    scale: float
    shift: float


def chunks(*vectors: Vector) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """Walk equally long vectors in float64 pieces of `CHUNK` elements."""
    for start in range(0, len(vectors[0]), CHUNK):
        yield tuple(np.asarray(v[start : start + CHUNK], np.float64) for v in vectors)


def lower_median(values: Vector) -> float:
    """The middle element, the lower one of two: what torch.median returns and the public scripts use."""
    middle = (len(values) - 1) // 2
    # A partition finds one element in linear time; sorting millions of pixels would be most of the scoring.
    return float(np.partition(values, middle)[middle])


def median_fit(pred: Vector, gt: Vector) -> Fit:
    """Ratio of the medians, no shift.

    Raises:  NoFitError if the median prediction is not positive; the released scripts then score infinities, or depth
             turned over by a negative scale.
    """
    middle = lower_median(pred)
    if not middle > 0:
        raise NoFitError(f"the median of {len(pred)} predicted depths is {middle:g}; scaling needs a positive one")
    return Fit(float(lower_median(gt)) / middle, 0.0)


def identity_fit(pred: Vector, gt: Vector) -> Fit:
    """Metric predictions: nothing to align."""
    return Fit(1.0, 0.0)


def least_squares_fit(pred: Vector, gt: Vector) -> Fit:
    """Scale and shift of least squared error."""
    p, g = np.asarray(pred, np.float64), np.asarray(gt, np.float64)
    design = np.stack((p, np.ones_like(p)), 1)
    (scale, shift), *_ = np.linalg.lstsq(design, g, rcond=None)
    return Fit(float(scale), float(shift))


def lad_scipy_fit(pred: Vector, gt: Vector) -> Fit:
    """Public `lad`: scale and shift of least absolute error by scipy's BFGS, from the median ratio."""
    from scipy.optimize import minimize

    p, g = np.asarray(pred, np.float64), np.asarray(gt, np.float64)

    def absolute_error(x: NDArray[np.float64]) -> float:
        return float(np.abs(x[0] * p + x[1] - g).sum())

    found = minimize(absolute_error, x0=np.array(median_fit(p, g)))
    return Fit(float(found.x[0]), float(found.x[1]))


def irls_scale_fit(pred: Vector, gt: Vector) -> Fit:
    """Public `scale` (E24): ten rounds of reweighted least squares towards least absolute error, at least 1e-3.

    Note:    ten rounds are not convergence, and weights of 1e8 at a pixel that happens to be hit make the result
             depend on the last digit of the start: 1e-8 more moved a golden case by 0.2 %. To give the released
             digits the start is therefore the mean that torch takes, in the precision in which the data arrive.
    Raises:  NoFitError if that mean of the predictions is zero.
    """
    mean = float(torch.from_numpy(pred).nanmean())
    if mean == 0:
        raise NoFitError(f"the mean of {len(pred)} predicted depths is 0; scaling needs another")
    scale = float(torch.from_numpy(gt).nanmean()) / mean
    for _ in range(10):
        # Least squares with each pixel weighted by 1 / |its error| is least absolute error at the fixed point.
        above = below = 0.0
        for p, g in chunks(pred, gt):
            weighted = p / (np.abs(scale * p - g) + 1e-8)
            above += float(weighted @ g)
            below += float(weighted @ p)
        scale = above / below
    return Fit(max(scale, 1e-3), 0.0)


class L1Objective:
    """`sum |s p + t - g|` and its gradient: exact, and cheap for many evaluations near one point.

    Within a box around (s, t) most residuals keep their sign, so they add up to one linear function, found in a
    single pass; only the few pixels whose residual can change sign inside the box are visited again. Leaving the
    box costs another pass. With a `centre`, p stands for prediction - centre.
    """

    def __init__(self, pred: Vector, gt: Vector, centre: float = 0.0) -> None:
        self.pred, self.gt, self.centre = pred, gt, centre

    def narrow(self, s: float, t: float, ds: float, dt: float) -> None:
        """Prepare for the box |s' - s| <= ds, |t' - t| <= dt."""
        self.box = (s, t, ds, dt)
        linear = np.zeros(3)
        near_p, near_g = [], []
        for uncentred, g in chunks(self.pred, self.gt):
            p = uncentred - self.centre
            residual = s * p + t - g
            # Inside the box a residual changes by no more than this, so a larger one keeps its sign.
            near = np.abs(residual) <= ds * np.abs(p) + dt
            near_p.append(p[near])
            near_g.append(g[near])
            sign = np.sign(residual)
            sign[near] = 0
            linear += (sign @ p, sign.sum(), -(sign @ g))
        self.linear = linear
        self.near_p, self.near_g = np.concatenate(near_p), np.concatenate(near_g)

    def holds(self, s: float, t: float) -> bool:
        """Whether (s, t) lies inside the box."""
        s0, t0, ds, dt = self.box
        return abs(s - s0) <= ds and abs(t - t0) <= dt

    def value_and_gradient(self, s: float, t: float) -> tuple[float, float, float]:
        """The sum and its derivatives by s and t; sign(0) = 0."""
        residual = s * self.near_p + t - self.near_g
        sign = np.sign(residual)
        value = float(self.linear @ (s, t, 1.0)) + float(sign @ residual)
        return value, float(self.linear[0] + sign @ self.near_p), float(self.linear[1] + sign.sum())


def adam_fit(pred: Vector, gt: Vector, start: Fit, lr: float = ADAM_RATE, max_iters: int = ADAM_STEPS) -> Fit:
    """Public `lad2` solver: Adam on (scale, shift) with a small step budget (E15: it moves by about lr * max_iters).

    Source:  same in CUT3R and MonST3R; stops when the loss changes by less than 1e-6.
    """
    objective = L1Objective(pred, gt)
    x = np.array(start)
    mean, square = np.zeros(2), np.zeros(2)
    # Adam moves by about `lr` a step, so one pass over all pixels serves some fifty steps.
    objective.narrow(*start, 50 * lr, 50 * lr)
    previous = np.inf
    for step in range(1, max_iters + 1):
        if not objective.holds(x[0], x[1]):
            objective.narrow(x[0], x[1], 50 * lr, 50 * lr)
        loss, *by = objective.value_and_gradient(x[0], x[1])
        gradient = np.array(by)
        # Adam with torch's defaults, written out: two numbers need no optimizer object.
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        x = x - lr * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        if abs(previous - loss) < 1e-6:
            break
        previous = loss
    return Fit(float(x[0]), float(x[1]))


def lad2_fit(pred: Vector, gt: Vector, lr: float = ADAM_RATE, max_iters: int = ADAM_STEPS) -> Fit:
    """Public `lad2` of the monocular script: `adam_fit` from the median ratio."""
    return adam_fit(pred, gt, median_fit(pred, gt), lr, max_iters)


def lad2_video_fit(pred: Vector, gt: Vector, lr: float = ADAM_RATE, max_iters: int = ADAM_STEPS) -> Fit:
    """Public `lad2` of the video script (E16): only finite pixels with gt > 0; under ten of them, the median ratio."""
    start = median_fit(pred, gt)
    usable = np.isfinite(pred) & is_measured(gt)
    if int(usable.sum()) < 10:
        return start
    return adam_fit(pred[usable], gt[usable], start, lr, max_iters)


def l1_scale_fit(pred: Vector, gt: Vector) -> Fit:
    """Scale of least absolute error, converged (the weighted median of gt / pred)."""
    return _l1_fit(pred, gt, with_shift=False)


def l1_scale_shift_fit(pred: Vector, gt: Vector) -> Fit:
    """Scale and shift of least absolute error, converged.

    Note:    the objective is convex. Four small subsamples locate the minimum; all pixels then decide it inside a
             box around that place, and the box moves and grows until the minimum lies in its interior, where
             convexity makes it the global one. The subsamples only set the starting box.
    """
    return _l1_fit(pred, gt, with_shift=True)


def _l1_fit(pred: Vector, gt: Vector, with_shift: bool) -> Fit:
    if len(pred) == 0 or not np.any(pred):
        raise NoFitError(f"no L1 fit to {len(pred)} predictions that are all zero; give some that are not")
    # Equal predictions say nothing of a scale; the best constant for absolute errors is the median.
    if with_shift and float(np.ptp(pred)) == 0:
        return Fit(0.0, lower_median(gt))
    # Around the median prediction scale and shift are nearly independent, so an upright box is a tight one.
    centre = float(lower_median(pred[:: max(1, len(pred) // 10_000)])) if with_shift else 0.0
    start, width = _starting_box(pred, gt, centre, with_shift)
    fit = _minimise(L1Objective(pred, gt, centre), start, width)
    return Fit(fit.scale, fit.shift - fit.scale * centre)


def _starting_box(pred: Vector, gt: Vector, centre: float, with_shift: bool) -> tuple[Fit, tuple[float, float]]:
    """Where to look first: for many pixels what subsamples say, for few the ranges of the data."""
    few = 20_000
    if len(pred) < 4 * few:
        spread = float(np.ptp(gt)) or float(np.abs(gt).max()) or 1.0
        scale = spread / (float(np.ptp(pred)) or float(np.abs(pred).max()))
        return Fit(scale, lower_median(gt) if with_shift else 0.0), (scale, spread if with_shift else 0.0)
    # How far apart the minima of four subsamples lie says how far the minimum of all may lie from their mean.
    fits = []
    for k in range(4):
        part, truth = pred[k :: len(pred) // few], gt[k :: len(pred) // few]
        fits.append(_minimise(L1Objective(part, truth, centre), *_starting_box(part, truth, centre, with_shift)))
    middle, spreads = np.mean(fits, 0), np.ptp(np.array(fits), axis=0)
    # A larger subsample then narrows the box by the square root of its size, so few pixels of all stay near it.
    stride = max(1, int(np.sqrt(len(pred) / few)))
    larger = L1Objective(pred[::stride], gt[::stride], centre)
    tiny = 1e-6 * float(np.abs(middle).max())
    start = _minimise(larger, Fit(*middle.tolist()), _width(2 * spreads + tiny, with_shift))
    return start, _width(2 * spreads * np.sqrt(few * stride / len(pred)) + tiny, with_shift)


def _width(both: NDArray[np.float64], with_shift: bool) -> tuple[float, float]:
    return float(both[0]), float(both[1]) if with_shift else 0.0


def _minimise(objective: L1Objective, start: Fit, width: tuple[float, float]) -> Fit:
    fit, (ds, dt) = start, width
    for _ in range(60):
        objective.narrow(*fit, ds, dt)
        previous, fit = fit, _minimum_in_box(objective)
        # A minimum on the edge of its box may go on outside; one that moved less than that lies inside.
        scale_inside = abs(fit.scale - previous.scale) < 0.9 * ds
        shift_inside = dt == 0 or abs(fit.shift - previous.shift) < 0.9 * dt
        if scale_inside and shift_inside:
            return fit
        ds, dt = 4 * ds, 4 * dt
    raise NoFitError("the L1 minimum escaped sixty growing boxes; give finite depths")


def _minimum_in_box(objective: L1Objective) -> Fit:
    """Bisection on the scale; for each scale the best shift is a quantile of the residuals."""
    s, t, ds, dt = objective.box
    low, high = s - ds, s + ds
    best = (np.inf, Fit(s, t))
    for _ in range(200):
        middle = 0.5 * (low + high)
        shift = _best_shift(objective, middle) if dt > 0 else 0.0
        value, by_scale, _ = objective.value_and_gradient(middle, shift)
        best = min(best, (value, Fit(middle, shift)))
        # The least value over shifts is convex in the scale, so its slope says on which side the minimum lies.
        slope = by_scale if dt == 0 else _slope_of_profile(objective, middle, shift)
        if slope == 0 or high - low <= 1e-14 * abs(middle):
            break
        low, high = (low, middle) if slope > 0 else (middle, high)
    return best[1]


def _best_shift(objective: L1Objective, s: float) -> float:
    _, t, _, dt = objective.box
    residual = objective.near_g - s * objective.near_p
    n = len(residual)
    # Derivative by the shift, with k residuals below it: linear + k - (n - k) = 0.
    k = int(np.floor((n - objective.linear[1]) / 2))
    if n == 0 or not 0 <= k < n:
        return t - dt if objective.linear[1] > 0 else t + dt
    return float(np.clip(np.partition(residual, k)[k], t - dt, t + dt))


def _slope_of_profile(objective: L1Objective, s: float, shift: float) -> float:
    """Derivative of `min over shift` by the scale: pixels on the line share what balances the shift's derivative."""
    residual = s * objective.near_p + shift - objective.near_g
    tolerance = 1e-12 * (abs(shift) + float(np.abs(objective.near_g).max(initial=0.0)))
    on_line = np.abs(residual) <= tolerance
    sign = np.where(on_line, 0.0, np.sign(residual))
    by_scale = float(objective.linear[0] + sign @ objective.near_p)
    by_shift = float(objective.linear[1] + sign.sum())
    if not on_line.any():
        return by_scale
    return by_scale - float(objective.near_p[on_line].mean()) * by_shift


ALIGNMENTS: dict[str, Callable[[Vector, Vector], Fit]] = {
    "median": median_fit,
    "metric": identity_fit,
    "lstsq": least_squares_fit,
    "lad": lad_scipy_fit,
    "lad2": lad2_fit,
    "lad2_video": lad2_video_fit,
    "scale": irls_scale_fit,
    "l1_scale": l1_scale_fit,
    "l1_scale_shift": l1_scale_shift_fit,
}
