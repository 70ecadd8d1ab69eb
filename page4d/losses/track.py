"""The point-track loss: coordinates of every iteration, visibility and confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from page4d.losses.targets import Behaviour, Targets, check_behaviour, discounts, nan_to_zero, zero_of
from page4d.schema import UserError

MIN_POINTS = 2


@dataclass(frozen=True)
class TrackLossConfig:
    """Weights of the track loss; `weight` 0 leaves it out of the objective, as the public configuration does.

    Note:    occluded_weight None counts visible points only; a number lets occluded ones count with this weight (the
             intent of the public `vis_aware`, which cancels out there, T27).
    """

    weight: float = 0.0
    gamma: float = 0.8
    weight_coordinates: float = 1.0
    weight_visibility: float = 0.2
    weight_confidence: float = 0.1
    confident_within_px: float = 3.0
    occluded_weight: float | None = None


class TrackLoss(NamedTuple):
    """The weighted track loss and its unweighted parts."""

    total: Tensor
    coordinates: Tensor
    visibility: Tensor
    confidence: Tensor


class TrackPrediction(NamedTuple):
    """Tracks of n iterations n x (B, S, Q, 2) in pixels; visibility and confidence (B, S, Q) in [0, 1] or None."""

    tracks: Sequence[Tensor]
    visibility: Tensor | None
    confidence: Tensor | None


def track_loss(
    predicted: TrackPrediction, targets: Targets, config: TrackLossConfig, behaviour: Behaviour = "corrected"
) -> TrackLoss:
    """Discounted L1 of the tracks that are visible in the first frame, and two classification terms.

    Note:    public: the network's probabilities are fed to a loss for logits (T26), so both terms saturate near 0.5.
             Ours: they are turned back to logits first; a track with a non-finite target is left out.
    Raises:  UserError if the batch has no tracks.
    """
    check_behaviour(behaviour)
    if targets.tracks is None or targets.tracks_visible is None:
        raise UserError("track loss: the batch has no tracks; load them or set the track loss weight to 0")
    n = predicted.tracks[-1].shape[2]
    true, visible = targets.tracks[:, :, :n], targets.tracks_visible[:, :, :n].bool()
    # The query is given in the first frame: what is hidden there was never asked for.
    valid = visible[:, :1].expand_as(visible)
    if behaviour == "public":
        true = nan_to_zero(true, None)
    else:
        finite = true.isfinite().all(-1)
        valid = valid & finite
        true = torch.where(finite[..., None], true, torch.zeros_like(true))
    if not bool(valid.any()):
        zero = zero_of(predicted.tracks[-1])
        return TrackLoss(zero, zero, zero, zero)
    coordinates = _coordinates(predicted.tracks, true, valid, visible, config, behaviour)
    # Confidence is taught to say whether the network's own last answer is right.
    near = (true - predicted.tracks[-1].detach()).norm(dim=-1) < config.confident_within_px
    visibility = _classify(predicted.visibility, visible, valid, coordinates, behaviour)
    confidence = _classify(predicted.confidence, near, valid, coordinates, behaviour)
    total = (
        config.weight_coordinates * coordinates
        + config.weight_visibility * visibility
        + config.weight_confidence * confidence
    )
    return TrackLoss(total, coordinates, visibility, confidence)


def _coordinates(
    tracks: Sequence[Tensor],
    true: Tensor,
    valid: Tensor,
    visible: Tensor,
    config: TrackLossConfig,
    behaviour: Behaviour,
) -> Tensor:
    # What is hidden has a true place all the same, but nothing in the picture shows it.
    occluded = 0.0 if behaviour == "public" or config.occluded_weight is None else config.occluded_weight
    weights = valid * torch.where(visible, 1.0, occluded)
    counted = weights > 0
    kept = weights[counted]
    enough = len(kept) > MIN_POINTS
    total = zero_of(tracks[0])
    # Later iterations start from better places, and count more.
    for stage, discount in zip(tracks, discounts(config.gamma, len(tracks)), strict=True):
        error = (stage - true).abs().mean(-1)
        term = (error[counted] * kept).sum() / kept.sum() if enough else zero_of(error)
        total = total + discount * term
    return total / len(tracks)


def _classify(
    probability: Tensor | None, truth: Tensor, valid: Tensor, fallback: Tensor, behaviour: Behaviour
) -> Tensor:
    if probability is None:
        return 0.0 * fallback
    logits = probability[valid]
    if behaviour == "corrected":
        logits = torch.logit(logits.float(), eps=1e-6)
    return F.binary_cross_entropy_with_logits(logits, truth[valid].to(logits.dtype))
