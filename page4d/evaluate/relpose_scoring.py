"""Cameras of a set of images over all of its pairs: no alignment, no order, so nothing flatters."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from page4d.evaluate.pose_auc import LIMITS_DEG, PairErrors, pair_errors, relative_poses
from page4d.evaluate.protocol import Protocol
from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.sequence import EvalSequence, true_cameras
from page4d.io.trajectories import rigid_inverse
from page4d.schema import Prediction, SequenceScore

RELPOSE_METRICS = tuple(f"{name}_{limit}" for name in ("rra", "rta", "auc") for limit in LIMITS_DEG)
STANDING_STILL = 1e-3
"""Share of a set's longest baseline below which two cameras stand at one place: their direction is noise."""

ROUNDING = 1e-6
"""Share of a camera's distance from the world's origin that float32 leaves of a baseline that is none."""


def score_relpose(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """RRA, RTA and AUC of one set of images at 3, 5, 15 and 30 degrees."""
    frames, true = known_cameras(sequence)
    ours = torch.from_numpy(prediction.cam_from_world[frames].astype(np.float64))
    return score_pairs(sequence, relative_poses(ours), true, rules)


def score_pairs(sequence: EvalSequence, ours: Tensor, true: Tensor, rules: Rules) -> SequenceScore:
    """The same of relative poses (P, 3, 4) of all pairs, which need no common world; true is (S, 4, 4)."""
    if len(true) < 2:
        raise UnscorableError(f"{len(true)} images have a true pose; expected at least two")
    errors = set_errors(ours, true, rules.protocol)
    if not errors.has_direction.any():
        raise UnscorableError("the true cameras all stand at one place, so no pair has a direction")
    values = {}
    for limit in LIMITS_DEG:
        area = errors.auc_by_degrees(limit) if rules.protocol.pair_area == "degrees" else errors.auc(limit)
        values[f"rra_{limit}"] = float(errors.rotation_accuracy(limit))
        values[f"rta_{limit}"] = float(errors.direction_accuracy(limit))
        values[f"auc_{limit}"] = float(area)
    notes = {"pairs": float(len(errors.rotation_deg)), "without_direction": float((~errors.has_direction).sum())}
    notes |= {"rotation_deg": float(errors.rotation_deg.mean()), "direction_deg": float(errors.median_direction())}
    weight = sequence.weight_in_category if rules.protocol.set_average == "categories" else 1.0
    return SequenceScore(sequence.name, values, weight, notes=notes)


def set_errors(ours: Tensor, true: Tensor, protocol: Protocol) -> PairErrors:
    """Errors of the relative poses (P, 3, 4) of all pairs, beside true cameras from world (S, 3 or 4, 4)."""
    free = protocol.direction_sign == "free"
    true_pairs = relative_poses(true)
    longest = float(true_pairs[..., 3].norm(dim=-1).max())
    rounding = ROUNDING * float(true[..., 3].norm(dim=-1).max())
    # The released script leaves no pair out, so that near pairs count with the direction of their noise.
    still = rounding if free else max(rounding, STANDING_STILL * longest)
    return pair_errors(ours, true_pairs, still, either_way=free)


def known_cameras(sequence: EvalSequence) -> tuple[list[int], Tensor]:
    """The images that have a true pose, by number, and their true cameras from world (S, 4, 4)."""
    frames, truth = true_cameras(sequence)
    return frames, torch.from_numpy(rigid_inverse(truth.world_from_camera))
