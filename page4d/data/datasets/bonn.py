"""Bonn RGB-D Dynamic: an Xtion among moving people and objects, with motion capture.

Official layout, one folder for each extracted archive:

    <root>/rgbd_bonn_<name>/
      rgb/<stamp>.png  depth/<stamp>.png
      groundtruth.txt               "stamp tx ty tz qx qy qz qw", world from marker

Depth is a 16-bit PNG in 1/5000 m (quantum 0.2 mm), 0 = no measurement. Images carry lens distortion; they are
undistorted here to the largest pinhole image without a border, depth by nearest neighbour. There is no mask of what
moves.

Differs from the public loader: the published marker-to-sensor matrix is a rotation times 1.0593, which the public
code inverts by transposing, so that world points come out 0.891 times their size; here its 3 x 3 block is projected
onto SO(3). Images, depth and poses are paired by time stamp; the public code takes entries 30 to 139 of each list.
Benchmarks do not read this but prepared folders, as published evaluations do: distorted pictures and poses of the
marker (`bonn` in `page4d.evaluate.layouts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.data.association import POSE_WITHIN_S, IndexRow, associate, read_index
from page4d.data.datasets.base import Download
from page4d.data.datasets.calibration import Calibration
from page4d.data.datasets.paired import PairedFiles, PairedSequences
from page4d.geometry import nearest_rotation
from page4d.io.names import by_time, list_files
from page4d.io.trajectories import poses_from_rows, rigid_inverse
from page4d.schema import UserError

DISTORTION = (0.039903, -0.099343, -0.000730, -0.000144, 0.0)
CALIBRATION = Calibration(640, 480, 542.822841, 542.576870, 315.593520, 237.756098, DISTORTION)
ROS_AXES = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_PUBLISHED = [
    [1.0157, 0.1828, -0.2389, 0.0113],
    [0.0009, -0.8431, -0.6413, -0.0098],
    [-0.3009, 0.6147, -0.8085, 0.0111],
    [0.0, 0.0, 0.0, 1.0],
]
PUBLISHED_MARKER_FROM_SENSOR = np.array(_PUBLISHED)


def nearest_rigid(transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transform with its 3 x 3 block replaced by the nearest rotation (in the Frobenius norm)."""
    rigid = transform.copy()
    rigid[:3, :3] = nearest_rotation(torch.from_numpy(transform[:3, :3])).numpy()
    return rigid


MARKER_FROM_SENSOR = nearest_rigid(PUBLISHED_MARKER_FROM_SENSOR)


def world_from_bonn_marker(world_from_marker: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pose of the depth camera (OpenCV axes) from a row of groundtruth.txt, both (4, 4)."""
    return np.asarray(rigid_inverse(ROS_AXES) @ world_from_marker @ ROS_AXES @ MARKER_FROM_SENSOR)


@dataclass(frozen=True)
class BonnOptions:
    """Which frames are taken, and through which lens.

    `pairing="time"` takes for each colour image the pose and the depth image within 20 ms, each used once;
    `pairing="rows"` the entries of the same rank, as the public code does. `window=(30, 140)` keeps the colour images
    of these ranks (the public selection).
    """

    pairing: Literal["time", "rows"] = "time"
    window: tuple[int, int] | None = None
    calibration: Calibration = CALIBRATION


@dataclass(frozen=True)
class RawFiles:
    """What a sequence's folder lists: pictures and depth maps with their stamps in seconds, and rows of poses."""

    folder: Path
    rgb: list[tuple[float, Path]]
    depth: list[tuple[float, Path]]
    rows: list[IndexRow]

    @classmethod
    def of(cls, folder: Path) -> RawFiles:
        """List a sequence's folder.

        Raises:  UserError if a folder is empty, a name is no time stamp, or the poses are missing or damaged.
        """
        rows = read_index(folder / "groundtruth.txt", n_words=7, tolerant=True)
        return cls(folder, stamped_images(folder / "rgb"), stamped_images(folder / "depth"), rows)


class Bonn(PairedSequences[BonnOptions]):
    """Bonn RGB-D Dynamic from the official archives; frame numbers are ranks of the sorted colour images, from 0."""

    name = "bonn"
    options_kind = BonnOptions
    marker = "rgbd_bonn_*/rgb"
    download = Download(
        "Bonn RGB-D Dynamic",
        "the rgbd_bonn_*.zip archives",
        "about 0.5 GB a sequence, see the page",
        "https://www.ipb.uni-bonn.de/data/rgbd-dynamic-dataset/",
    )

    def calibration_of(self, sequence: str) -> Calibration:
        """The one that the dataset was opened with: the same camera recorded all sequences."""
        return self.options.calibration

    def _pair(self, folder: Path) -> dict[int, PairedFiles]:
        raw, window = RawFiles.of(folder), self.options.window
        begin, end = window or (0, len(raw.rgb))
        ranks = range(begin, min(end, len(raw.rgb)))
        if window and len(ranks) < window[1] - window[0]:
            raise UserError(
                f"{folder}: {len(raw.rgb)} colour images, expected {window[1]} for window={window}; complete the "
                "download, or take all there are with data.options.window=null"
            )
        matches = _by_time(raw) if self.options.pairing == "time" else _by_rank(raw, window)
        files = {}
        for i, k, j in matches:
            if i in ranks:
                marker = poses_from_rows(raw.rows[j].numbers(7)[None], raw.rows[j].place)[0]
                files[i] = PairedFiles(raw.rgb[i][1], raw.depth[k][1], world_from_bonn_marker(marker))
        return files


def _by_time(raw: RawFiles) -> list[tuple[int, int, int]]:
    """Ranks of colour image, depth image and pose that belong together by their stamps.

    Note:    depth within 20 ms and each map once, where `page4d prepare bonn` takes the nearest within 40 ms: a
             benchmark keeps its list of pictures, training rather loses one than learns the depth of another moment.
             The public code looks at no stamps at all (`pairing="rows"`).
    """
    rgb_s = [stamp for stamp, _ in raw.rgb]
    row_of = dict(associate(rgb_s, [row.stamp_s for row in raw.rows], POSE_WITHIN_S))
    depth_of = dict(associate(rgb_s, [stamp for stamp, _ in raw.depth], POSE_WITHIN_S))
    return [(i, depth_of[i], row_of[i]) for i in sorted(row_of.keys() & depth_of.keys())]


def _by_rank(raw: RawFiles, window: tuple[int, int] | None) -> list[tuple[int, int, int]]:
    last = len(raw.rgb) if window is None else window[1]
    if min(len(raw.rgb), len(raw.depth), len(raw.rows)) < last:
        raise UserError(
            f"{raw.folder}: {len(raw.rgb)} colour images, {len(raw.depth)} depth images, {len(raw.rows)} poses; "
            f"pairing by rank expects {last} of each. Use pairing='time'"
        )
    return [(i, i, i) for i in range(last)]


def stamped_images(folder: Path) -> list[tuple[float, Path]]:
    """Stamp in seconds and path of every PNG of a folder, by increasing stamp.

    Raises:  UserError if there is none, or a name is no time stamp.
    """
    found = by_time(list_files(folder, {".png"}))
    if not found:
        raise UserError(f"{folder} has no PNG images; this is not a complete download of the sequence")
    return list(found.items())
