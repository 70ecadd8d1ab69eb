"""How far answers are from exact truth, clip by clip: the only home of held-out scores.

The benchmarks of this folder measure on datasets and by their protocols; this is for clips whose depth and cameras are
known exactly: validation while training, exams, model cards and chapters. Everything stays on its device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from page4d.data.normalization import normalize
from page4d.geometry import (
    camera_centres,
    pose_encoding_to_extri_intri,
    relative_to_first,
    rotation_angle_deg,
    similarity_residual,
    world_points,
)
from page4d.inference import predict
from page4d.losses import Targets
from page4d.model import PAGE4D
from page4d.schema import Clip, Prediction, UserError
from page4d.world import split_clip

STANDING_STILL = 0.002
"""Below this camera motion, in mean point distances, its direction means nothing: a fifth of a pixel at 112 px."""


@dataclass(frozen=True)
class ExactTruth:
    """What answers about B clips are compared with.

    Shapes:  cam_from_world (B, S, 3, 4); depth and valid (B, S, H, W).
    Units:   lengths in the mean point distance of the clip.
    Frame:   OpenCV; the world is the first camera.
    """

    cam_from_world: Tensor
    depth: Tensor
    valid: Tensor

    @classmethod
    def of_targets(cls, targets: Targets) -> ExactTruth:
        """The truth that a training batch is compared with."""
        return cls(targets.extrinsics, targets.depth, targets.valid)

    @classmethod
    def of_clip(cls, clip: Clip) -> ExactTruth:
        """The truth of one clip, in any world and unit, as a batch of one."""
        depth = torch.where(clip.valid, clip.depth, torch.zeros_like(clip.depth))
        points = world_points(depth, clip.K, clip.cam_from_world)
        done = normalize(clip.cam_from_world[None], points[None], depth[None], clip.valid[None])
        return cls(done.cam_from_world, done.depth, clip.valid[None])

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return int(self.depth.shape[-2]), int(self.depth.shape[-1])


@dataclass(frozen=True)
class SequenceScores:
    """Errors of B sequences and of two predictors that know nothing.

    Shapes:  every field (B,), NaN where it is not defined.
    Units:   abs_rel is a ratio, after one median scale for the whole clip; rotation is degrees, the mean over the
             frames after the first of the angle to the true rotation relative to the first frame; direction is
             degrees, the mean angle to the true direction of motion from the first frame (90 by chance, frames
             without motion left out); translation (no alignment) and ate are in the mean point distance of the
             sequence.
    Note:    ate is the root mean square distance of the camera centres after the best similarity (Umeyama). It needs
             3 frames; with 2 any prediction fits. *_identity is what the answer "the camera never moves" scores under
             the same rule: for ATE the best similarity of a single point is the mean position, so it is the spread of
             the true centres. abs_rel_constant is a flat depth map.
    """

    abs_rel: Tensor
    abs_rel_constant: Tensor
    rotation: Tensor
    rotation_identity: Tensor
    direction: Tensor
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
    """Compare the network's output with normalized ground truth.

    Raises:  UserError if the network gave neither poses nor depth.
    """
    if "pose_enc" not in predictions and "depth" not in predictions:
        raise UserError(f"nothing to score in {sorted(predictions)}; enable the camera or the depth head")
    depth = cameras = None
    if "depth" in predictions:
        depth = predictions["depth"][..., 0].float()
    if "pose_enc" in predictions:
        encoding = predictions["pose_enc"].double()
        cameras, _ = pose_encoding_to_extri_intri(encoding, targets.image_hw, build_intrinsics=False)
    return score_answers(depth, cameras, ExactTruth.of_targets(targets))


def score_answers(depth: Tensor | None, cam_from_world: Tensor | None, truth: ExactTruth) -> SequenceScores:
    """Compare depth (B, S, H, W) and cameras (B, S, 3, 4), in any world and unit of their own, with the truth."""
    missing = torch.full((len(truth.depth),), torch.nan)
    scores = dict.fromkeys(SCORE_NAMES, missing)
    if depth is not None:
        scores["abs_rel"], scores["abs_rel_constant"] = abs_rel(depth, truth.depth, truth.valid)
    if cam_from_world is not None and cam_from_world.shape[1] > 1:
        predicted, true = relative_to_first(cam_from_world.double()), truth.cam_from_world.double()
        scores["rotation"], scores["rotation_identity"] = rotation_error(predicted, true)
        scores["direction"] = direction_error(predicted, true)
        scores["translation"] = _mean_length(predicted[..., 3] - true[..., 3])
        scores["translation_identity"] = _mean_length(true[..., 3])
        if true.shape[1] > 2:
            centres, true_centres = camera_centres(predicted), camera_centres(true)
            scores["ate"] = similarity_residual(centres, true_centres)
            scores["ate_identity"] = similarity_residual(torch.zeros_like(true_centres), true_centres)
    return SequenceScores(**{name: value.detach().double().cpu() for name, value in scores.items()})


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


def direction_error(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean angle between predicted and true direction from the first camera to the others, in degrees: (B,).

    Note:  frames where the true camera has hardly moved are left out; NaN for a camera that stands still.
    """
    centres, true_centres = camera_centres(predicted)[:, 1:], camera_centres(true)[:, 1:]
    angle = angle_between_deg(centres, true_centres)
    moved = true_centres.norm(dim=-1) > STANDING_STILL
    return torch.where(moved, angle, torch.nan).nanmean(1)


def angle_between_deg(first: Tensor, second: Tensor) -> Tensor:
    """Angle between vectors (*, 3) in degrees; 90, as by chance, where one has no length and so no direction."""
    # atan2 keeps small angles exact where arccos of a rounded cosine would not.
    sine, cosine = torch.linalg.cross(first, second).norm(dim=-1), (first * second).sum(-1)
    angle = torch.rad2deg(torch.atan2(sine, cosine))
    nowhere = (first.norm(dim=-1) == 0) | (second.norm(dim=-1) == 0)
    return angle.masked_fill(nowhere, 90.0)


def _mean_length(vectors: Tensor) -> Tensor:
    length: Tensor = vectors.norm(dim=-1)
    return length[:, 1:].mean(1)


@dataclass(frozen=True)
class ClipScores:
    """Errors of one clip, or their means over clips; each with what no network at all would get.

    Units:   abs_rel is relative, after one median scale for the clip; `constant` is a depth map of one value.
             rotation_deg is the mean angle to the true rotation from the first frame; `still` is a camera that never
             turns. direction_deg is the mean angle to the true direction of motion from the first frame, 90 by
             chance; NaN if the camera stands still.
    """

    abs_rel: float
    abs_rel_constant: float
    rotation_deg: float
    rotation_deg_still: float
    direction_deg: float


def score_clip(prediction: Prediction, clip: Clip) -> ClipScores:
    """Compare a prediction with the truth of the clip it was made from."""
    depth, cameras = (torch.from_numpy(a)[None] for a in (prediction.depth, prediction.cam_from_world))
    (row,) = score_answers(depth, cameras, ExactTruth.of_clip(clip.map_tensors(Tensor.cpu))).rows()
    return ClipScores(
        abs_rel=row["abs_rel"],
        abs_rel_constant=row["abs_rel_constant"],
        rotation_deg=row["rotation"],
        rotation_deg_still=row["rotation_identity"],
        direction_deg=row["direction"],
    )


def mean_scores(found: Sequence[ClipScores]) -> ClipScores:
    """Mean of each number over clips; clips with a standing camera do not count for the direction."""
    rows = np.array([astuple(scores) for scores in found])
    return ClipScores(*np.nanmean(rows, axis=0).tolist())


def held_out_scores(model: PAGE4D, clips: int = 8, frames: int = 4, split: str = "dynamic-test") -> ClipScores:
    """Mean scores over the first clips of a split that training never sees, at the network's own size."""
    size = model.config.img_size
    found = []
    for index in range(clips):
        clip = split_clip(split, index, height=size, width=size, frames=frames)
        found.append(score_clip(predict(model, clip.images), clip))
    return mean_scores(found)
