"""Training losses: one function a term, and their weighted sum.

`behaviour="public"` repeats the public code to the last digit, defects T22 to T28 included; the default,
"corrected", repairs them. Each function says what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
    "LOSS_NAMES", "PUBLIC_DEPTH", "PUBLIC_POINT", "TERMS_OF_HEAD", "Behaviour", "CameraLoss", "CameraLossConfig",
    "DenseLoss", "DenseLossConfig", "LossConfig", "Losses", "Targets", "TrackLoss", "TrackLossConfig",
    "TrackPrediction", "camera_loss", "depth_loss", "gradient_loss", "normal_loss", "point_loss", "total_loss",
    "track_loss",
]  # fmt: skip

TERMS_OF_HEAD = {
    "camera": ("loss_camera", "loss_T", "loss_R", "loss_FL"),
    "depth": ("loss_conf_depth", "loss_reg_depth", "loss_grad_depth"),
    "point": ("loss_conf_point", "loss_reg_point", "loss_grad_point"),
    "track": ("loss_track", "loss_coord_track", "loss_vis_track", "loss_conf_track"),
}
"""What each head's prediction is told, by the names that terms are logged under."""

LOSS_NAMES = tuple(name for names in TERMS_OF_HEAD.values() for name in names)
"""Every term by the name that it is logged under."""


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


@dataclass(frozen=True)
class Losses:
    """The objective (weighted sum) and every unweighted term by name, as logged."""

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
    terms: dict[str, Tensor] = {}
    weighted: list[Tensor] = []
    if "pose_enc_list" in predictions:
        camera = camera_loss(predictions["pose_enc_list"], targets, config.camera, config.behaviour)
        terms |= dict(zip(TERMS_OF_HEAD["camera"], camera, strict=True))
        weighted.append(config.camera.weight * camera.total)
    # Dense maps may be made of some frames only, to save memory; poses and tracks are always those of all.
    dense = targets if dense_frames == ALL_FRAMES else targets.at_frames(dense_frames)
    if "depth" in predictions:
        depth = depth_loss(predictions["depth"], predictions["depth_conf"], dense, config.depth, config.behaviour)
        terms |= dict(zip(TERMS_OF_HEAD["depth"], depth, strict=True))
        weighted.append(config.depth.weight * depth.total)
    if "world_points" in predictions:
        confidence = predictions["world_points_conf"]
        point = point_loss(predictions["world_points"], confidence, dense, config.point, config.behaviour)
        terms |= dict(zip(TERMS_OF_HEAD["point"], point, strict=True))
        weighted.append(config.point.weight * point.total)
    if "track" in predictions or "track_list" in predictions:
        stages = predictions["track_list"] if "track_list" in predictions else [predictions["track"]]
        predicted = TrackPrediction(stages, predictions.get("vis"), predictions.get("conf"))
        track = track_loss(predicted, targets, config.track, config.behaviour)
        terms |= dict(zip(TERMS_OF_HEAD["track"], track, strict=True))
        weighted.append(config.track.weight * track.total)
    if not weighted:
        raise UserError(f"no loss applies to the predictions {sorted(predictions)}; enable a head of the model")
    return Losses(sum(weighted[1:], start=weighted[0]), terms)
