"""Trajectory files: TUM, Sintel `.cam` folders, DyCheck JSON folders and Replica/ScanNet matrices, read and written.

Every reader returns camera-to-world 4x4 matrices in the file's own unit, which is what trajectory tools compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.geometry import invert, matrix_to_quaternion, quaternion_to_matrix, to_4x4
from page4d.io.depth_formats import LARGEST, read_cam
from page4d.io.names import by_number, list_files
from page4d.io.text_rows import entries, words_of
from page4d.places import json_of, no_file
from page4d.schema import MALFORMED, UserError, atomic_write

Array = NDArray[np.floating[Any]]
# How far columns of a rotation may be from length 1 and right angles: files hold as few as three digits.
ROTATION_TOLERANCE = 0.01
MAX_POSITION = 1e12  # micrometres of a thousand kilometres


@dataclass(frozen=True)
class Trajectory:
    """Camera poses over time.

    Shapes:  world_from_camera (N, 4, 4), stamps (N,).
    Units:   positions in the source's unit; stamps in seconds, or frame numbers where the source has no clock.
    Frame:   OpenCV camera axes where the source has them; the world is the source's.
    """

    world_from_camera: NDArray[np.float64]
    stamps: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.stamps)
        if self.world_from_camera.shape != (n, 4, 4) or self.stamps.shape != (n,):
            raise ValueError(f"Trajectory: {self.world_from_camera.shape} poses for {self.stamps.shape} stamps")

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def positions(self) -> NDArray[np.float64]:
        """Camera centres (N, 3)."""
        return self.world_from_camera[:, :3, 3]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which of the N poses there are: a source may have a row without numbers for a frame."""
        return np.asarray(np.isfinite(self.world_from_camera).all((1, 2)))

    def select(self, indices: Sequence[int] | NDArray[np.integer[Any]] | slice) -> Trajectory:
        """The poses at these positions, in this order."""
        return Trajectory(self.world_from_camera[indices], self.stamps[indices])


def rigid_inverse(pose: Array) -> NDArray[np.float64]:
    """Inverse of rigid transforms `[R | t]`, such as world from camera: (*, 3 or 4, 4) -> (*, 4, 4) in float64."""
    return to_4x4(invert(torch.from_numpy(np.array(pose, np.float64)))).numpy()


def quaternions(world_from_camera: Array) -> NDArray[np.float64]:
    """Orientations as x, y, z, w with w >= 0: (N, 4, 4) -> (N, 4)."""
    rotation = torch.from_numpy(np.array(world_from_camera[:, :3, :3], np.float64))
    return matrix_to_quaternion(rotation).numpy()


def _rows(path: Path, columns: tuple[int, ...], finite: bool = True, titled: bool = False) -> NDArray[np.float64]:
    """Numbers of a text file, comments, empty lines and a title left out; every row of the same allowed length."""
    if not path.is_file():
        raise UserError(f"{no_file(path)}; expected a text file with one pose a line")
    rows: list[list[float]] = []
    for number, line in entries(path):
        if titled and number == 1:
            continue
        words = words_of(line, f"{path}, line {number}")
        try:
            values = [float(word) for word in words]
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error!s:.120}; expected numbers only") from error
        uneven = len(values) not in columns or (rows and len(values) != len(rows[0]))
        if uneven or (finite and not np.isfinite(values).all()):
            wanted = " or ".join(str(c) for c in columns)
            raise UserError(f"{path}, line {number}: {len(values)} values, expected {wanted} finite ones on every line")
        rows.append(values)
    if not rows:
        raise UserError(f"{path} holds no pose; expected at least one line")
    return np.array(rows)


def no_rotations(matrices: Array) -> NDArray[np.bool_]:
    """Which of N matrices (N, 3, 3) scale, shear or mirror."""
    gram = matrices @ matrices.transpose(0, 2, 1)
    uneven = np.abs(gram - np.eye(3)).max((1, 2)) > ROTATION_TOLERANCE
    return np.asarray(uneven | (np.linalg.det(matrices) < 0))


def check_rigid(poses: Array, path: Path | str) -> None:
    """Look at matrices (N, 3 or 4, 4) from a file: a scaled, mirrored or transposed one would be inverted silently.

    Note:    a matrix with a number that is not finite says that its frame has no pose, and is passed over.
    Raises:  UserError naming the first pose that is not rigid.
    """
    known = np.asarray(np.isfinite(poses).all((-2, -1)))
    checked = np.where(known[:, None, None], poses, np.eye(4)[: poses.shape[1]])
    last: NDArray[np.bool_] = (np.abs(checked[:, 3:] - [0, 0, 0, 1]) > ROTATION_TOLERANCE).any((1, 2))
    wrong = no_rotations(checked[:, :3, :3]) | last
    _check_reach(checked[:, :3, 3], path)
    if wrong.any():
        i = int(wrong.argmax())
        why = "its last row is not 0 0 0 1" if last[i] else "its first three columns are no rotation"
        raise UserError(f"{path}: pose {i} is not rigid, {why}; expected camera to world as [R | t], row by row")


def _check_reach(positions: Array, path: Path | str) -> None:
    """Refuse positions whose squares and products leave what numbers can say: no unit makes a path that long."""
    far = np.abs(positions).max(-1, initial=0) > MAX_POSITION
    if far.any():
        i = int(far.argmax())
        x, y, z = positions[i]
        raise UserError(f"{path}: pose {i} stands at {x:g} {y:g} {z:g}; expected at most {MAX_POSITION:g} either way")


def read_tum(path: Path | str) -> Trajectory:
    """Read `stamp tx ty tz qx qy qz qw` rows (camera-to-world).

    Raises:  UserError with the line for wrong columns, text, NaN or a zero quaternion.
    """
    rows = _rows(Path(path), (8,))
    return Trajectory(poses_from_rows(rows[:, 1:], str(path)), rows[:, 0])


def read_trajectory(path: Path | str) -> Trajectory:
    """Read camera-to-world poses of a TUM file, or of 12 or 16 numbers a row (KITTI, Replica), whose stamps are NaN.

    Raises:  UserError with the line for another number of columns, text, NaN or a zero quaternion, and for a matrix
             that is not rigid.
    """
    rows = _rows(Path(path), (8, 12, 16))
    if rows.shape[1] == 8:
        return Trajectory(poses_from_rows(rows[:, 1:], str(path)), rows[:, 0])
    return Trajectory(_rigid_rows(rows, path), np.full(len(rows), np.nan))


def _rigid_rows(rows: NDArray[np.float64], path: Path | str) -> NDArray[np.float64]:
    """Poses (N, 4, 4) of rows of 12 or 16 numbers; NaN where a number of a row is not finite."""
    stored = rows.reshape(len(rows), -1, 4)
    check_rigid(stored, path)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = stored[:, :3]
    poses[~np.isfinite(rows).all(1)] = np.nan
    return poses


def read_realestate(path: Path | str) -> Trajectory:
    """Read a camera file of RealEstate10K: a line with the video's address, then 19 numbers a frame.

    Units:   stamps in microseconds, positions in a scale of the clip's own.
    Note:    a row is stamp, fx, fy, cx, cy as shares of the image, two zeros, and camera from world (3, 4) row by row.
    Raises:  UserError with the line for another number of columns, text or NaN, and for a pose that is not rigid.
    """
    rows = _rows(Path(path), (19,), titled=True)
    cam_from_world = rows[:, 7:].reshape(-1, 3, 4)
    check_rigid(cam_from_world, path)
    return Trajectory(rigid_inverse(cam_from_world), rows[:, 0])


def read_matrix(path: Path | str) -> NDArray[np.float64]:
    """Read one rigid transform (4, 4), four numbers a line.

    Raises:  UserError with the line for text or NaN, another number of rows or columns, or a matrix that is not rigid.
    """
    rows = _rows(Path(path), (4,))
    if len(rows) != 4:
        raise UserError(f"{path} has {len(rows)} rows of 4 numbers, expected 4 rows")
    check_rigid(rows[None], path)
    return rows


def read_matrix_blocks(path: Path | str) -> NDArray[np.float64]:
    """Read rigid transforms (N, 4, 4) below each other, four numbers a line; NaN says that a frame has no pose.

    Raises:  UserError with the line for text, a number of rows that is no multiple of four, or a matrix that is not
             rigid.
    """
    rows = _rows(Path(path), (4,), finite=False)
    if len(rows) % 4:
        raise UserError(f"{path} has {len(rows)} rows of 4 numbers, expected a multiple of 4")
    poses = rows.reshape(-1, 4, 4)
    check_rigid(poses, path)
    return poses


def poses_from_rows(rows: Array, place: str) -> NDArray[np.float64]:
    """Rigid transforms (N, 4, 4) from rows tx ty tz qx qy qz qw (N, 7), quaternions of any length.

    Raises:  UserError that starts with `place` for a value that is not finite, or a zero quaternion.
    """
    wrong = ~np.isfinite(rows).all(1) | (np.linalg.norm(rows[:, 3:], axis=1) < 1e-6)
    if wrong.any():
        number = int(wrong.argmax())
        values = " ".join(f"{value:g}" for value in rows[number])
        raise UserError(f"{place}: pose {number} is {values}, a zero quaternion or not finite; expected a rigid pose")
    _check_reach(rows[:, :3], place)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = quaternion_to_matrix(torch.from_numpy(np.array(rows[:, 3:], np.float64))).numpy()
    poses[:, :3, 3] = rows[:, :3]
    return poses


def write_tum(path: Path | str, trajectory: Trajectory, legacy_quaternion_order: bool = False) -> None:
    """Write true TUM rows, `stamp tx ty tz qx qy qz qw`, stamps as %.6f.

    legacy_quaternion_order: write qw first, as the released scripts do (E21); every TUM reader misreads it.
    """
    quaternion = quaternions(trajectory.world_from_camera)
    if legacy_quaternion_order:
        quaternion = quaternion[:, [3, 0, 1, 2]]
    with atomic_write(path, "w") as stream:
        for stamp, t, q in zip(trajectory.stamps, trajectory.positions, quaternion, strict=True):
            stream.write(f"{stamp:.6f} " + " ".join(f"{v:.9f}" for v in (*t, *q)) + "\n")


def write_kitti(path: Path | str, world_from_camera: Array) -> None:
    """Write KITTI rows: the upper 3 x 4 of each camera-to-world matrix (N, 4, 4), row by row; no times."""
    rows = world_from_camera[:, :3].reshape(-1, 12)
    with atomic_write(path, "w") as stream:
        np.savetxt(stream, rows, "%.9e")


def read_matrices(path: Path | str, gaps: bool = False) -> Trajectory:
    """Read Replica/ScanNet rows: 12 or 16 numbers, row-major camera-to-world; stamps are 0, 1, 2, …

    gaps: a row with a number that is not finite says that its frame has no pose, as in ScanNet; it comes back as NaN.
    """
    rows = _rows(Path(path), (12, 16), finite=not gaps)
    return Trajectory(_rigid_rows(rows, path), np.arange(len(rows), dtype=np.float64))


def read_sintel_cameras(folder: Path | str) -> tuple[Trajectory, NDArray[np.float64]]:
    """Read a folder of `.cam` files in frame order: trajectory and K (N, 3, 3); stamps are frame numbers."""
    paths = by_number(list_files(Path(folder), {".cam"}))
    if not paths:
        raise UserError(f"{folder} holds no .cam file; expected MPI Sintel's camdata_left/<sequence>")
    pairs = [read_cam(path) for path in paths.values()]
    cam_from_world = np.stack([pose for _, pose in pairs])
    check_rigid(cam_from_world, folder)
    poses = rigid_inverse(cam_from_world)
    return Trajectory(poses, np.array(list(paths), np.float64)), np.stack([k for k, _ in pairs])


@dataclass(frozen=True)
class DyCheckCamera:
    """What one DyCheck camera file says.

    Shapes:  world_from_camera (4, 4); K (3, 3) for the `1x` image of `size_wh`, None where the file has no size.
    Frame:   OpenCV; pixel (0, 0) is centred at (0, 0). The file counts from the corner of the first pixel: DyCheck's
             own camera looks through (x + 0.5, y + 0.5), so the principal point is half a pixel smaller here.
    """

    world_from_camera: NDArray[np.float64]
    K: NDArray[np.float64]
    size_wh: tuple[int, int] | None
    distorted: bool


def read_dycheck_camera(path: Path | str) -> DyCheckCamera:
    """Read one DyCheck camera.

    Raises:  UserError if the file is missing, no JSON, or lacks a field, or if its pose is not rigid.
    Source:  KAIR-BAIR/dycheck, dycheck/geometry/camera.py.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is missing (DyCheck camera); check that the download was extracted completely")
    try:
        data = json_of(path)
        rotation, centre = np.array(data["orientation"], np.float64), np.array(data["position"], np.float64)
        focal, point = float(data["focal_length"]), np.array(data["principal_point"], np.float64) - 0.5
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation.reshape(3, 3).T, centre.reshape(3)
        skew, aspect = float(data.get("skew", 0.0)), float(data.get("pixel_aspect_ratio", 1.0))
        K = np.array([[focal, skew, point[0]], [0, focal * aspect, point[1]], [0, 0, 1.0]])
        if not (np.abs(K) < LARGEST).all() or min(K[0, 0], K[1, 1]) <= 0:
            raise ValueError(f"its K is {K.tolist()}")
        size = None if data.get("image_size") is None else (int(data["image_size"][0]), int(data["image_size"][1]))
        bent = bool(np.any(data.get("radial_distortion", 0)) or np.any(data.get("tangential_distortion", 0)))
    except (OSError, *MALFORMED) as error:
        kind = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{path} is not a DyCheck camera ({kind}); expected orientation, position, focal_length"
        ) from error
    check_rigid(pose[None], path)
    return DyCheckCamera(pose, K, size, bent)


def read_dycheck_cameras(folder: Path | str, camera: str = "0") -> Trajectory:
    """Read `<camera>_<frame>.json` files in frame order; stamps are frame numbers."""
    paths = by_number(list_files(Path(folder), {".json"}, f"{camera}_"))
    if not paths:
        raise UserError(f"{folder} holds no {camera}_*.json; expected a DyCheck camera folder")
    poses = [read_dycheck_camera(path).world_from_camera for path in paths.values()]
    return Trajectory(np.stack(poses), np.array(list(paths), np.float64))
