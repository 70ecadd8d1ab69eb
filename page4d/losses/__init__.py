"""Training losses: one function a term, and their weighted sum.

`behaviour="public"` repeats the public code to rounding, defects T22 to T28 included; the default,
"corrected", repairs them. Each function says what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from page4d.losses.camera import CameraLoss, CameraLossConfig, camera_loss
from page4d.losses.dense import (
    PUBLIC_DEPTH,
    PUBLIC_POINT,
    DenseLoss,
    DenseLossConfig,
    depth_loss,
    gradient_loss,
    normal_loss,
    point_loss,
)
from page4d.losses.targets import Behaviour, Targets, check_behaviour
from page4d.losses.track import TrackLoss, TrackLossConfig, TrackPrediction, track_loss
from page4d.model import ALL_FRAMES
from page4d.schema import UserError

__all__ = [
    "LOSSES", "LOSS_NAMES", "PUBLIC_DEPTH", "PUBLIC_POINT", "Behaviour", "CameraLoss", "CameraLossConfig",
    "DenseLoss", "DenseLossConfig", "Loss", "LossConfig", "Losses", "Targets", "TrackLoss", "TrackLossConfig",
    "TrackPrediction", "camera_loss", "depth_loss", "gradient_loss", "normal_loss", "point_loss", "total_loss",
    "track_loss",
]  # fmt: skip


@dataclass(frozen=True)
class LossConfig:
    """All loss settings; the defaults are those of the public configuration, with the defects repaired."""

    camera: CameraLossConfig = field(default_factory=CameraLossConfig)
    depth: DenseLossConfig = PUBLIC_DEPTH
    point: DenseLossConfig = PUBLIC_POINT
    track: TrackLossConfig = field(default_factory=TrackLossConfig)
    behaviour: Behaviour = "corrected"

    def __post_init__(self) -> None:
        check_behaviour(self.behaviour)
        if self.depth.shape_term.startswith("normal"):
            raise UserError(
                f"loss.depth.shape_term is {self.depth.shape_term!r}; depth has no normals of its own, expected grad, "
                "grad_conf or none (normals are for loss.point)"
            )


Values = CameraLoss | DenseLoss | TrackLoss


class BatchTruth(NamedTuple):
    """What a loss compares with: the truth of all frames, and of those alone whose depth and points are made."""

    every: Targets
    dense: Targets


class Loss(NamedTuple):
    """A row of `LOSSES`: what computes a loss, the head whose answer it reads, and its terms.

    Note:    `compute(predictions, truth, config, behaviour)` takes the loss's own field of `LossConfig` and gives
             parts with a `total`, or None where the predictions have nothing for it. `terms` are logged names with the
             part that each is of. `head` None is for a loss that is there whatever heads are switched on.
    """

    compute: Callable[[Mapping[str, Any], BatchTruth, Any, Behaviour], Values | None]
    head: str | None
    terms: dict[str, str]


def _camera(
    predictions: Mapping[str, Any], truth: BatchTruth, config: CameraLossConfig, behaviour: Behaviour
) -> CameraLoss | None:
    if "pose_enc_list" not in predictions:
        return None
    return camera_loss(predictions["pose_enc_list"], truth.every, config, behaviour)


def _depth(
    predictions: Mapping[str, Any], truth: BatchTruth, config: DenseLossConfig, behaviour: Behaviour
) -> DenseLoss | None:
    if "depth" not in predictions:
        return None
    return depth_loss(predictions["depth"], predictions["depth_conf"], truth.dense, config, behaviour)


def _point(
    predictions: Mapping[str, Any], truth: BatchTruth, config: DenseLossConfig, behaviour: Behaviour
) -> DenseLoss | None:
    if "world_points" not in predictions:
        return None
    points, confidence = predictions["world_points"], predictions["world_points_conf"]
    return point_loss(points, confidence, truth.dense, config, behaviour)


def _track(
    predictions: Mapping[str, Any], truth: BatchTruth, config: TrackLossConfig, behaviour: Behaviour
) -> TrackLoss | None:
    if "track" not in predictions and "track_list" not in predictions:
        return None
    stages = predictions["track_list"] if "track_list" in predictions else [predictions["track"]]
    predicted = TrackPrediction(stages, predictions.get("vis"), predictions.get("conf"))
    return track_loss(predicted, truth.every, config, behaviour)


_CAMERA_TERMS = {"loss_camera": "total", "loss_T": "translation", "loss_R": "rotation", "loss_FL": "focal"}
_DEPTH_TERMS = {"loss_conf_depth": "confidence", "loss_reg_depth": "regression", "loss_grad_depth": "shape"}
_POINT_TERMS = {"loss_conf_point": "confidence", "loss_reg_point": "regression", "loss_grad_point": "shape"}
_TRACK_TERMS = {
    "loss_track": "total",
    "loss_coord_track": "coordinates",
    "loss_vis_track": "visibility",
    "loss_conf_track": "confidence",
}

# The order is that in which the sum is made, which decides its last digit.
LOSSES = {
    "camera": Loss(_camera, "camera", _CAMERA_TERMS),
    "depth": Loss(_depth, "depth", _DEPTH_TERMS),
    "point": Loss(_point, "point", _POINT_TERMS),
    "track": Loss(_track, "track", _TRACK_TERMS),
}
"""Every loss by its field in `LossConfig`."""

LOSS_NAMES = tuple(name for loss in LOSSES.values() for name in loss.terms)
"""Every term by the name that it is logged under."""


@dataclass(frozen=True)
class Losses:
    """The objective (weighted sum) and every term by name, as logged.

    Note:    terms do not carry the weight of their loss; loss_camera and loss_track are sums of the terms that follow
             them, by the weights within that loss.
    """

    objective: Tensor
    terms: Mapping[str, Tensor]


def total_loss(
    predictions: Mapping[str, Any], targets: Targets, config: LossConfig, dense_frames: slice = ALL_FRAMES
) -> Losses:
    """Weighted sum over the predictions that are present; depth and points are those of `dense_frames`.

    Shapes:  predictions under the network's output names: pose_enc_list, depth, depth_conf, world_points,
             world_points_conf, and with query points track_list or track, vis, conf.
    Raises:  UserError if there is nothing to compare.
    """
    # Dense maps may be made of some frames only, to save memory; poses and tracks are always those of all.
    dense = targets if dense_frames == ALL_FRAMES else targets.at_frames(dense_frames)
    truth = BatchTruth(targets, dense)
    terms: dict[str, Tensor] = {}
    weighted: list[Tensor] = []
    for name, loss in LOSSES.items():
        own = getattr(config, name)
        values = loss.compute(predictions, truth, own, config.behaviour)
        if values is None:
            continue
        weighted.append(own.weight * values.total)
        for logged, part in loss.terms.items():
            terms[logged] = getattr(values, part)
    if not weighted:
        raise UserError(f"no loss applies to the predictions {sorted(predictions)}; enable a head of the model")
    return Losses(sum(weighted[1:], start=weighted[0]), terms)
