"""Your own recordings in a plain folder: the loader to start from, and the shortest one to read.

<root>/<sequence>/
  images/000000.png     or .jpg; the last number in a name is the frame number
  depth/000000.png      16-bit PNG (or .pgm), z-depth = value / depth_per_unit (1000: millimetres), 0 = no measurement;
                        or .npy with z-depth itself
  intrinsics.txt        fx fy cx cy in pixels, one row, or one row for each image in order
  poses.txt             number tx ty tz qx qy qz qw: world from camera, OpenCV axes (x right, y down, z forward)
  moving/000000.png     optional: brighter than half = moves
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import Download, Frame, SceneDataset
from page4d.data.datasets.formats import read_mask, read_npy, read_pgm16, read_rgb, read_table
from page4d.io.depth_png import read_depth_png
from page4d.io.names import by_number
from page4d.io.trajectories import poses_from_rows, rigid_inverse
from page4d.schema import UserError

IMAGES = ("*.png", "*.jpg", "*.jpeg")


@dataclass(frozen=True)
class FolderOptions:
    """`depth_per_unit` is how many steps of a 16-bit depth map make a unit: 1000 for millimetres in metres."""

    depth_per_unit: float = 1000.0


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
        self._images: dict[str, dict[int, Path]] = {}
        self._poses: dict[str, dict[int, NDArray[np.float64]]] = {}
        for table in sorted(self.root.glob("*/poses.txt")):
            name, rows = table.parent.name, read_table(table, 8)
            self._images[name] = by_number(p for kind in IMAGES for p in (table.parent / "images").glob(kind))
            poses = poses_from_rows(rows[:, 1:], str(table))
            self._poses[name] = {int(row[0]): pose for row, pose in zip(rows, poses, strict=True)}
        return {name: sorted(images.keys() & self._poses[name].keys()) for name, images in self._images.items()}

    def _frame(self, sequence: str, number: int) -> Frame:
        path = self._images[sequence][number]
        folder = self.root / sequence
        mask = folder / "moving" / f"{path.stem}.png"
        return Frame(
            image=read_rgb(path),
            read_depth=partial(read_depth, folder / "depth" / path.stem, self.options.depth_per_unit),
            cam_from_world=rigid_inverse(self._poses[sequence][number]),
            K=self._intrinsics(sequence, number),
            moving=read_mask(mask) if mask.is_file() else None,
        )

    def _intrinsics(self, sequence: str, number: int) -> NDArray[np.float64]:
        path = self.root / sequence / "intrinsics.txt"
        rows, order = read_table(path, 4), sorted(self._images[sequence])
        if len(rows) not in (1, len(order)):
            raise UserError(f"{path} has {len(rows)} rows; expected 1, or one for each of the {len(order)} images")
        fx, fy, cx, cy = rows[0] if len(rows) == 1 else rows[order.index(number)]
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def read_depth(stem: Path, per_unit: float) -> NDArray[np.float32]:
    """The depth map of this name, whichever of the three kinds is there.

    Raises:  UserError if none is, or it cannot be read.
    """
    if (path := stem.with_name(stem.name + ".pgm")).is_file():
        return np.divide(read_pgm16(path), per_unit, dtype=np.float32)
    if (path := stem.with_name(stem.name + ".npy")).is_file():
        return read_npy(path).astype(np.float32)
    path = stem.with_name(stem.name + ".png")
    if not path.is_file():
        raise UserError(f"{path} is missing, and so are .pgm and .npy; the image of this name has no depth map")
    return read_depth_png(path, per_unit)
