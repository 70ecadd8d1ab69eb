"""Depth and point losses: confidence-weighted regression plus a multi-scale gradient or normal term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from page4d.losses.targets import (
    LARGEST,
    MIN_VALID_PIXELS,
    Behaviour,
    Targets,
    bounded,
    check_behaviour,
    mean_where,
    nan_to_zero,
    zero_of,
)
from page4d.settings import check_values

MIN_NORMALS = 10
GRADIENT_SCALES = 4
NORMAL_SCALES = 3
NORMAL_EPSILON = 1e-8
MIN_CONFIDENCE = 1e-6
SMALLEST_SQUARE = 1e-24
ShapeTerm = Literal["grad", "normal", "grad_conf", "normal_conf", "none"]


@dataclass(frozen=True)
class DenseLossConfig:
    """Weights of a depth or point loss.

    Note:    the confidence term is `gamma * residual * c - alpha * ln c`; shape_term is "grad", "normal", either with
             "_conf" to weight it by the confidence, or "none"; residuals above the quantile keep_share are left out, 0
             or less keeps all.
    """

    weight: float = 1.0
    gamma: float = 1.0
    alpha: float = 0.2
    shape_term: ShapeTerm = "grad"
    keep_share: float = 0.98

    def __post_init__(self) -> None:
        check_values(self, "loss: ")


PUBLIC_DEPTH = DenseLossConfig(weight=1.0, gamma=0.3, alpha=0.06, shape_term="grad")
PUBLIC_POINT = DenseLossConfig(weight=1.0, gamma=1.0, alpha=0.2, shape_term="normal")


class DenseLoss(NamedTuple):
    """The three unweighted terms of a dense prediction."""

    confidence: Tensor
    regression: Tensor
    shape: Tensor

    @property
    def total(self) -> Tensor:
        """Their plain sum, as in the public code."""
        return self.confidence + self.regression + self.shape


class Maps(NamedTuple):
    """One dense quantity at one scale: predicted, target (N, H, W, C); valid and confidence (N, H, W)."""

    predicted: Tensor
    target: Tensor
    valid: Tensor
    confidence: Tensor | None

    def every(self, stride: int) -> Maps:
        """Each `stride`-th row and column."""
        picked = (None if x is None else x[:, ::stride, ::stride] for x in self)
        return Maps(*picked)  # type: ignore[arg-type]


def depth_loss(
    depth: Tensor, confidence: Tensor, targets: Targets, config: DenseLossConfig, behaviour: Behaviour = "corrected"
) -> DenseLoss:
    """Depth loss: depth (B, S, H, W, 1), confidence (B, S, H, W)."""
    return dense_loss(depth, confidence, targets.depth[..., None], targets, config, behaviour)


def point_loss(
    points: Tensor, confidence: Tensor, targets: Targets, config: DenseLossConfig, behaviour: Behaviour = "corrected"
) -> DenseLoss:
    """Point loss in the frame of the first camera: points (B, S, H, W, 3), confidence (B, S, H, W)."""
    return dense_loss(points, confidence, targets.world_points, targets, config, behaviour)


def dense_loss(
    predicted: Tensor,
    confidence: Tensor,
    target: Tensor,
    targets: Targets,
    config: DenseLossConfig,
    behaviour: Behaviour = "corrected",
) -> DenseLoss:
    """Confidence, regression and shape term of one dense quantity.

    Shapes:  predicted, target (B, S, H, W, C); confidence (B, S, H, W).
    Note:    public: one dropped sample, or fewer than 100 valid pixels in the batch, silences the whole batch (T23);
             targets are cut to +-100 and non-finite ones become 0 while they stay valid (T25).
             Ours: a dropped sample or a non-finite target only loses its own pixels, and targets are never altered.
             Pixels that do not count are weighted by 0, never picked out: picking makes the host wait for the device.
    """
    check_behaviour(behaviour)
    valid, dropped = targets.valid, targets.dropped("geometry")
    if behaviour == "public":
        target = nan_to_zero(target)
        if int(valid.sum()) < MIN_VALID_PIXELS or bool(dropped.any()):
            zero = zero_of(predicted)
            return DenseLoss(zero, zero, zero)
    else:
        valid = valid & ~dropped[:, None, None, None] & target.isfinite().all(-1)
        target = torch.where(valid[..., None], target, torch.zeros_like(target))
    maps = Maps(predicted.flatten(0, 1), target.flatten(0, 1), valid.flatten(0, 1), confidence.flatten(0, 1))
    return DenseLoss(*_regression(maps, config, behaviour), _shape_term(maps, config, behaviour))


def _regression(maps: Maps, config: DenseLossConfig, behaviour: Behaviour) -> tuple[Tensor, Tensor]:
    residual = bounded(_distance(maps.target, maps.predicted), behaviour)
    assert maps.confidence is not None
    c = maps.confidence.clamp(min=MIN_CONFIDENCE)
    # A large confidence makes errors dear, a small one costs its logarithm: the best c is alpha / (gamma * residual).
    weighted = bounded(config.gamma * residual * c - config.alpha * c.log(), behaviour)
    means = []
    for values in (weighted, residual):
        counted = maps.valid
        if config.keep_share > 0:
            # Ground truth has edges in the wrong place: the largest residuals say more about it than about us.
            counted = below_quantile(values, maps.valid, config.keep_share)
        means.append(mean_where(values, counted))
    return means[0], means[1]


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Length of a - b over the last axis, component by component; its gradient at 0 is 0."""
    parts = (a - b).unbind(-1)
    if len(parts) == 1:
        return parts[0].abs()
    squares = sum((part * part for part in parts[1:]), start=parts[0] * parts[0])
    return squares.clamp(min=SMALLEST_SQUARE).sqrt()


def below_quantile(
    x: Tensor,
    valid: Tensor,
    share: float,
    min_elements: int = 1000,
    hard_max: float = LARGEST,
    max_elements: int = 100_000_000,
) -> Tensor:
    """The valid elements without the largest ones, if enough remain: bool, of the shape of x.

    Note:    the threshold is the nearest element to the quantile and is itself dropped; if at most `min_elements`
             would remain, all stay; above `max_elements` a random million stands for all.
    """
    if x.numel() > max_elements:
        chosen = torch.randperm(x.numel(), device=x.device)[:1_000_000]
        valid = valid & torch.zeros_like(valid).flatten().index_fill(0, chosen, True).view_as(valid)
    values = x.detach().clamp(max=hard_max)
    # What does not count stands behind everything that does.
    ordered = torch.where(valid, values, torch.full_like(values, torch.inf)).flatten()
    below = valid & (values < _nearest_to_quantile(ordered, valid.sum(), share).clamp(max=hard_max))
    return torch.where(below.sum() > min_elements, below, valid)


def _nearest_to_quantile(x: Tensor, n: Tensor, share: float) -> Tensor:
    """Of the n smallest elements of a 1-D tensor, the one nearest to the quantile."""
    if x.device.type == "cpu":
        # A partition by numpy takes a thirtieth of torch's kthvalue.
        rank = max(0, round(share * (int(n) - 1)))
        return torch.from_numpy(np.partition(x.numpy(), rank)[rank : rank + 1])[0]
    # The device sorts so that the host need not know n.
    rank_there = (share * (n - 1).double()).round().clamp(min=0).long()
    return x.sort().values.gather(0, rank_there[None])[0]


def _shape_term(maps: Maps, config: DenseLossConfig, behaviour: Behaviour) -> Tensor:
    if config.shape_term == "none":
        return zero_of(maps.predicted)
    if not config.shape_term.endswith("_conf"):
        maps = maps._replace(confidence=None)
    # The public code forgets its caller's gamma and alpha here (T28).
    own = DenseLossConfig if behaviour == "public" else config
    gamma, alpha = own.gamma, own.alpha
    normal = config.shape_term.startswith("normal")
    scales, term = (NORMAL_SCALES, normal_loss) if normal else (GRADIENT_SCALES, gradient_loss)
    # Every 2nd, 4th, ... pixel: neighbours there stand further apart, so slow bends of a surface count, too.
    values = [term(maps.every(2**k), gamma, alpha, behaviour) for k in range(scales)]
    return torch.stack(values).sum() / scales


def gradient_loss(
    maps: Maps,
    gamma: float = DenseLossConfig.gamma,
    alpha: float = DenseLossConfig.alpha,
    behaviour: Behaviour = "corrected",
) -> Tensor:
    """Mean change of the error between neighbouring pixels.

    Note:    public: with a confidence, `alpha * ln c` of invalid pixels counts too (T28); ours masks it.
    """
    valid = maps.valid[..., None].to(maps.predicted.dtype)
    n = valid.sum() * maps.predicted.shape[-1]
    # Multiplying (public) lets a NaN outside the mask through; choosing does not.
    error = maps.predicted - maps.target
    error = valid * error if behaviour == "public" else torch.where(valid > 0, error, torch.zeros_like(error))
    total = maps.predicted.new_zeros(())
    for axis in (2, 1):
        size = error.shape[axis] - 1
        # A step counts where both its ends are measured.
        both = valid.narrow(axis, 1, size) * valid.narrow(axis, 0, size)
        step = (error.narrow(axis, 1, size) - error.narrow(axis, 0, size)).abs() * both
        step = step.clamp(max=LARGEST)
        if maps.confidence is not None:
            c = maps.confidence.narrow(axis, 1, size)[..., None].clamp(min=MIN_CONFIDENCE)
            log = c.log() if behaviour == "public" else c.log() * both
            step = gamma * step * c - alpha * log
        total = total + step.sum()
    # Without a valid pixel n is 0, and the public code answers 0 whatever the confidences say.
    return torch.where(n > 0, bounded(total / n.clamp(min=1), behaviour), torch.zeros_like(total))


def normal_loss(
    maps: Maps,
    gamma: float = DenseLossConfig.gamma,
    alpha: float = DenseLossConfig.alpha,
    behaviour: Behaviour = "corrected",
) -> Tensor:
    """One minus the cosine between predicted and true surface normals, over the four normals at every pixel."""
    ours, _ = surface_normals(maps.predicted, maps.valid)
    true, valid = surface_normals(maps.target, maps.valid)
    cosine = (ours * true).sum(0).clamp(-1 + NORMAL_EPSILON, 1 - NORMAL_EPSILON)
    loss = bounded(1 - cosine, behaviour)
    if maps.confidence is not None:
        c = _corners(maps.confidence).clamp(min=MIN_CONFIDENCE)
        loss = gamma * loss * c - alpha * c.log()
    return torch.where(valid.sum() < MIN_NORMALS, torch.zeros_like(loss[0, 0, 0, 0, 0]), mean_where(loss, valid))


def surface_normals(points: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Four unit normals at every pixel that has the neighbours: a vertical arm times a horizontal one.

    Shapes:  points (N, H, W, 3), valid (N, H, W) -> normals (3, 2, 2, N, H - 1, W - 1), valid (2, 2, N, H - 1, W - 1).
             Index [a, b]: the horizontal arm leads left (a = 0) or right, the vertical one up (b = 0) or down; a pixel
             (y, x) stands at row y - 1 for up and y for down, at column x - 1 for left and x for right.
    Note:    a normal is valid where the centre and both neighbours are. The order of the product is up x left,
             left x down, down x right, right x up; by its signs each is a step down times a step to the right.
             Coordinates come first: sums over a last axis of 3 are several times slower on a CPU.
    """
    x = points.movedim(-1, 0)
    down = x[..., 1:, :] - x[..., :-1, :]
    right = x[..., 1:] - x[..., :-1]
    # Every corner takes each step once as the arm that leads to it and once as the one that leads away.
    down = _both_sides(down, -1)[:, :, None]
    right = _both_sides(right, -2)[:, None]
    normals = torch.stack([_cross_part(down, right, axis) for axis in range(3)])
    # The length is floored inside the root, so that a normal of length 0 has gradient 0 and not NaN.
    length = (normals * normals).sum(0).clamp(min=NORMAL_EPSILON**2).sqrt()
    vertical = valid[:, 1:] & valid[:, :-1]
    horizontal = valid[..., 1:] & valid[..., :-1]
    columns = _both_sides(vertical[None], -1)[0][:, None]
    rows = _both_sides(horizontal[None], -2)[0][None]
    return normals / length, columns & rows


def _both_sides(x: Tensor, axis: int) -> Tensor:
    """All but the first and all but the last along an axis, stacked behind the first: (C, ...) -> (C, 2, ...)."""
    size = x.shape[axis] - 1
    return torch.stack((x.narrow(axis, 1, size), x.narrow(axis, 0, size)), 1)


def _cross_part(a: Tensor, b: Tensor, axis: int) -> Tensor:
    """One component of the cross product over the first axis."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    return a[i] * b[j] - a[j] * b[i]


def _corners(x: Tensor) -> Tensor:
    """The centre pixels of `surface_normals`: (N, H, W) -> (2, 2, N, H - 1, W - 1)."""
    columns = _both_sides(x[None], -1)[0]
    return _both_sides(columns, -2)
