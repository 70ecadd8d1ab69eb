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
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from page4d.data.association import Entry, associate, read_index
from page4d.data.datasets.base import DepthOptions, Source
from page4d.data.datasets.calibration import Calibration, pose_from_tum
from page4d.data.datasets.paired import PairedSequences, Triple
from page4d.io.trajectories import rigid_inverse
from page4d.schema import UserError

PUBLIC_SEQUENCES = tuple(
    f"rgbd_bonn_{name}" for name in ("balloon2", "crowd2", "crowd3", "person_tracking2", "synchronous")
)
PUBLIC_WINDOW = (30, 140)
CALIBRATION = Calibration(
    640, 480, 542.822841, 542.576870, 315.593520, 237.756098, (0.039903, -0.099343, -0.000730, -0.000144, 0.0)
)
ROS_AXES = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
PUBLISHED_MARKER_FROM_SENSOR = np.array(
    [
        [1.0157, 0.1828, -0.2389, 0.0113],
        [0.0009, -0.8431, -0.6413, -0.0098],
        [-0.3009, 0.6147, -0.8085, 0.0111],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def nearest_rigid(transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transform with its 3 x 3 block replaced by the nearest rotation (in the Frobenius norm)."""
    u, _, vt = np.linalg.svd(transform[:3, :3])
    rigid = transform.copy()
    rigid[:3, :3] = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    return rigid


MARKER_FROM_SENSOR = nearest_rigid(PUBLISHED_MARKER_FROM_SENSOR)


def world_from_cam(world_from_marker: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pose of the depth camera (OpenCV axes) from a row of groundtruth.txt, both (4, 4)."""
    return np.asarray(rigid_inverse(ROS_AXES) @ world_from_marker @ ROS_AXES @ MARKER_FROM_SENSOR)


class Bonn(PairedSequences):
    """Bonn RGB-D Dynamic from the official archives.

    `pairing="time"` takes for each colour image the pose and the depth image within 20 ms, each used once;
    `pairing="rows"` the entries of the same rank, as the public code does. `window=(30, 140)` keeps the colour images
    of these ranks (the public selection). Frame numbers are ranks of the sorted colour images, from 0.
    """

    name = "bonn"
    marker = "rgbd_bonn_*/rgb"
    source = Source(
        "Bonn RGB-D Dynamic",
        "the rgbd_bonn_*.zip archives",
        "about 0.5 GB a sequence, see the page",
        "https://www.ipb.uni-bonn.de/data/rgbd-dynamic-dataset/",
    )

    def __init__(
        self,
        root: Path | str,
        split: str = "test",
        *,
        sequences: Sequence[str] | None = None,
        min_frames: int = 1,
        depth: DepthOptions | None = None,
        pairing: Literal["time", "rows"] = "time",
        window: tuple[int, int] | None = None,
        calibration: Calibration = CALIBRATION,
    ) -> None:
        if pairing not in ("time", "rows"):
            raise UserError(f"bonn: pairing={pairing!r}; choose time or rows")
        self.pairing = pairing
        self.window = window
        self.calibration = calibration
        super().__init__(root, split, sequences=sequences, min_frames=min_frames, depth=depth)

    def calibration_of(self, sequence: str) -> Calibration:
        """The one that the dataset was opened with: the same camera recorded all sequences."""
        return self.calibration

    def _pair(self, folder: Path) -> dict[int, Triple]:
        rgb, depth = _stamped(folder / "rgb"), _stamped(folder / "depth")
        rows = read_index(folder / "groundtruth.txt", n_words=7, tolerant=True)
        ranks = range(*slice(*(self.window or (0, len(rgb)))).indices(len(rgb)))
        if self.window and len(ranks) < self.window[1] - self.window[0]:
            raise UserError(f"{folder}: {len(rgb)} colour images, needed {self.window[1]} for window={self.window}")
        matches = self._by_time(rgb, depth, rows) if self.pairing == "time" else self._by_rank(folder, rgb, depth, rows)
        return {
            i: Triple(rgb[i][1], depth[k][1], world_from_cam(pose_from_tum(_numbers(rows[j]))))
            for i, k, j in matches
            if i in ranks
        }

    @staticmethod
    def _by_time(
        rgb: list[tuple[float, Path]], depth: list[tuple[float, Path]], rows: list[Entry]
    ) -> list[tuple[int, int, int]]:
        rgb_s = [stamp for stamp, _ in rgb]
        row_of = dict(associate(rgb_s, [row.stamp_s for row in rows], 0.02))
        depth_of = dict(associate(rgb_s, [stamp for stamp, _ in depth], 0.02))
        return [(i, depth_of[i], row_of[i]) for i in sorted(row_of.keys() & depth_of.keys())]

    def _by_rank(
        self, folder: Path, rgb: list[tuple[float, Path]], depth: list[tuple[float, Path]], rows: list[Entry]
    ) -> list[tuple[int, int, int]]:
        last = (self.window or (0, len(rgb)))[1]
        if min(len(rgb), len(depth), len(rows)) < last:
            raise UserError(
                f"{folder}: {len(rgb)} colour images, {len(depth)} depth images, {len(rows)} poses; pairing by rank "
                f"needs {last} of each. Use pairing='time'"
            )
        return [(i, i, i) for i in range(last)]


def _numbers(row: Entry) -> NDArray[np.float64]:
    return np.array([float(word) for word in row.words[:7]])


def _stamped(folder: Path) -> list[tuple[float, Path]]:
    """Stamp and path of every PNG of a folder, by increasing stamp."""
    found = []
    for path in folder.glob("*.png"):
        try:
            found.append((float(path.stem), path))
        except ValueError as error:
            raise UserError(f"{path}: the file name is no time stamp in seconds") from error
    if not found:
        raise UserError(f"{folder} has no PNG files; extract the archive again")
    return sorted(found)
