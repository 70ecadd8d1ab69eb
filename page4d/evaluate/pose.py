"""Trajectory errors through evo: association, Sim(3) alignment, absolute and relative pose errors, and their files.

evo is GPL-3 and imported here only. The released scripts call evo's command-line functions with keywords that
current versions reject; `evo.core` has kept its interface, gives the same numbers, and reads no settings file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from evo.core import metrics, sync
from evo.core.trajectory import PoseTrajectory3D
from numpy.typing import NDArray

from page4d.io.trajectories import Trajectory, write_tum
from page4d.schema import Prediction, UserError, atomic_write

MAX_STAMP_DIFFERENCE_S = 0.01


@dataclass(frozen=True)
class PoseErrors:
    """Errors after a Sim(3) alignment of the estimate onto the ground truth.

    Units:  ate and rpe_trans in the ground truth's unit, rpe_rot_deg in degrees per frame step; all RMSE.
    """

    ate: float
    rpe_trans: float
    rpe_rot_deg: float
    pairs: int
    per_pose: NDArray[np.float64]
    per_step_trans: NDArray[np.float64]
    per_step_rot_deg: NDArray[np.float64]
    aligned: Trajectory
    report: str


def to_evo(trajectory: Trajectory) -> PoseTrajectory3D:
    """The same trajectory as evo holds it."""
    return PoseTrajectory3D(poses_se3=list(trajectory.world_from_camera), timestamps=trajectory.stamps)


def pose_errors(gt: Trajectory, pred: Trajectory, by_position: bool = False, name: str = "") -> PoseErrors:
    """ATE, RPE translation and RPE rotation of an estimated trajectory.

    by_position: equally long trajectories take the ground truth's stamps, as the released scripts do; otherwise, and
        for unequal lengths, poses pair up by stamps at most 0.01 apart.
    Raises:  UserError if fewer than three poses pair up, or if the ground truth does not move off one line.
    Source:  evo's APE and RPE (delta 1 frame, all pairs), as in CUT3R, MonST3R and the released scripts.
    """
    if by_position and len(gt) == len(pred):
        pred = Trajectory(pred.world_from_camera, gt.stamps)
    reference, estimate = _pair_poses(gt, pred, name)
    try:
        estimate.align(reference, correct_scale=True)
    except Exception as error:  # evo.core.geometry.GeometryException and numpy's LinAlgError
        raise UserError(f"{name or 'sequence'}: the trajectory cannot be aligned ({error})") from error
    translation, rotation = metrics.PoseRelation.translation_part, metrics.PoseRelation.rotation_angle_deg
    ape, steps_rot, steps_trans = metrics.APE(translation), _relative(rotation), _relative(translation)
    blocks = []
    for metric in (ape, steps_rot, steps_trans):
        metric.process_data((reference, estimate))
        result = metric.get_result()
        result.info["title"] = f"{metric}\n(with Sim(3) Umeyama alignment)"
        blocks.append(result.pretty_str())
    aligned = Trajectory(np.stack(estimate.poses_se3), np.asarray(estimate.timestamps))
    report = f"Seq: {name} \n\n" + "".join(blocks)
    ate, trans, turn = _rmse(ape), _rmse(steps_trans), _rmse(steps_rot)
    per_pose, per_trans, per_turn = (np.asarray(metric.error) for metric in (ape, steps_trans, steps_rot))
    return PoseErrors(ate, trans, turn, estimate.num_poses, per_pose, per_trans, per_turn, aligned, report)


def _pair_poses(gt: Trajectory, pred: Trajectory, name: str) -> tuple[PoseTrajectory3D, PoseTrajectory3D]:
    try:
        truth, estimate = sync.associate_trajectories(to_evo(gt), to_evo(pred), max_diff=MAX_STAMP_DIFFERENCE_S)
    except sync.SyncException as error:
        raise UserError(
            f"{name or 'sequence'}: no pose of the {len(pred)} predicted has a stamp of the truth"
        ) from error
    if estimate.num_poses < 3:
        raise UserError(
            f"{name or 'sequence'}: only {estimate.num_poses} of {len(pred)} predicted and {len(gt)} true poses pair "
            f"up within {MAX_STAMP_DIFFERENCE_S} s; an alignment needs three"
        )
    return truth, estimate


def _relative(relation: metrics.PoseRelation) -> metrics.RPE:
    return metrics.RPE(relation, delta=1, delta_unit=metrics.Unit.frames, rel_delta_tol=0.01, all_pairs=True)


def _rmse(metric: metrics.APE | metrics.RPE) -> float:
    return float(metric.get_statistic(metrics.StatisticsType.rmse))


def write_pose_files(
    folder: Path, prediction: Prediction, pred: Trajectory, legacy_quaternion_order: bool = False
) -> None:
    """Write `pred_traj.txt` (TUM order), `pred_focal.txt` (f_x, f_y) and `pred_intrinsics.txt` (K, nine a line).

    Units:   pixels of the network's input.
    Note:    the released files hold f_x alone and repeat it as f_y, which a squashed input makes wrong (E5).
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tum(folder / "pred_traj.txt", pred, legacy_quaternion_order)
    K = prediction.K.astype(np.float64)
    for name, rows in (("pred_focal.txt", K[:, [0, 1], [0, 1]]), ("pred_intrinsics.txt", K.reshape(-1, 9))):
        with atomic_write(folder / name, "w") as stream:
            np.savetxt(stream, rows, fmt="%.6f")


# The released script reads its numbers back from this text, and counts what it does not find as 0 (E11); ours are kept.
def write_pose_report(path: Path, errors: PoseErrors) -> None:
    """Write `<sequence>_eval_metric.txt`: evo's own three result blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as stream:
        stream.write(errors.report)


def plot_axes(gt: Trajectory) -> tuple[int, int]:
    """The two ground-truth axes of largest variance, the largest first."""
    order = np.argsort(gt.positions.var(axis=0))[::-1]
    return int(order[0]), int(order[1])


def plot_trajectories(path: Path, gt: Trajectory, errors: PoseErrors, title: str = "") -> None:
    """Draw truth (dashed) and aligned estimate in the plane where the truth moves most; positions in its unit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across, up = plot_axes(gt)
    figure = Figure(figsize=(5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    axes.plot(gt.positions[:, across], gt.positions[:, up], "--", color="0.5", label="ground truth")
    aligned = errors.aligned.positions
    axes.plot(aligned[:, across], aligned[:, up], color="tab:blue", label="prediction, Sim(3)-aligned")
    axes.set(xlabel=f"{'xyz'[across]} (unit of the ground truth)", ylabel=f"{'xyz'[up]}", title=title)
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        figure.savefig(stream, format="png", dpi=120)
