"""Loop two: Prediction files and ground truth to Scores; no network, no GPU."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.evaluate.alignment import NoFitError
from page4d.evaluate.benchmark import METRICS_OF, Benchmark
from page4d.evaluate.layouts import EvalSequence, pair_frames
from page4d.evaluate.metrics import (
    METRICS,
    DepthErrors,
    depth_errors,
    sequence_errors,
    valid_pixels,
    weighted_mean,
)
from page4d.evaluate.points import point_errors, predicted_points, true_points
from page4d.evaluate.predictions import Origin, same_maker
from page4d.evaluate.protocol import Protocol
from page4d.evaluate.registration import compared_depth, placed, stretched
from page4d.io.trajectories import Trajectory, rigid_inverse, write_tum
from page4d.schema import Prediction, Scores, SequenceScore, UserError
from page4d.version import code_revision

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Rules:
    """What to score and how; `files` is where trajectories and their reports go (None = nowhere)."""

    benchmark: Benchmark
    protocol: Protocol
    align: str = "scale"
    files: Path | None = None
    legacy_quaternion_order: bool = False


def score_benchmark(
    sequences: Sequence[EvalSequence], folder: Path, rules: Rules, expected: Origin | None = None
) -> Scores:
    """Score a folder of predictions.

    expected: what must have made them, if the caller knows; a mismatch is refused.
    Raises:  UserError for predictions of another model, benchmark or input than asked, or of other images, and if
             no sequence at all could be scored.
    """
    origin = Origin.load(folder)
    _check_origin(origin, rules, expected, folder)
    scores, metas = [], []
    for sequence in sequences:
        score, meta = _score_or_reason(sequence, folder, origin, rules)
        scores.append(score)
        metas.append(meta)
    task = rules.benchmark.task
    done = [s for s in scores if s.error is None]
    if not done:
        reasons = "; ".join(f"{s.name}: {s.error}" for s in scores[:3])
        raise UserError(f"{rules.benchmark.name}: none of {len(scores)} sequences could be scored ({reasons})")
    weights = np.array([s.weight for s in done])
    mean = {m: float(weights @ [s.values[m] for s in done] / weights.sum()) for m in METRICS_OF[task]}
    return Scores(
        benchmark=rules.benchmark.name,
        version=rules.benchmark.version,
        task=task,
        protocol=rules.protocol.to_dict() | ({"align": rules.align} if task == "videodepth" else {}),
        mean=mean,
        sequences=tuple(scores),
        better=dict(rules.benchmark.better),
        units=rules.benchmark.units(),
        origin=_provenance(origin, metas),
    )


def _check_origin(origin: Origin, rules: Rules, expected: Origin | None, folder: Path) -> None:
    if expected is not None:
        expected.check(origin, folder)
    if (origin.benchmark, origin.benchmark_version) != (rules.benchmark.name, rules.benchmark.version):
        raise UserError(
            f"{folder} holds predictions for {origin.benchmark} version {origin.benchmark_version}, asked to score "
            f"{rules.benchmark.name} version {rules.benchmark.version}; predict again"
        )
    if (
        origin.source == "external"
        and rules.benchmark.task == "videodepth"
        and rules.protocol.depth_source == "world_z"
    ):
        raise UserError(
            f"{folder} holds converted depth, which is own-camera depth without intrinsics; world z cannot be made of "
            "it: score it with protocol=standard, or with options.depth_source=own_camera"
        )
    inputs = rules.protocol.input_key(rules.benchmark.task)
    if origin.inputs is not None and origin.inputs != inputs:
        raise UserError(
            f"{folder}: the network saw {origin.inputs}, protocol {rules.protocol.name} needs {inputs}; "
            "predict again with this protocol"
        )


def _provenance(origin: Origin, metas: Iterable[dict[str, Any]]) -> dict[str, Any]:
    known = [meta for meta in metas if meta]
    revisions = sorted({str(m["code_revision"]) for m in known if "code_revision" in m})
    devices = sorted({str(m["device_name"]) for m in known if "device_name" in m})
    return {
        "label": origin.label,
        "source": origin.source,
        "config_sha256": origin.config_sha256,
        "weights_sha256": origin.weights_sha256,
        "predicted_by_revision": ", ".join(revisions),
        "hardware": ", ".join(devices),
        "scored_by_revision": code_revision(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _score_or_reason(
    sequence: EvalSequence, folder: Path, origin: Origin, rules: Rules
) -> tuple[SequenceScore, dict[str, Any]]:
    path, failed = folder / f"{sequence.name}.npz", folder / f"{sequence.name}.failed.json"
    if not path.exists():
        error = json.loads(failed.read_text(encoding="utf-8"))["error"] if failed.exists() else "not predicted"
        return SequenceScore(sequence.name, error=error), {}
    prediction = Prediction.load(path)
    if not same_maker(prediction.meta, origin):
        raise UserError(f"{path} was made by another network than the folder says; predict again into an empty folder")
    names = tuple(p.name for p in sequence.images)
    if prediction.frame_names != names:
        raise UserError(
            f"{path} holds {len(prediction)} frames from {prediction.frame_names[:1]}, the benchmark has {len(names)} "
            f"from {names[:1]}; the images have changed since, predict again"
        )
    try:
        return TASKS[rules.benchmark.task](sequence, prediction, rules), prediction.meta
    except (_Unscorable, NoFitError) as error:
        return SequenceScore(sequence.name, error=str(error)), prediction.meta


class _Unscorable(Exception):
    """One sequence cannot be scored for what its prediction is, not for a mistake of the user."""


@dataclass(frozen=True)
class ComparedFrame:
    """Prediction and truth of one frame at the same pixels; truth is 0 where nothing is compared.

    covered: the share of the measured pixels that the prediction shows at all.
    """

    name: str
    pred: Array
    gt: Array
    covered: float


def compared_frames(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> list[ComparedFrame]:
    """The frames of a sequence as a protocol compares them, before any alignment."""
    protocol = rules.protocol
    video = rules.benchmark.task == "videodepth"
    depth = compared_depth(prediction, protocol.depth_source if video else "own_camera")
    if not np.isfinite(depth).all():
        raise _Unscorable(f"{int((~np.isfinite(depth)).sum())} predicted depths are not finite")
    frames = []
    for i, j in pair_frames(sequence, sequence.depth_stamps, protocol, "depth map"):
        gt = sequence.read_depth(sequence.depths[j])
        hw = (gt.shape[0], gt.shape[1])
        if protocol.registration == "stretch":
            pred, seen = stretched(depth[i], hw), np.ones(hw, np.bool_)
        else:
            pred, seen = placed(depth[i], prediction.box_in_original[i], prediction.original_hw[i], hw)
        measured = int((gt > 0).sum())
        covered = float((seen & (gt > 0)).sum() / measured) if measured else 1.0
        frames.append(ComparedFrame(sequence.images[i].name, pred, np.where(seen, gt, 0), covered))
    return frames


def score_video_depth(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """All frames under one fit."""
    options = rules.benchmark.depth_options(rules.protocol, rules.align)
    frames = compared_frames(sequence, prediction, rules)
    preds, gts = [], []
    for frame in frames:
        valid = valid_pixels(frame.pred, frame.gt, options)
        preds.append(frame.pred[valid])
        gts.append(frame.gt[valid])
    if not sum(map(len, gts)):
        raise _Unscorable("no frame has a valid ground-truth pixel")
    whole, single = sequence_errors(preds, gts, options)
    return _depth_score(sequence, whole, single, frames)


def score_mono_depth(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """Every frame under its own fit."""
    options = rules.benchmark.depth_options(rules.protocol, rules.align)
    frames = compared_frames(sequence, prediction, rules)
    single = [depth_errors(frame.pred, frame.gt, options) for frame in frames]
    if not any(s.valid_pixels for s in single):
        raise _Unscorable("no frame has a valid ground-truth pixel")
    return _depth_score(sequence, weighted_mean(single), single, frames)


def _depth_score(
    sequence: EvalSequence,
    whole: DepthErrors,
    single: Sequence[DepthErrors],
    frames: Sequence[ComparedFrame],
) -> SequenceScore:
    notes = {"covered": float(np.mean([frame.covered for frame in frames])), "frames": float(len(frames))}
    if whole.fit is not None:
        notes |= {"scale": whole.fit.scale, "shift": whole.fit.shift}
    items: dict[str, tuple[float, ...]] = {m: tuple(getattr(s, m) for s in single) for m in METRICS}
    items["valid_pixels"] = tuple(float(s.valid_pixels) for s in single)
    values = {m: getattr(whole, m) for m in METRICS}
    names = tuple(frame.name for frame in frames)
    return SequenceScore(sequence.name, values, float(whole.valid_pixels), names, items, notes)


def score_pose(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """Trajectory errors; writes the trajectory and its report where `rules.files` says."""
    from page4d.evaluate.pose import PoseErrors, plot_trajectories, pose_errors, write_pose_files, write_report

    if sequence.read_trajectory is None:
        raise UserError(f"{sequence.name} has no ground-truth trajectory; this benchmark cannot score poses")
    gt = sequence.read_trajectory()
    poses = rigid_inverse(prediction.cam_from_world)
    known = np.atleast_1d(np.isfinite(gt.world_from_camera).all((1, 2)))
    # The released order: counts are compared first, so a wrong pairing of equal counts goes unnoticed (E6, E7).
    pairs = pair_frames(sequence, gt.stamps.tolist(), rules.protocol, "pose")
    by_position = rules.protocol.pairing == "position"
    if by_position and len(gt) != len(poses):
        gt, pred = gt.select(np.flatnonzero(known)), Trajectory(poses, np.arange(len(poses), dtype=np.float64))
    else:
        # A frame whose truth has no pose cannot be scored; the others can.
        pairs = [(i, j) for i, j in pairs if known[j]]
        pred = Trajectory(poses[[i for i, _ in pairs]], gt.stamps[[j for _, j in pairs]])
        gt = gt.select([j for _, j in pairs])
    try:
        errors: PoseErrors = pose_errors(gt, pred, by_position, sequence.name)
    except UserError as error:
        raise _Unscorable(str(error)) from error
    if rules.files is not None:
        folder = rules.files / sequence.name
        write_pose_files(folder, prediction, pred, rules.legacy_quaternion_order)
        write_tum(folder / "gt_traj.txt", gt)
        write_report(rules.files / f"{sequence.name}_eval_metric.txt", errors)
        plot_trajectories(rules.files / f"{sequence.name}_traj_error.png", gt, errors, sequence.name)
    items = {
        "ate": tuple(errors.per_pose.tolist()),
        "rpe_trans": tuple(errors.per_step_trans.tolist()),
        "rpe_rot_deg": tuple(errors.per_step_rot_deg.tolist()),
    }
    values = {"ate": errors.ate, "rpe_trans": errors.rpe_trans, "rpe_rot_deg": errors.rpe_rot_deg}
    notes = {"pairs": float(errors.pairs), "without_pose": float((~known).sum())}
    return SequenceScore(sequence.name, values, 1.0, (), items, notes)


def score_points(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """Accuracy and completeness of the whole sequence's points."""
    if rules.protocol.name.split("+")[0] != "standard":
        raise UserError("point maps have no public script; only protocol=standard exists for them")
    points = predicted_points(prediction)
    predicted, true = [], []
    for i, j in pair_frames(sequence, sequence.depth_stamps, rules.protocol, "depth map"):
        gt, seen = true_points(sequence, sequence.images[i], sequence.depths[j], prediction, i)
        predicted.append(points[i][seen])
        true.append(gt[seen])
    try:
        errors = point_errors(np.concatenate(predicted), np.concatenate(true))
    except UserError as error:
        raise _Unscorable(str(error)) from error
    values = {m: float(getattr(errors, m)) for m in METRICS_OF["points"]}
    return SequenceScore(sequence.name, values, 1.0, notes={"points": float(errors.points), "scale": errors.scale})


def _nothing_to_score(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    raise UserError(
        f"{rules.benchmark.name} has no ground truth; its predictions are for `page4d features` and viewing"
    )


TASKS: dict[str, Callable[[EvalSequence, Prediction, Rules], SequenceScore]] = {
    "monodepth": score_mono_depth,
    "videodepth": score_video_depth,
    "pose": score_pose,
    "points": score_points,
    "features": _nothing_to_score,
}
