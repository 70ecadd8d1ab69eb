"""How far answers are from exact truth, clip by clip: the only home of held-out scores.

The benchmarks of this folder measure on datasets and by their protocols; this is for clips whose depth and cameras are
known exactly: validation while training, exams, model cards and chapters. A network's answer and the answers of
yardsticks that need no network go through the same functions. Everything stays on its device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from page4d.data.normalization import normalize
from page4d.evaluate.pose_auc import LIMITS_DEG, PairErrors, pair_errors, pair_numbers, relative_poses
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
from page4d.measured import is_measured
from page4d.model import PAGE4D
from page4d.schema import Clip, Prediction, UserError
from page4d.world import split_clip

STANDING_STILL = 0.002
"""Below this camera motion, in mean point distances, its direction means nothing: a fifth of a pixel at 112 px."""
FRAMES_FOR_ATE = 8
"""With fewer the similarity alignment alone explains most of a path; a straight line is then hard to beat."""


@dataclass(frozen=True)
class ExactTruth:
    """What answers about B clips are compared with.

    Shapes:  cam_from_world (B, S, 3, 4); depth, valid and moving (B, S, H, W).
    Units:   lengths in the mean point distance of the clip.
    Frame:   OpenCV; the world is the first camera.
    """

    cam_from_world: Tensor
    depth: Tensor
    valid: Tensor
    moving: Tensor | None = None

    @classmethod
    def of_targets(cls, targets: Targets, moving: Tensor | None = None) -> ExactTruth:
        """The truth that a training batch is compared with."""
        return cls(targets.extrinsics, targets.depth, targets.valid, moving)

    @classmethod
    def of(cls, depth: Tensor, K: Tensor, cam_from_world: Tensor, moving: Tensor | None = None) -> ExactTruth:
        """The truth of B clips in any world and unit; a depth of 0 or not finite is no measurement."""
        valid = is_measured(depth)
        known = torch.where(valid, depth, torch.zeros_like(depth))
        done = normalize(cam_from_world, world_points(known, K, cam_from_world), known, valid)
        return cls(done.cam_from_world, done.depth, valid, moving)

    @cached_property
    def middle(self) -> Tensor:
        """Median depth of each clip: (B,); NaN for a clip without a valid pixel."""
        return _median_over(self.depth, self.valid)

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return int(self.depth.shape[-2]), int(self.depth.shape[-1])


@dataclass(frozen=True)
class ExactAnswer:
    """What is said about B clips, by a network or by something that needs none.

    Shapes:  depth (B, S, H, W); cam_from_world (B, S, 3, 4); first_from_second (B, P, 3, 4), the pairs of
             `pose_auc.pair_numbers`, for answers that see two frames at a time and have no common world.
    Units:   lengths in any unit; the world is any.
    """

    depth: Tensor | None = None
    cam_from_world: Tensor | None = None
    first_from_second: Tensor | None = None


@dataclass(frozen=True)
class SequenceScores:
    """Errors of B sequences and of two answers that know nothing.

    Shapes:  every field (B,), NaN where it is not defined.
    Units:   abs_rel is a ratio, after one median scale for the whole clip; *_still and *_moving are its parts under
             the same scale. Rotations are degrees: relative_rotation is the mean over all pairs of frames, rotation
             over the pairs with the first. direction is degrees, the median over all pairs of the angle to the true
             direction of motion (90 by chance); auc_* are areas of `PairErrors.auc`; without_direction counts the
             pairs whose cameras stand at one place. translation (no alignment) and ate are in the mean point distance
             of the sequence.
    Note:    ate is the root mean square distance of the camera centres after the best similarity (Umeyama), for 8
             frames or more; ate_line is what a straight line at constant speed leaves, and as any line can be turned
             onto any other, it knows nothing of the clip. *_identity is a camera that never moves, abs_rel_constant a
             flat depth map.
    """

    abs_rel: Tensor
    abs_rel_still: Tensor
    abs_rel_moving: Tensor
    abs_rel_constant: Tensor
    rotation: Tensor
    rotation_identity: Tensor
    relative_rotation: Tensor
    relative_rotation_identity: Tensor
    direction: Tensor
    without_direction: Tensor
    auc_3: Tensor
    auc_5: Tensor
    auc_15: Tensor
    auc_30: Tensor
    translation: Tensor
    translation_identity: Tensor
    ate: Tensor
    ate_line: Tensor

    def rows(self) -> list[dict[str, float]]:
        """One dictionary per sequence."""
        columns = {name: getattr(self, name).tolist() for name in SCORE_NAMES}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


SCORE_NAMES = tuple(f.name for f in fields(SequenceScores))


def score_sequences(predictions: Mapping[str, Any], targets: Targets, moving: Tensor | None = None) -> SequenceScores:
    """Compare the network's output with normalized ground truth; `moving` (B, S, H, W) splits the depth error.

    Raises:  UserError if the network gave neither poses nor depth.
    """
    return score(answer_of(predictions, targets.image_hw), ExactTruth.of_targets(targets, moving))


def answer_of(predictions: Mapping[str, Any], image_hw: tuple[int, int]) -> ExactAnswer:
    """The depth and cameras of a network's output for images of one size.

    Raises:  UserError if it has neither.
    """
    if "pose_enc" not in predictions and "depth" not in predictions:
        raise UserError(f"nothing to score in {sorted(predictions)}; enable the camera or the depth head")
    depth = cameras = None
    if "depth" in predictions:
        depth = predictions["depth"][..., 0].float()
    if "pose_enc" in predictions:
        encoding = predictions["pose_enc"].double()
        cameras, _ = pose_encoding_to_extri_intri(encoding, image_hw, build_intrinsics=False)
    return ExactAnswer(depth, cameras)


def score(answer: ExactAnswer, truth: ExactTruth) -> SequenceScores:
    """Compare an answer with the truth; what it does not say is NaN."""
    missing = torch.full((len(truth.depth),), torch.nan)
    scores = dict.fromkeys(SCORE_NAMES, missing)
    true = truth.cam_from_world.double()
    frames = true.shape[1]
    if answer.depth is not None:
        scores |= _depth_scores(answer.depth, truth)
    pairs = answer.first_from_second
    if answer.cam_from_world is not None and frames > 1:
        predicted = relative_to_first(answer.cam_from_world.double())
        pairs = relative_poses(predicted)
        scores["translation"] = _mean_length(predicted[..., 3] - true[..., 3])
        scores["translation_identity"] = _mean_length(true[..., 3])
        if frames >= FRAMES_FOR_ATE:
            scores |= _path_scores(camera_centres(predicted), camera_centres(true))
    if pairs is not None:
        scores |= _pair_scores(pairs.double(), relative_poses(true), frames)
    return SequenceScores(**{name: value.detach().double().cpu() for name, value in scores.items()})


def _depth_scores(depth: Tensor, truth: ExactTruth) -> dict[str, Tensor]:
    error = relative_error(depth, truth)
    flat_error = _relative(truth.middle[:, None, None, None], truth)
    found = {"abs_rel": _mean_over(error, truth.valid), "abs_rel_constant": _mean_over(flat_error, truth.valid)}
    if truth.moving is not None:
        moving = truth.moving.bool()
        found["abs_rel_still"] = _mean_over(error, truth.valid & ~moving)
        found["abs_rel_moving"] = _mean_over(error, truth.valid & moving)
    return found


def relative_error(depth: Tensor, truth: ExactTruth) -> Tensor:
    """|s p - g| / g of every pixel with s = median(g) / median(p) over the valid pixels of the clip; 0 elsewhere.

    Shapes:  depth (B, S, H, W) -> (B, S, H, W).
    """
    scale = truth.middle / _median_over(depth, truth.valid)
    return _relative(scale[:, None, None, None] * depth, truth)


def _relative(aligned: Tensor, truth: ExactTruth) -> Tensor:
    safe = torch.where(truth.valid, truth.depth, 1.0)
    return torch.where(truth.valid, (aligned - safe).abs() / safe, 0.0)


def _median_over(values: Tensor, chosen: Tensor) -> Tensor:
    """Lower median of the chosen values of each clip; NaN without any: (B,)."""
    # What is not chosen becomes NaN, so clips with different counts stay one operation on their device.
    return torch.where(chosen, values, torch.nan).flatten(1).nanmedian(1).values


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    total = torch.where(chosen, values.double(), 0.0).flatten(1).sum(1)
    return total / chosen.flatten(1).sum(1)


def _pair_scores(predicted: Tensor, true: Tensor, frames: int) -> dict[str, Tensor]:
    errors: PairErrors = pair_errors(predicted, true, STANDING_STILL)
    with_first = pair_numbers(frames)[0] == 0
    # A camera that never turns is wrong by exactly the true turn.
    turned, turns = errors.rotation_deg, rotation_angle_deg(true[..., :3])
    found = {"relative_rotation": turned.mean(1), "relative_rotation_identity": turns.mean(1)}
    found["rotation"] = turned[:, with_first].mean(1)
    found["rotation_identity"] = turns[:, with_first].mean(1)
    found["direction"] = errors.median_direction()
    found["without_direction"] = (~errors.has_direction).sum(1)
    return found | {f"auc_{limit}": errors.auc(limit) for limit in LIMITS_DEG}


def _path_scores(centres: Tensor, true_centres: Tensor) -> dict[str, Tensor]:
    steps = torch.arange(true_centres.shape[1], dtype=true_centres.dtype, device=true_centres.device)
    ahead = true_centres.new_tensor([0.0, 0.0, 1.0])
    line = (steps[:, None] * ahead).expand_as(true_centres)
    return {"ate": similarity_residual(centres, true_centres), "ate_line": similarity_residual(line, true_centres)}


def _mean_length(vectors: Tensor) -> Tensor:
    length: Tensor = vectors.norm(dim=-1)
    return length[:, 1:].mean(1)


@dataclass(frozen=True)
class ClipScores:
    """Errors of one clip, or their means over clips; each with what no network at all would get.

    Units:   abs_rel is relative, after one median scale for the clip; `constant` is a depth map of one value.
             rotation_deg is the mean angle to the true rotation from the first frame; `still` is a camera that never
             turns. direction_deg is the median over all pairs of frames of the angle to the true direction of motion,
             90 by chance; NaN if the camera stands still.
    """

    abs_rel: float
    abs_rel_constant: float
    rotation_deg: float
    rotation_deg_still: float
    direction_deg: float


def score_clip(prediction: Prediction, clip: Clip) -> ClipScores:
    """Compare a prediction with the truth of the clip it was made from."""
    depth, cameras = torch.from_numpy(prediction.depth), torch.from_numpy(prediction.cam_from_world)
    true_depth, K, true_cameras = clip.depth.cpu(), clip.K.cpu(), clip.cam_from_world.cpu()
    truth = ExactTruth.of(true_depth[None], K[None], true_cameras[None])
    (row,) = score(ExactAnswer(depth[None], cameras[None]), truth).rows()
    return ClipScores(
        abs_rel=row["abs_rel"],
        abs_rel_constant=row["abs_rel_constant"],
        rotation_deg=row["rotation"],
        rotation_deg_still=row["rotation_identity"],
        direction_deg=row["direction"],
    )


def mean_scores(found: Sequence[ClipScores]) -> ClipScores:
    """Mean of each number over clips; clips with a standing camera do not count for the direction.

    Raises:  UserError without a clip.
    """
    if not found:
        raise UserError("no clips to average; give the scores of one or more")
    rows = np.array([astuple(scores) for scores in found])
    known = np.isfinite(rows)
    # A direction that no clip has stays NaN.
    total, count = np.where(known, rows, 0).sum(0), np.where(known.any(0), known.sum(0), np.nan)
    return ClipScores(*(total / count).tolist())


def held_out_clips(model: PAGE4D, clips: int = 8, frames: int = 4, split: str = "dynamic-test") -> list[ClipScores]:
    """Scores of the first clips of a split that training never sees, at the network's own size."""
    size = model.config.img_size
    found = []
    for index in range(clips):
        clip = split_clip(split, index, height=size, width=size, frames=frames)
        found.append(score_clip(predict(model, clip.images), clip))
    return found


def held_out_scores(model: PAGE4D, clips: int = 8, frames: int = 4, split: str = "dynamic-test") -> ClipScores:
    """The means of `held_out_clips`."""
    return mean_scores(held_out_clips(model, clips, frames, split))
