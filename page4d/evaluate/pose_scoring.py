"""A sequence's trajectory against its truth: which poses belong together, the errors, and the files beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.sequence import EvalSequence, pair_frames
from page4d.io.trajectories import Trajectory, rigid_inverse, write_tum
from page4d.schema import Prediction, SequenceScore, UserError

if TYPE_CHECKING:
    from page4d.evaluate.pose import PoseErrors


def score_pose(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """Trajectory errors; writes the trajectory and its report where `rules.files` says."""
    from page4d.evaluate.pose import pose_errors  # brings evo, which the other tasks do without

    if sequence.read_trajectory is None:
        raise UserError(f"{sequence.name} has no ground-truth trajectory; this benchmark cannot score poses")
    stored = sequence.read_trajectory()
    gt, pred = _pair_trajectories(sequence, stored, prediction, rules)
    try:
        errors = pose_errors(gt, pred, rules.protocol.pairing == "position", sequence.name)
    except UserError as error:
        raise UnscorableError(str(error)) from error
    _write_files(sequence, prediction, rules, gt, pred, errors)
    items = {
        "ate": tuple(errors.per_pose.tolist()),
        "rpe_trans": tuple(errors.per_step_trans.tolist()),
        "rpe_rot_deg": tuple(errors.per_step_rot_deg.tolist()),
    }
    values = {"ate": errors.ate, "rpe_trans": errors.rpe_trans, "rpe_rot_deg": errors.rpe_rot_deg}
    notes = {"pairs": float(errors.pairs), "without_pose": float((~stored.known).sum())}
    return SequenceScore(sequence.name, values, 1.0, (), items, notes)


def _pair_trajectories(
    sequence: EvalSequence, gt: Trajectory, prediction: Prediction, rules: Rules
) -> tuple[Trajectory, Trajectory]:
    """True and predicted poses that belong together."""
    poses = rigid_inverse(prediction.cam_from_world)
    pairs = pair_frames(sequence, gt.stamps.tolist(), rules.protocol, "pose")
    # The released order: counts are compared first, so a wrong pairing of equal counts goes unnoticed (E6, E7).
    if rules.protocol.pairing == "position" and len(gt) != len(poses):
        numbers = np.arange(len(poses), dtype=np.float64)
        return gt.select(np.flatnonzero(gt.known)), Trajectory(poses, numbers)
    # A frame whose truth has no pose cannot be scored; the others can.
    known = gt.known
    ours, theirs = [], []
    for i, j in pairs:
        if known[j]:
            ours.append(i)
            theirs.append(j)
    return gt.select(theirs), Trajectory(poses[ours], gt.stamps[theirs])


def _write_files(
    sequence: EvalSequence,
    prediction: Prediction,
    rules: Rules,
    gt: Trajectory,
    pred: Trajectory,
    errors: PoseErrors,
) -> None:
    from page4d.evaluate.pose import plot_trajectories, write_pose_files, write_pose_report

    if rules.files is None:
        return
    folder = rules.files / sequence.name
    write_pose_files(folder, prediction, pred, rules.legacy_quaternion_order)
    write_tum(folder / "gt_traj.txt", gt)
    write_pose_report(rules.files / f"{sequence.name}_eval_metric.txt", errors)
    plot_trajectories(rules.files / f"{sequence.name}_traj_error.png", gt, errors, sequence.name)
