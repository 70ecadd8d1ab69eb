"""A quick look at how good a network is on clips with exact truth: depth, rotation, direction of motion.

The benchmarks of this folder measure on datasets; this is for tests and chapters, where a few synthetic clips and a
baseline beside each number say whether the network has learnt anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch
from torch import Tensor

from page4d.evaluate.metrics import DepthOptions, depth_errors
from page4d.geometry import relative_to_first, rotation_angle_deg
from page4d.inference import predict
from page4d.model import PAGE4D
from page4d.schema import Clip, Prediction
from page4d.world import split_clip

STANDING_STILL_M = 0.02  # below this the direction of a camera's motion means nothing


@dataclass(frozen=True)
class ViewErrors:
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


def view_errors(prediction: Prediction, clip: Clip) -> ViewErrors:
    """Compare a prediction with the truth of the clip it was made from."""
    truth = clip.depth.cpu().numpy()
    options = DepthOptions(alignment="median", max_depth=None)
    pose = relative_to_first(torch.from_numpy(prediction.cam_from_world).double())[1:]
    true_pose = relative_to_first(clip.cam_from_world.cpu().double())[1:]
    turn, true_turn = pose[:, :, :3], true_pose[:, :, :3]
    return ViewErrors(
        abs_rel=depth_errors(prediction.depth, truth, options).abs_rel,
        abs_rel_constant=depth_errors(np.ones_like(truth), truth, options).abs_rel,
        rotation_deg=float(rotation_angle_deg(turn @ true_turn.mT).mean()),
        rotation_deg_still=float(rotation_angle_deg(true_turn).mean()),
        direction_deg=_direction_deg(_centres(pose), _centres(true_pose)),
    )


def held_out_errors(model: PAGE4D, clips: int = 8, frames: int = 4, split: str = "dynamic-test") -> ViewErrors:
    """Mean errors over the first clips of a split that training never sees, at the network's own size."""
    size = model.config.img_size
    found = []
    for index in range(clips):
        clip = split_clip(split, index, height=size, width=size, frames=frames)
        found.append(view_errors(predict(model, clip.images), clip))
    return mean_errors(found)


def mean_errors(found: Sequence[ViewErrors]) -> ViewErrors:
    """Mean of each number over clips; clips with a standing camera do not count for the direction."""
    rows = np.array([astuple(errors) for errors in found])
    return ViewErrors(*np.nanmean(rows, axis=0).tolist())


def _centres(cam_from_world: Tensor) -> Tensor:
    return -(cam_from_world[:, :, :3].mT @ cam_from_world[:, :, 3:]).squeeze(-1)


def _direction_deg(centres: Tensor, true_centres: Tensor) -> float:
    moved = true_centres.norm(dim=-1) > STANDING_STILL_M
    if not moved.any():
        return float("nan")
    a, b = centres[moved], true_centres[moved]
    # atan2 keeps small angles exact where arccos of a rounded cosine would not.
    angle = torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))
    return float(torch.rad2deg(angle).mean())
