"""The camera loss: every iteration of the camera head against the encoded true pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from page4d.geometry import extri_intri_to_pose_encoding
from page4d.losses.targets import (
    MIN_VALID_PIXELS,
    Behaviour,
    Targets,
    bounded,
    check_behaviour,
    discounts,
    mean_where,
)
from page4d.settings import check_values


@dataclass(frozen=True)
class CameraLossConfig:
    """Weights of the camera loss; the defaults are those of the public configuration.

    Note:    stage k of n counts `gamma ** (n - 1 - k)`, and the sum is divided by n, not by the sum of the weights.
    """

    weight: float = 5.0
    kind: Literal["l1", "l2"] = "l1"
    gamma: float = 0.6
    weight_translation: float = 1.0
    weight_rotation: float = 1.0
    weight_focal: float = 0.5

    def __post_init__(self) -> None:
        check_values(self, "camera loss: ")


class CameraLoss(NamedTuple):
    """The weighted camera loss and its unweighted parts: translation, rotation, focal length."""

    total: Tensor
    translation: Tensor
    rotation: Tensor
    focal: Tensor


def camera_loss(
    pose_encodings: Sequence[Tensor], targets: Targets, config: CameraLossConfig, behaviour: Behaviour = "corrected"
) -> CameraLoss:
    """Discounted distance of all pose iterations to the true poses.

    Shapes:  pose_encodings n x (B, S, 9).
    Note:    public: a sequence counts if its first frame has more than 100 valid pixels, and q and -q are different
             rotations. Ours: a sequence counts if all its frames together have that many (the scale is then known), a
             frame with a non-finite pose is left out, and the target quaternion takes the sign of the prediction (T22).
    """
    check_behaviour(behaviour)
    target = extri_intri_to_pose_encoding(targets.extrinsics, targets.intrinsics, targets.image_hw)
    kept = kept_frames(targets, behaviour)
    if behaviour == "corrected":
        kept = kept & target.isfinite().all(-1)
    # Early iterations are drafts: they count, so that they lead somewhere, but less than the last.
    shares = [discount / len(pose_encodings) for discount in discounts(config.gamma, len(pose_encodings))]
    parts = [_stage_parts(stage, target, kept, config.kind, behaviour) for stage in pose_encodings]
    translation, rotation, focal = (_discount(of_stages, shares) for of_stages in zip(*parts, strict=True))
    total = config.weight_translation * translation
    total = total + config.weight_rotation * rotation
    total = total + config.weight_focal * focal
    return CameraLoss(total, translation, rotation, focal)


def _discount(of_stages: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    total = of_stages[0].new_zeros(())
    for value, share in zip(of_stages, shares, strict=True):
        total = total + share * value
    return total


def kept_frames(targets: Targets, behaviour: Behaviour) -> Tensor:
    """The frames that have a pose to learn from: bool (B, S)."""
    counted = targets.valid[:, :1] if behaviour == "public" else targets.valid
    enough = counted.flatten(1).sum(1) > MIN_VALID_PIXELS
    kept = enough & ~targets.dropped("pose")
    return kept[:, None].expand(-1, targets.valid.shape[1])


def _stage_parts(
    stage: Tensor, target: Tensor, kept: Tensor, kind: str, behaviour: Behaviour
) -> tuple[Tensor, Tensor, Tensor]:
    true = target
    if behaviour == "corrected":
        # A pose that does not count may be NaN, and 0 times NaN would reach the gradient.
        true = torch.where(kept[..., None], target, stage.detach())
        turned = same_sign(true[..., 3:7], stage[..., 3:7])
        true = torch.cat((true[..., :3], turned, true[..., 7:]), -1)
    difference = stage - true
    parts = (difference[..., :3], difference[..., 3:7], difference[..., 7:])
    sizes = [part.abs() if kind == "l1" else part.norm(dim=-1, keepdim=True) for part in parts]
    # A wild pose early in training would outweigh the rest of the batch.
    cut = [bounded(size, behaviour) for size in sizes]
    translation, rotation, focal = (mean_where(size, kept[..., None].expand_as(size)) for size in cut)
    return translation, rotation, focal


def same_sign(quaternion: Tensor, reference: Tensor) -> Tensor:
    """Of q and -q, which are one rotation, the one nearer to the reference: (*, 4) twice -> (*, 4)."""
    # Near 180 degrees either sign is as good; without this a right answer would cost the most.
    opposite = (quaternion * reference.detach()).sum(-1, keepdim=True) < 0
    return torch.where(opposite, -quaternion, quaternion)
