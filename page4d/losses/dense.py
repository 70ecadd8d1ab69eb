"""Depth and point losses: confidence-weighted regression plus a multi-scale gradient or normal term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from page4d.losses.targets import LARGEST, Behaviour, Targets, check_behaviour, nan_to_zero, zero_of
from page4d.schema import UserError

PUBLIC_MIN_PIXELS = 100
MIN_NORMALS = 10
GRADIENT_SCALES = 4
NORMAL_SCALES = 3
NORMAL_EPSILON = 1e-8
MIN_CONFIDENCE = 1e-6
SHAPE_TERMS = ("grad", "normal", "grad_conf", "normal_conf", "none")


@dataclass(frozen=True)
class DenseLossConfig:
    """Weights of a depth or point loss.

    gamma, alpha:  the confidence term is `gamma * residual * c - alpha * ln c`.
    shape_term:    "grad", "normal", either with "_conf" to weight it by the confidence, or "none".
    keep_share:    residuals above this quantile are left out; 0 or less keeps all.
    """

    weight: float = 1.0
    gamma: float = 1.0
    alpha: float = 0.2
    shape_term: str = "grad"
    keep_share: float = 0.98

    def __post_init__(self) -> None:
        if self.shape_term not in SHAPE_TERMS:
            raise UserError(f"shape_term {self.shape_term!r} is not known; choose one of {', '.join(SHAPE_TERMS)}")


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
    Public:  one dropped sample, or fewer than 100 valid pixels in the batch, silences the whole batch (T23); targets
             are cut to +-100 and non-finite ones become 0 while they stay valid (T25).
    Ours:    a dropped sample or a non-finite target only loses its own pixels, and targets are never altered.
    """
    check_behaviour(behaviour)
    valid, dropped = targets.valid, targets.dropped("geometry")
    if behaviour == "public":
        target = nan_to_zero(target)
        silent = int(valid.sum()) < PUBLIC_MIN_PIXELS or bool(dropped.any())
    else:
        valid = valid & ~dropped[:, None, None, None] & target.isfinite().all(-1)
        target = torch.where(valid[..., None], target, torch.zeros_like(target))
        silent = not bool(valid.any())
    if silent:
        zero = zero_of(predicted)
        return DenseLoss(zero, zero, zero)
    conf_term, regression = _regression(predicted[valid], confidence[valid], target[valid], config, behaviour)
    maps = Maps(predicted.flatten(0, 1), target.flatten(0, 1), valid.flatten(0, 1), confidence.flatten(0, 1))
    return DenseLoss(conf_term, regression, _shape_term(maps, config, behaviour))


def _cut(x: Tensor, behaviour: Behaviour) -> Tensor:
    """Bound a residual. Ours lets NaN through: the trainer must see that a prediction is broken."""
    return nan_to_zero(x) if behaviour == "public" else x.clamp(-LARGEST, LARGEST)


def _regression(
    predicted: Tensor, confidence: Tensor, target: Tensor, config: DenseLossConfig, behaviour: Behaviour
) -> tuple[Tensor, Tensor]:
    residual = _cut((target - predicted).norm(dim=-1), behaviour)
    c = confidence.clamp(min=MIN_CONFIDENCE)
    weighted = _cut(config.gamma * residual * c - config.alpha * c.log(), behaviour)
    if config.keep_share > 0:
        weighted = filter_by_quantile(weighted, config.keep_share)
        residual = filter_by_quantile(residual, config.keep_share)
    return _cut(weighted, behaviour).mean(), _cut(residual, behaviour).mean()


def filter_by_quantile(
    x: Tensor, share: float, min_elements: int = 1000, hard_max: float = LARGEST, max_elements: int = 100_000_000
) -> Tensor:
    """Drop the largest values of a 1-D tensor, if enough remain.

    Note:    the threshold is the nearest element to the quantile and is itself dropped; at most `min_elements` values
             pass unchanged; above `max_elements` a random million stands for all.
    """
    if x.numel() <= min_elements:
        return x
    if x.numel() > max_elements:
        x = x[torch.randperm(x.numel(), device=x.device)[:1_000_000]]
    x = x.clamp(max=hard_max)
    rank = round(share * (x.numel() - 1)) + 1
    threshold = x.detach().kthvalue(rank).values.clamp(max=hard_max)
    kept = x[x.detach() < threshold]
    return kept if kept.numel() > min_elements else x


def _shape_term(maps: Maps, config: DenseLossConfig, behaviour: Behaviour) -> Tensor:
    if config.shape_term == "none":
        return zero_of(maps.predicted)
    if not config.shape_term.endswith("_conf"):
        maps = maps._replace(confidence=None)
    # The public code forgets its caller's gamma and alpha here (T28).
    gamma, alpha = (1.0, 0.2) if behaviour == "public" else (config.gamma, config.alpha)
    normal = config.shape_term.startswith("normal")
    scales = NORMAL_SCALES if normal else GRADIENT_SCALES
    total = zero_of(maps.predicted)
    for k in range(scales):
        scaled = maps.every(2**k)
        if normal:
            total = total + normal_loss(scaled, gamma, alpha, behaviour)
        else:
            total = total + gradient_loss(scaled, gamma, alpha, behaviour)
    return total / scales


def gradient_loss(maps: Maps, gamma: float = 1.0, alpha: float = 0.2, behaviour: Behaviour = "corrected") -> Tensor:
    """Mean change of the error between neighbouring pixels.

    Public:  with a confidence, `alpha * ln c` of invalid pixels counts too (T28); ours masks it.
    """
    valid = maps.valid[..., None].to(maps.predicted.dtype)
    n = valid.sum() * maps.predicted.shape[-1]
    if not bool(n > 0):
        return zero_of(maps.predicted)
    # Multiplying (public) lets a NaN outside the mask through; choosing does not.
    error = maps.predicted - maps.target
    error = valid * error if behaviour == "public" else torch.where(valid > 0, error, torch.zeros_like(error))
    total = maps.predicted.new_zeros(())
    for axis in (2, 1):
        size = error.shape[axis] - 1
        both = valid.narrow(axis, 1, size) * valid.narrow(axis, 0, size)
        step = (error.narrow(axis, 1, size) - error.narrow(axis, 0, size)).abs() * both
        step = step.clamp(max=LARGEST)
        if maps.confidence is not None:
            c = maps.confidence.narrow(axis, 1, size)[..., None].clamp(min=MIN_CONFIDENCE)
            log = c.log() if behaviour == "public" else c.log() * both
            step = gamma * step * c - alpha * log
        total = total + step.sum()
    return _cut(total / n, behaviour)


def normal_loss(maps: Maps, gamma: float = 1.0, alpha: float = 0.2, behaviour: Behaviour = "corrected") -> Tensor:
    """One minus the cosine between predicted and true surface normals, over the four normals at every pixel."""
    ours, _ = surface_normals(maps.predicted, maps.valid)
    true, valid = surface_normals(maps.target, maps.valid)
    if int(valid.sum()) < MIN_NORMALS:
        return zero_of(maps.predicted)
    cosine = (ours * true).sum(0)[valid].clamp(-1 + NORMAL_EPSILON, 1 - NORMAL_EPSILON)
    loss = _cut(1 - cosine, behaviour)
    if maps.confidence is not None:
        c = maps.confidence.expand(4, *maps.confidence.shape)[valid].clamp(min=MIN_CONFIDENCE)
        loss = gamma * loss * c - alpha * c.log()
    return loss.mean()


def surface_normals(points: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Four unit normals a pixel, from neighbouring pairs: up x left, left x down, down x right, right x up.

    Shapes:  points (N, H, W, 3), valid (N, H, W) -> normals (3, 4, N, H, W), valid (4, N, H, W).
    Note:    a normal is valid where the centre and both neighbours are; the border is padded as invalid. Coordinates
             come first because sums and cross products over a last axis of 3 are several times slower on a CPU.
    """
    points = points.movedim(-1, 0).contiguous()
    padded = F.pad(points, (1, 1, 1, 1))
    known = F.pad(valid, (1, 1, 1, 1))
    offsets = ((-1, 0), (0, -1), (1, 0), (0, 1))
    arms = [_shifted(padded, dy, dx) - points for dy, dx in offsets]
    seen = [_shifted(known, dy, dx) for dy, dx in offsets]
    normals = torch.stack([_cross(arms[k], arms[(k + 1) % 4]) for k in range(4)], 1)
    both = [valid & seen[k] & seen[(k + 1) % 4] for k in range(4)]
    # The length is floored inside the root, so that a normal of length 0 has gradient 0 and not NaN.
    length = (normals * normals).sum(0).clamp(min=NORMAL_EPSILON**2).sqrt()
    return normals / length, torch.stack(both)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product over the first axis."""
    return a.roll(-1, 0) * b.roll(-2, 0) - a.roll(-2, 0) * b.roll(-1, 0)


def _shifted(padded: Tensor, dy: int, dx: int) -> Tensor:
    height, width = padded.shape[-2] - 2, padded.shape[-1] - 2
    return padded[..., 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
