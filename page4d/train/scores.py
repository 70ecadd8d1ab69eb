"""How far a network's cameras and depth are from the truth, sequence by sequence, beside what knowing nothing gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from page4d.geometry import invert, pose_encoding_to_extri_intri, relative_to_first, rotation_angle_deg
from page4d.losses import Targets
from page4d.schema import UserError


@dataclass(frozen=True)
class SequenceScores:
    """Errors of B sequences and of two predictors that know nothing.

    Shapes:  every field (B,), NaN where it is not defined.
    Units:   abs_rel is a ratio, after one median scale for the whole clip; rotation is degrees, the mean over the
             frames after the first of the angle to the true rotation relative to the first frame; translation (no
             alignment) and ate are in the mean point distance of the sequence.
    ATE:     root mean square distance of the camera centres after the best similarity (Umeyama). It needs 3 frames;
             with 2 any prediction fits.
    Baselines:  *_identity is what the answer "the camera never moves" scores under the same rule: for ATE the best
             similarity of a single point is the mean position, so it is the spread of the true centres.
             abs_rel_constant is a flat depth map.
    """

    abs_rel: Tensor
    abs_rel_constant: Tensor
    rotation: Tensor
    rotation_identity: Tensor
    translation: Tensor
    translation_identity: Tensor
    ate: Tensor
    ate_identity: Tensor

    def rows(self) -> list[dict[str, float]]:
        """One dictionary a sequence."""
        columns = {f.name: getattr(self, f.name).tolist() for f in fields(self)}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


SCORE_NAMES = tuple(f.name for f in fields(SequenceScores))


def score_sequences(predictions: Mapping[str, Any], targets: Targets) -> SequenceScores:
    """Compare the network's output with normalised ground truth.

    Raises:  UserError if the network gave neither poses nor depth.
    """
    if "pose_enc" not in predictions and "depth" not in predictions:
        raise UserError(f"nothing to score in {sorted(predictions)}; enable the camera or the depth head")
    missing = torch.full((targets.depth.shape[0],), torch.nan)
    depth = poses = (missing, missing)
    translation = ate = (missing, missing)
    if "depth" in predictions:
        depth = abs_rel(predictions["depth"][..., 0].float(), targets.depth, targets.valid)
    if "pose_enc" in predictions and targets.extrinsics.shape[1] > 1:
        predicted, _ = pose_encoding_to_extri_intri(
            predictions["pose_enc"].double(), targets.image_hw, build_intrinsics=False
        )
        predicted, true = relative_to_first(predicted), targets.extrinsics.double()
        poses = rotation_error(predicted, true)
        distance = (predicted[..., 3] - true[..., 3]).norm(dim=-1)[:, 1:].mean(1)
        translation = (distance, true[..., 3].norm(dim=-1)[:, 1:].mean(1))
        if true.shape[1] > 2:
            ate = trajectory_error(centres(predicted), centres(true))
    values = (*depth, *poses, *translation, *ate)
    return SequenceScores(*(value.detach().double().cpu() for value in values))


def abs_rel(predicted: Tensor, true: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Mean |s p - g| / g with s = median(g) / median(p) over the clip, and the same for a flat map: (B,) each.

    Note:  NaN for a clip without a valid pixel.
    """
    ours, flat = [], []
    for p, g, v in zip(predicted, true, valid, strict=True):
        if not bool(v.any()):
            ours.append(p.new_tensor(torch.nan))
            flat.append(p.new_tensor(torch.nan))
            continue
        p, g = p[v], g[v]
        scale = g.median() / p.median()
        ours.append(((scale * p - g).abs() / g).mean())
        flat.append(((g.median() - g).abs() / g).mean())
    return torch.stack(ours), torch.stack(flat)


def rotation_error(predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Mean angle between predicted and true rotation of the frames after the first, and of the identity: (B,) each."""
    difference = predicted[:, 1:, :, :3] @ true[:, 1:, :, :3].mT
    return rotation_angle_deg(difference).mean(1), rotation_angle_deg(true[:, 1:, :, :3]).mean(1)


def centres(cam_from_world: Tensor) -> Tensor:
    """Camera centres in the world: (*, 3, 4) -> (*, 3)."""
    return invert(cam_from_world)[..., 3]


def trajectory_error(predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """ATE after the best similarity, and the identity's: centres (B, S, 3) twice -> (B,), (B,).

    Source:  Umeyama (1991), eq. 33 for the residual: the rotation itself is never needed, so straight and motionless
             paths, whose rotation is not determined, are no special case.
    """
    x = predicted - predicted.mean(1, keepdim=True)
    y = true - true.mean(1, keepdim=True)
    n = x.shape[1]
    var_x, var_y = (x * x).sum((1, 2)) / n, (y * y).sum((1, 2)) / n
    u, d, vt = torch.linalg.svd(y.mT @ x / n)
    sign = torch.ones_like(d)
    sign[:, 2] = torch.where(torch.linalg.det(u) * torch.linalg.det(vt) < 0, -1.0, 1.0)
    explained = (d * sign).sum(1).square() / var_x.clamp(min=1e-24)
    return (var_y - explained).clamp(min=0).sqrt(), var_y.sqrt()
