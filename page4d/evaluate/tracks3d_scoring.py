"""Points followed through the world: how far a prediction has them from where they truly are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.track_truth import TrackTruth, lift_tracks
from page4d.evaluate.tracks_3d import THRESHOLDS_M, TrackErrors, scale_by_median, track_errors
from page4d.io.arrays import npz_names, read_npz
from page4d.result.pixel_map import PixelMap
from page4d.schema import Prediction, SequenceScore, UserError, atomic_write

WITHIN = tuple(f"within_{limit:g}_m" for limit in THRESHOLDS_M)
TRACK_METRICS = ("apd", "epe", *WITHIN)
SEEN_ABOVE = 0.5
Points = NDArray[np.float64]


def tracks_file(folder: Path, sequence: str) -> Path:
    """Where the 2-D tracks of a network with a track head lie, beside its prediction."""
    return folder / f"{sequence}.tracks.npz"


def score_tracks3d(sequence: EvalSequence, prediction: Prediction, rules: Rules) -> SequenceScore:
    """APD and EPE in the first camera's frame after one median scale for the whole sequence.

    Note:    `rules.followed` is "pixels": each point stays where the first frame sees it, which is all that depth
             without correspondence says, and right for what stands still; or "tracker": the network's 2-D tracks,
             lifted by its depth frame by frame; or "file": another model's points, converted.
    """
    rules.without_public("no script for tracks of this network is public")
    truth, queries = asked_points(sequence, prediction)
    seen_by_us: NDArray[np.bool_] | None = None
    if rules.followed == "file":
        ours, seen_by_us = foreign_tracks(rules.folder, sequence, truth)
    else:
        where = np.repeat(queries[None], len(prediction), 0)
        if rules.followed == "tracker":
            where, seen_by_us = stored_tracks(rules.folder, sequence, truth)
        world = world_tracks(prediction, where, rules.followed == "pixels")
        ours = in_camera(world, prediction.cam_from_world[0].astype(np.float64))
    errors = errors_of(truth, ours, seen_by_us)
    values = {"apd": errors.average_points_within, "epe": errors.end_point_error}
    values |= dict(zip(WITHIN, errors.within, strict=True))
    if seen_by_us is not None:
        values["visibility_accuracy"] = errors.visibility_accuracy
    return SequenceScore(sequence.name, values, 1.0, notes={"points": float(truth.seen.shape[1])})


def true_tracks(sequence: EvalSequence) -> TrackTruth:
    """The points that the first frame of a sequence truly sees.

    Raises:  UserError for a sequence without tracks; UnscorableError where its truth contradicts itself.
    """
    if sequence.read_tracks is None:
        raise UserError(f"{sequence.name} has no tracks; this benchmark cannot score them")
    return sequence.read_tracks([int(stamp) for stamp in sequence.image_stamps]).of_first()


def sought_tracks(sequence: EvalSequence) -> TrackTruth:
    """`true_tracks` for who asks another model for these points: what cannot be scored is not asked for.

    Raises:  UserError for a sequence without tracks, or whose truth contradicts itself.
    """
    try:
        return true_tracks(sequence)
    except UnscorableError as error:
        raise UserError(f"{error}; name the other sequences in benchmark.sequences") from error


def asked_points(sequence: EvalSequence, prediction: Prediction) -> tuple[TrackTruth, Points]:
    """The true points that the first frame and the network's input of it see, and their input pixels (N, 2)."""
    truth = true_tracks(sequence)
    queries = PixelMap.of(prediction)[0].to_input(truth.query_xy)
    shown = shown_in(queries, prediction.size_hw)
    if not shown.any():
        raise UnscorableError("no tracked point is seen in the first frame")
    kept = TrackTruth(truth.points[:, shown], truth.seen[:, shown], truth.query_xy[shown], truth.cam_from_world)
    return kept, queries[shown]


def shown_in(xy: Points, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Which input pixels (N, 2) lie in a picture."""
    height, width = size_hw
    return np.asarray(((xy >= -0.5) & (xy < np.array([width, height]) - 0.5)).all(1))


def world_tracks(prediction: Prediction, where: Points, from_first: bool) -> Points:
    """World points (S, N, 3) that a prediction has at input pixels (S, N, 2); `from_first`: its first frame's alone."""
    frames = prediction[:1] if from_first else prediction
    everything = np.ones((len(frames), where.shape[1]), np.bool_)
    found = lift_tracks(where[: len(frames)], everything, frames.depth, frames.K, frames.cam_from_world).points
    return np.repeat(found, len(prediction), 0) if from_first else found


def errors_of(truth: TrackTruth, ours_in_camera: Points, seen_by_us: NDArray[np.bool_] | None) -> TrackErrors:
    """Both in their first camera's frame, ours scaled.

    Raises:  UnscorableError for positions that are not finite, or none away from the camera.
    """
    true_in_camera = in_camera(truth.points, truth.cam_from_world)
    if not np.isfinite(ours_in_camera[truth.seen]).all():
        raise UnscorableError("some predicted positions are not finite")
    try:
        scale = scale_by_median(ours_in_camera, true_in_camera, truth.seen)
    except ValueError as error:
        raise UnscorableError(str(error)) from error
    return track_errors(scale * ours_in_camera, true_in_camera, truth.seen, seen_by_us)


def in_camera(points: Points, cam_from_world: Points) -> Points:
    """Points of the world (*, 3) as a camera [R | t] (3 or 4, 4) has them."""
    return np.asarray(points @ cam_from_world[:3, :3].T + cam_from_world[:3, 3])


def _beside(folder: Path | None, sequence: EvalSequence, missing: str) -> Path:
    path = None if folder is None else tracks_file(folder, sequence.name)
    if path is None or not path.is_file():
        raise UserError(f"{sequence.name}: no {missing}")
    return path


def stored_tracks(folder: Path | None, sequence: EvalSequence, truth: TrackTruth) -> tuple[Points, NDArray[np.bool_]]:
    """Input pixels (S, N, 2) and visibility (S, N) that the track head left beside the prediction.

    Raises:  UserError if there are none, or of other points.
    """
    path = _beside(folder, sequence, "2-D tracks beside the prediction; take weights with a track head (vggt)")
    xy, visible = read_npz(path, "xy", "visible")
    if xy.shape != (*truth.seen.shape, 2) or visible.shape != truth.seen.shape:
        raise UserError(f"{path} holds tracks {xy.shape}, expected {(*truth.seen.shape, 2)}; predict again")
    return xy.astype(np.float64), visible > SEEN_ABOVE


def foreign_tracks(
    folder: Path | None, sequence: EvalSequence, truth: TrackTruth
) -> tuple[Points, NDArray[np.bool_] | None]:
    """Another model's points (S, N, 3) in its first camera's frame and, where it says so, their visibility (S, N).

    Raises:  UserError if there are none, or of other points than were asked for.
    """
    path = _beside(folder, sequence, "converted tracks; `page4d evaluate convert --tracks FOLDER` brings them")
    return read_foreign_tracks(path, truth.seen.shape)


def read_foreign_tracks(path: Path, wanted: tuple[int, ...]) -> tuple[Points, NDArray[np.bool_] | None]:
    """`points` (S, N, 3) and, if there, `seen` (S, N) of an npz.

    Raises:  UserError for other shapes than frames and points `wanted`.
    """
    stored = dict(zip(npz_names(path), read_npz(path), strict=True))
    if "points" not in stored or stored["points"].shape != (*wanted, 3):
        found = {name: array.shape for name, array in stored.items()}
        raise UserError(
            f"{path} holds {found}, expected points {(*wanted, 3)}: `page4d evaluate queries` names the points"
        )
    seen = stored.get("seen")
    if seen is not None and seen.shape != wanted:
        raise UserError(f"{path} holds seen {seen.shape}, expected {wanted}")
    return stored["points"].astype(np.float64), None if seen is None else seen.astype(bool)


def write_queries(sequences: Sequence[EvalSequence], folder: Path) -> list[Path]:
    """The points that a tracks benchmark asks for, as `<sequence>.csv` with x and y in pixels of the first image.

    Raises:  UserError as `sought_tracks`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for sequence in sequences:
        asked = sought_tracks(sequence).query_xy
        path = folder / f"{sequence.name}.csv"
        with atomic_write(path, "w") as stream:
            stream.write("x,y\n" + "".join(f"{x:.4f},{y:.4f}\n" for x, y in asked))
        written.append(path)
    return written
