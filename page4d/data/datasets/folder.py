"""Your own recordings in a plain folder: the loader to start from, and the shortest one to read.

<root>/<sequence>/
  images/000000.png     any picture; its number is the last one in the name, or the name is its time in seconds
  depth/000000.png      16-bit PNG, PGM or TIFF, z-depth = value / depth_per_unit (1000: millimetres), 0 = no
                        measurement; or .npy or float TIFF with z-depth itself
  intrinsics.txt        fx fy cx cy in pixels, one row, or one row for each image in order
  poses.txt             number (or time) tx ty tz qx qy qz qw: world from camera; x right, y down, z forward
  moving/000000.png     optional: brighter than half = moves
  masks/000000.png      optional: darker than half = does not count, its pixels have no depth

Depth maps and masks have the names of their images. Where names are times, a depth map or a pose may be up to 20 ms
away, and frames are numbered from 0 in the order of time. Transparent pixels are white and have no depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.data.association import POSE_WITHIN_S, associate
from page4d.data.datasets.base import Download, Frame, SceneDataset
from page4d.data.datasets.formats import (
    MaskedPicture,
    read_mask,
    read_pgm16,
    read_picture,
    read_png16,
    read_table,
    read_tiff,
)
from page4d.io.arrays import read_npy
from page4d.io.names import by_number, by_time, list_files, time_stamps_s
from page4d.io.suffixes import picture_suffixes
from page4d.io.trajectories import poses_from_rows, rigid_inverse
from page4d.schema import UserError, notice


@dataclass(frozen=True)
class FolderOptions:
    """`depth_per_unit` is how many steps of a 16-bit depth map make a unit: 1000 for millimetres in metres."""

    depth_per_unit: float = 1000.0

    def __post_init__(self) -> None:
        if not self.depth_per_unit > 0:
            raise UserError(f"depth_per_unit is {self.depth_per_unit}; expected a positive number, 1000 for mm")


class Folder(SceneDataset[FolderOptions]):
    """Recordings in plain folders. Frames are the images that have a row in poses.txt."""

    name = "folder"
    options_kind = FolderOptions
    splits = ("all",)
    download = Download("own recordings", "nothing", "see the layout", "page4d/data/datasets/folder.py")

    def _missing(self, path: Path, why: str = "no such folder") -> UserError:
        wanted = "<sequence>/images, depth, intrinsics.txt, poses.txt"
        return UserError(f"{path}: {why}; expected {wanted} as in {__file__}")

    def _scan(self) -> dict[str, list[int]]:
        folders = sorted(table.parent for table in self.root.glob("*/poses.txt"))
        self._recordings = {folder.name: Recording.of(folder) for folder in folders}
        for name in self.selection.sequences or self._recordings:
            if name in self._recordings:
                self._recordings[name].check(with_depth=self.selection.depth.load)
        return {name: sorted(recording.poses) for name, recording in self._recordings.items()}

    def _frame(self, sequence: str, number: int) -> Frame:
        recording = self._recordings[sequence]
        picture = read_picture(recording.images[number])
        cam_from_world, K = rigid_inverse(recording.poses[number]), recording.read_intrinsics(number)
        read_depth = partial(self._read_depth, recording, number, picture)
        return Frame(picture.rgb, read_depth, cam_from_world, K, moving=recording.read_mask("moving", number))

    def _read_depth(self, recording: Recording, number: int, picture: MaskedPicture) -> NDArray[np.float32]:
        depth = read_own_depth(recording.depth_of(number), self.options.depth_per_unit)
        for name, counts in (("image", picture.opaque), ("mask", recording.read_mask("masks", number))):
            if counts is not None and counts.shape != depth.shape:
                sizes = f"{counts.shape[1]} x {counts.shape[0]}, its depth map {depth.shape[1]} x {depth.shape[0]}"
                raise UserError(f"{recording.images[number]}: the {name} is {sizes}; make them one size")
            depth = depth if counts is None else np.where(counts, depth, 0).astype(np.float32)
        return depth


@dataclass(frozen=True)
class Recording:
    """One sequence: its pictures, depth maps and poses by frame number; masks are looked up by name.

    Shapes:  poses world from camera (4, 4) each.
    Note:    rows_alone are the numbers of poses.txt that no picture has; of times there may be more than pictures.
    """

    folder: Path
    images: dict[int, Path]
    depths: dict[int, Path]
    poses: dict[int, NDArray[np.float64]]
    rows_alone: int
    masks: dict[str, dict[str, Path]]

    @classmethod
    def of(cls, folder: Path) -> Recording:
        """List a sequence and read its poses.

        Raises:  UserError for two pictures of one number or time, or a damaged poses.txt.
        """
        pictures, table = list_files(folder / "images", picture_suffixes()), folder / "poses.txt"
        rows = read_table(table, 8)
        poses = poses_from_rows(rows[:, 1:], str(table))
        if not np.isfinite(rows[:, 0]).all() or len(set(rows[:, 0].tolist())) < len(rows):
            raise UserError(f"{table}: a number or time is not finite or comes twice; keep one row for each image")
        times = time_stamps_s(pictures)
        maps = list_files(folder / "depth", DEPTH_READERS)
        if times is None:
            images = by_number(pictures)
            row_of = {int(number): row for row, number in enumerate(rows[:, 0]) if number == int(number)}
            depths = {}
        else:
            images = dict(enumerate(by_time(pictures).values()))
            row_of = dict(associate(sorted(times), rows[:, 0].tolist(), POSE_WITHIN_S))
            depths = _nearest_in_time(sorted(times), maps)
        named = _by_stem(maps)
        depths |= {number: named[path.stem] for number, path in images.items() if path.stem in named}
        posed = {number: poses[row_of[number]] for number in images if number in row_of}
        masks = {kind: _by_stem(list_files(folder / kind, picture_suffixes())) for kind in ("moving", "masks")}
        rows_alone = 0 if times is not None else len(rows) - len(posed)
        return cls(folder, images, depths, posed, rows_alone, masks)

    def check(self, with_depth: bool) -> None:
        """Tell of pictures and poses that are left out; look for every depth map now, not in the middle of a training.

        Raises:  UserError for a frame without depth map where they are wanted.
        """
        left = len(self.images) - len(self.poses)
        if left:
            table = self.folder / "poses.txt"
            notice(f"{left} of {len(self.images)} pictures have no row in {table} and are left out")
        if self.rows_alone:
            rows = len(self.poses) + self.rows_alone
            notice(f"{self.rows_alone} of {rows} rows of {self.folder / 'poses.txt'} have no picture and are left out")
        for number in sorted(self.poses) if with_depth else ():
            self.depth_of(number)

    def read_mask(self, kind: str, number: int) -> NDArray[np.bool_] | None:
        """The mask of a frame in `moving` or `masks` that has the name of its image, None if there is none."""
        path = self.masks[kind].get(self.images[number].stem)
        return None if path is None else read_mask(path)

    def depth_of(self, number: int) -> Path:
        """The depth map of a frame.

        Raises:  UserError if there is none.
        """
        if number not in self.depths:
            raise UserError(
                f"{self.images[number]} has no depth map of its name in {self.folder / 'depth'}; add it, or read no "
                "depth at all with data.depth.load=false"
            )
        return self.depths[number]

    def read_intrinsics(self, number: int) -> NDArray[np.float64]:
        """K (3, 3) of a frame.

        Raises:  UserError unless there is one row, or one for each image, with positive focal lengths.
        """
        path = self.folder / "intrinsics.txt"
        rows, order = read_table(path, 4), list(self.images)
        if len(rows) not in (1, len(order)):
            raise UserError(f"{path} has {len(rows)} rows; expected 1, or one for each of the {len(order)} images")
        fx, fy, cx, cy = rows[0] if len(rows) == 1 else rows[order.index(number)]
        if not (np.isfinite((fx, fy, cx, cy)).all() and fx > 0 and fy > 0):
            raise UserError(f"{path}: fx fy cx cy are {fx:g} {fy:g} {cx:g} {cy:g}; expected positive focal lengths")
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _nearest_in_time(times_s: Sequence[float], maps: Sequence[Path]) -> dict[int, Path]:
    """For each frame the depth map at its time, none where the maps are not named by times."""
    if time_stamps_s(maps) is None:
        return {}
    stamped = by_time(maps)
    files = list(stamped.values())
    return {number: files[k] for number, k in associate(times_s, list(stamped), POSE_WITHIN_S)}


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by their name without suffix; of several the one whose suffix comes last in the alphabet."""
    return {path.stem: path for path in sorted(paths)}


DEPTH_READERS: dict[str, Callable[[Path], NDArray[Any]]] = {
    ".npy": read_npy,
    ".pgm": read_pgm16,
    ".png": read_png16,
    ".tif": read_tiff,
    ".tiff": read_tiff,
}


def read_own_depth(path: Path, per_unit: float) -> NDArray[np.float32]:
    """A depth map of any of the kinds; steps of 16 bits are divided by `per_unit`, other numbers are depth itself.

    Raises:  UserError if it cannot be read, or is not one map (H, W) of numbers.
    """
    stored = DEPTH_READERS[path.suffix.lower()](path)
    if stored.ndim != 2 or stored.dtype.kind not in "fiu":
        raise UserError(f"{path} holds {stored.dtype} of shape {stored.shape}; expected one map (H, W) of numbers")
    if path.suffix.lower() != ".npy" and stored.dtype == np.uint16:
        return np.asarray(np.divide(stored, per_unit, dtype=np.float32))
    return stored.astype(np.float32)
