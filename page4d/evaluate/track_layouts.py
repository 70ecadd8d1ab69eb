"""Rendered data sets: PointOdyssey, Kubric, Dynamic Replica, Spring; and files of TAPVid-3D."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from page4d.data.datasets import ClipSelection
from page4d.data.datasets.dynamic_replica import DynamicReplica, DynamicReplicaOptions
from page4d.data.datasets.kubric import Kubric, KubricOptions
from page4d.data.datasets.pointodyssey import PointOdyssey, PointOdysseyOptions
from page4d.data.datasets.spring import Spring
from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.image_sets import with_pictures
from page4d.evaluate.protocol import Protocol
from page4d.evaluate.sequence import Camera, DepthMap, EvalSequence, MotionTruth
from page4d.evaluate.track_truth import (
    TrackTruth,
    in_place_of,
    lift_tracks,
    lifted,
    select_frames,
    through_cameras,
)
from page4d.io.arrays import npz_names, read_npz
from page4d.io.depth_formats import read_cam, read_dpt
from page4d.io.names import by_number
from page4d.io.trajectories import check_rigid, rigid_inverse
from page4d.result.original import check_intrinsics
from page4d.schema import Clip, UserError

Rendered = PointOdyssey | Kubric | DynamicReplica | Spring


def pointodyssey(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """The release's own layout, split test; the truth of points is the release's own where it has one.

    Note:    its masks tell bodies apart, not which of them move, so errors are not split into moving and still here.
    """
    selection = ClipSelection(split="test", min_frames=benchmark.min_frames)
    dataset = PointOdyssey(root, selection, PointOdysseyOptions(tracks=True))
    for sequence in _of(dataset):
        yield replace(sequence, read_tracks=partial(_released_tracks, dataset, sequence.name))


def _released_tracks(dataset: PointOdyssey, name: str, numbers: Sequence[int]) -> TrackTruth:
    """`trajs_3d` where depth has no edge, as everywhere; a scene without it is lifted from its 2-D tracks and depth."""
    from_depth = _lifted_by(dataset, name, numbers)
    stored = dataset.world_tracks(name, numbers)
    return from_depth if stored is None else in_place_of(from_depth, stored, name)


def kubric(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """MOVi-F as `page4d prepare kubric` writes it, with tracks, split validation."""
    selection = ClipSelection(split="validation", min_frames=benchmark.min_frames)
    return _of(Kubric(root, selection, KubricOptions(tracks=True)))


def dynamic_replica(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """The release's own layout, split test, left camera."""
    selection = ClipSelection(split="test", min_frames=benchmark.min_frames)
    return _of(DynamicReplica(root, selection, DynamicReplicaOptions(camera="left")))


def spring(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """The release's own layout, left eye; its test split has no public depth."""
    dataset = Spring(root, ClipSelection(min_frames=benchmark.min_frames))
    return (replace(sequence, read_tracks=None) for sequence in _of(dataset))


def _of(dataset: Rendered) -> Iterable[EvalSequence]:
    """Sequences whose truth the loader of training reads; the picture of a frame stands for its depth file, too."""
    for name in dataset.sequences:
        numbers = {path: number for number, path in dataset.image_files(name).items()}
        files, stamps = tuple(numbers), tuple(map(float, numbers.values()))
        one = partial(_one, dataset, name, numbers)
        sequence = EvalSequence(name, files, stamps, files, stamps, read_tracks=partial(_lifted_by, dataset, name))
        depth, camera, motion = partial(_depth, one), partial(_camera, one), partial(_motion, one)
        yield replace(sequence, read_depth=depth, read_camera=camera, read_motion=motion)


def _one(dataset: Rendered, name: str, numbers: Mapping[Path, int], image: Path) -> Clip:
    return dataset.read(name, [numbers[image]])


def _depth(one: Callable[[Path], Clip], image: Path) -> DepthMap:
    return one(image).depth[0].numpy()


def _camera(one: Callable[[Path], Clip], image: Path) -> Camera:
    clip = one(image)
    return rigid_inverse(clip.cam_from_world[0].double().numpy()), clip.K[0].double().numpy()


def _motion(one: Callable[[Path], Clip], image: Path) -> MotionTruth | None:
    moving = one(image).moving
    return None if moving is None else MotionTruth(moving[0].numpy(), np.ones(moving.shape[1:], np.bool_))


def _lifted_by(dataset: Rendered, name: str, numbers: Sequence[int]) -> TrackTruth:
    return lifted(dataset.load(name, numbers))


def tapvid3d(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`<name>.npz` as released, and `frames/<name>/00000.jpg`, its pictures unpacked by the user, counted from 0."""
    for path, images in with_pictures(sorted(root.glob("*.npz")), root, f"files of {root}"):
        sequence = EvalSequence.of_stamped(path.stem, by_number(images))
        yield replace(sequence, read_tracks=partial(read_tapvid3d, path))


def read_tapvid3d(path: Path, numbers: Sequence[int]) -> TrackTruth:
    """Tracks of a TAPVid-3D file: points in each frame's camera, one lens for all, cameras where they move.

    Raises:  UserError for arrays of other shapes, a lens that is none and cameras that are not rigid.
    """
    points, seen, lens = read_npz(path, "tracks_XYZ", "visibility", "fx_fy_cx_cy")
    frames = len(points)
    if points.shape != (*seen.shape, 3) or lens.shape != (4,):
        raise UserError(f"{path} holds tracks_XYZ {points.shape}, visibility {seen.shape}; expected (T, N, 3), (T, N)")
    fx, fy, cx, cy = lens.astype(np.float64)
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    check_intrinsics(K)
    if max(numbers) >= frames:
        raise UserError(f"{path} holds tracks of {frames} frames, but there is a picture of frame {max(numbers)}")
    truth = through_cameras(points.astype(np.float64), seen.astype(bool), K, _cameras(path, frames))
    return select_frames(truth, numbers)


def _cameras(path: Path, frames: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    if "extrinsics_w2c" not in npz_names(path):
        return np.tile(np.eye(4), (frames, 1, 1))
    (cameras,) = read_npz(path, "extrinsics_w2c")
    if cameras.shape != (frames, 4, 4):
        raise UserError(f"{path} holds extrinsics_w2c {cameras.shape}, expected {(frames, 4, 4)}")
    check_rigid(cameras, path)
    return cameras.astype(np.float64)


def synthetic_tracks(training: Path, name: str, numbers: Sequence[int]) -> TrackTruth:
    """Exact 2-D tracks of `tracks/<name>.npz`, lifted by exact depth."""
    xy, seen = read_npz(training / "tracks" / f"{name}.npz", "xy", "seen")
    at = [number - 1 for number in numbers]
    depth, K, poses = [], [], []
    for number in numbers:
        stem = f"frame_{number:04d}"
        lens, pose = read_cam(training / "camdata_left" / name / f"{stem}.cam")
        depth.append(read_dpt(training / "depth" / name / f"{stem}.dpt"))
        K.append(lens)
        poses.append(pose)
    where, there = xy[at].astype(np.float64), seen[at].astype(bool)
    return lift_tracks(where, there, np.stack(depth), np.stack(K), np.stack(poses))
