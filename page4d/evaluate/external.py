"""Predictions of other models: plain depth files and trajectories into the same folders, marked as external."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.formats import read_mask, read_table
from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.predictions import Origin, mask_of, prediction_of
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.tasks import task_of
from page4d.evaluate.tracks3d_scoring import read_foreign_tracks, sought_tracks, tracks_file
from page4d.io.checksums import sha256_of
from page4d.io.depth_formats import read_depth_npy
from page4d.io.pictures import upright_size
from page4d.io.trajectories import read_tum, rigid_inverse
from page4d.result.original import check_intrinsics
from page4d.schema import Prediction, UserError, atomic_write


@dataclass(frozen=True)
class ExternalFiles:
    """Where another model's results lie.

    Note:    `depth` holds `<sequence>/<image stem>.npy`, z-depth in each frame's own camera, showing the whole image at
             any size; None where only poses are scored. A benchmark asks for depth at every pixel: 0 or less is not a
             hole that is left out, but is scored as a depth of 0, as the released scripts do. `trajectories` holds
             `<sequence>.txt`, TUM rows (xyzw, camera to world), one for each image in order; None where only depth is
             scored. `intrinsics` holds `<sequence>.txt`, K in pixels of the depth maps as nine numbers a row, one row
             for each image; only point maps need them. `masks` holds `<sequence>/<image stem>.png`, bright where
             something moves, showing the whole image at any size; only mask benchmarks need them. `tracks` holds
             `<sequence>.npz` with `points` (S, N, 3) in the first camera's frame and maybe `seen` (S, N), for the
             points of `page4d evaluate queries`.
    """

    label: str
    depth: Path | None = None
    trajectories: Path | None = None
    intrinsics: Path | None = None
    masks: Path | None = None
    tracks: Path | None = None

    def __post_init__(self) -> None:
        if not any((self.depth, self.trajectories, self.masks, self.tracks)):
            ways = "--depth FOLDER, --trajectories FOLDER, --masks FOLDER or --tracks FOLDER"
            raise UserError(f"nothing to convert: give {ways}")


@dataclass(frozen=True)
class Converted:
    """How many sequences were written, and the share of their depths that is 0 or less."""

    sequences: int
    empty: float


def convert(sequences: Sequence[EvalSequence], files: ExternalFiles, folder: Path, benchmark: Benchmark) -> Converted:
    """Write one Prediction for each sequence.

    Raises:  UserError naming the sequence and file for anything missing, depth that is not finite or nowhere positive,
             or counts that differ.
    """
    _check_task(files, benchmark)
    made = [(sequence.name, _prediction(sequence, files)) for sequence in sequences]
    followed = {} if files.tracks is None else {q.name: _tracks(q, files.tracks) for q in sequences}
    digest = sha256_of("".join(p.meta["weights_sha256"] for _, p in made).encode())
    origin = Origin(benchmark.name, benchmark.version, files.label, "external", "external", digest, None)
    origin.save(folder)
    # Tracks first: a prediction's file says that its sequence is whole.
    for name, arrays in followed.items():
        with atomic_write(tracks_file(folder, name)) as stream:
            np.savez(stream, **arrays)
    for name, prediction in made:
        prediction.meta.update(config_sha256="external", weights_sha256=digest)
        prediction.save(folder / f"{name}.npz")
    empty = sum(int((prediction.depth <= 0).sum()) for _, prediction in made)
    pixels = sum(prediction.depth.size for _, prediction in made)
    return Converted(len(made), empty / pixels)


def _check_task(files: ExternalFiles, benchmark: Benchmark) -> None:
    task = task_of(benchmark.task)
    # Who follows points through the world needs neither depth nor cameras to be scored.
    needs = () if task.with_tracks and files.tracks is not None else task.needs
    if "depth" in needs and files.depth is None:
        raise UserError(f"{benchmark.name} scores depth; give --depth FOLDER with <sequence>/<image stem>.npy")
    if "poses" in needs and files.trajectories is None:
        raise UserError(f"{benchmark.name} needs poses; give --trajectories FOLDER with <sequence>.txt in TUM order")
    if "intrinsics" in needs and files.intrinsics is None:
        raise UserError(f"{benchmark.name} lifts depth to points; give --intrinsics FOLDER with <sequence>.txt")
    if "masks" in needs and files.masks is None:
        raise UserError(f"{benchmark.name} scores masks; give --masks FOLDER with <sequence>/<image stem>.png")


def _prediction(sequence: EvalSequence, files: ExternalFiles) -> Prediction:
    s = len(sequence.images)
    sizes_hw = np.array([upright_size(path)[::-1] for path in sequence.images])
    depth = _depth(sequence, files.depth)
    if files.depth is not None:
        check_not_turned(depth, sizes_hw, sequence.name)
    poses = np.tile(np.eye(4), (s, 1, 1))
    if files.trajectories is not None:
        trajectory = read_tum(files.trajectories / f"{sequence.name}.txt")
        if len(trajectory) != s:
            raise UserError(
                f"{sequence.name}: {len(trajectory)} poses for {s} images; expected one row for each image, in order"
            )
        poses = rigid_inverse(trajectory.world_from_camera)
    mask = _masks(sequence, files.masks)
    drawn = b"" if mask is None else mask.tobytes()
    followed = b"" if files.tracks is None else (files.tracks / f"{sequence.name}.npz").read_bytes()
    digest = sha256_of(depth.tobytes() + poses.tobytes() + drawn + followed)
    meta = {"source": "external", "label": files.label, "weights_sha256": digest}
    K = _intrinsics(sequence, files.intrinsics)
    return replace(prediction_of(sequence, depth, poses, K, sizes_hw), mask=mask, meta=meta)


def _depth(sequence: EvalSequence, folder: Path | None) -> NDArray[np.float32]:
    if folder is None:
        return np.ones((len(sequence.images), 1, 1), np.float32)
    maps = [_map(folder / sequence.name / f"{p.stem}.npy") for p in sequence.images]
    return _stacked(maps, f"{sequence.name}: depth maps")


def _stacked(maps: Sequence[NDArray[Any]], called: str) -> NDArray[Any]:
    shapes = {one.shape for one in maps}
    if len(shapes) != 1:
        raise UserError(f"{called} of {len(shapes)} sizes {sorted(shapes)}; expected one size")
    return np.stack(maps)


def check_not_turned(depth: NDArray[np.float32], sizes_hw: NDArray[np.integer[Any]], name: str) -> None:
    """Refuse maps that stand where the pictures lie, or lie where they stand: maps may be squeezed, never turned.

    Raises:  UserError with both sizes.
    """
    height, width = depth.shape[1:]
    tall, wide = sizes_hw[0].tolist()
    if (height > width and tall < wide) or (height < width and tall > wide):
        raise UserError(
            f"{name}: depth maps of {height} x {width}, pictures of {tall} x {wide} (height x width); are the maps "
            "transposed, or the pictures turned by their EXIF?"
        )


def _map(path: Path) -> NDArray[np.float32]:
    depth = read_depth_npy(path)
    if not np.isfinite(depth).all():
        count = int((~np.isfinite(depth)).sum())
        raise UserError(f"{path}: {count} of {depth.size} depths are not finite; fill them, a benchmark scores all")
    if not (depth > 0).any():
        raise UserError(f"{path}: no depth is above 0; expected z-depth in front of the camera")
    return depth


def _tracks(sequence: EvalSequence, folder: Path) -> dict[str, Any]:
    """Another model's tracks as they are scored, after a look at their shape."""
    asked = sought_tracks(sequence).seen
    points, seen = read_foreign_tracks(folder / f"{sequence.name}.npz", asked.shape)
    return {"points": points} if seen is None else {"points": points, "seen": seen}


def _masks(sequence: EvalSequence, folder: Path | None) -> NDArray[np.float32] | None:
    """Drawn masks as a network's mask would say them: below 0 where something moves."""
    if folder is None:
        return None
    drawn = [read_mask(folder / sequence.name / f"{path.stem}.png") for path in sequence.images]
    return mask_of(_stacked(drawn, f"{sequence.name}: masks"))


def _intrinsics(sequence: EvalSequence, folder: Path | None) -> NDArray[np.float32]:
    """K of each frame, or NaN: depth and poses are scored without it, and nothing else may be by mistake."""
    s = len(sequence.images)
    if folder is None:
        return np.full((s, 3, 3), np.nan, np.float32)
    path = folder / f"{sequence.name}.txt"
    rows = read_table(path, 9)
    if len(rows) != s:
        raise UserError(f"{path} has {len(rows)} rows of 9 numbers, expected {s}")
    K = rows.reshape(s, 3, 3)
    try:
        check_intrinsics(K)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return K.astype(np.float32)
