"""TUM RGB-D: hand-held Kinect sequences with motion capture.

Official layout, one folder for each extracted archive:

    <root>/rgbd_dataset_freiburg3_<name>/
      rgb.txt  depth.txt            "stamp file" in seconds
      groundtruth.txt               "stamp tx ty tz qx qy qz qw", world from camera, optical frame, 100 Hz
      rgb/<stamp>.png  depth/<stamp>.png

Depth is a 16-bit PNG in 1/5000 m (quantum 0.2 mm), 0 = no measurement. There is no mask of what moves.

Differs from the public loader: it uses the ROS default intrinsics (525, 525, 319.5, 239.5) for freiburg3, whose
calibration is (535.4, 539.2, 320.1, 247.6); it pairs prepared files by position, so that one dropped depth image
shifts all later ones; and it needs a prepared `rgb_90` folder, where this one reads the download itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from page4d.data.association import DEPTH_WITHIN_S, POSE_WITHIN_S, IndexRow, associate, nearest_within, read_index
from page4d.data.datasets.base import Download
from page4d.data.datasets.calibration import Calibration
from page4d.data.datasets.formats import read_json
from page4d.data.datasets.paired import PairedFiles, PairedSequences
from page4d.io.names import checked_relative
from page4d.io.trajectories import poses_from_rows
from page4d.schema import MALFORMED, UserError

# https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats#intrinsic_camera_calibration_of_the_kinect
FREIBURG1 = Calibration(640, 480, 517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633))
FREIBURG2 = Calibration(640, 480, 520.9, 521.0, 325.1, 249.7, (0.2312, -0.7849, -0.0033, -0.0001, 0.9172))
FREIBURG3 = Calibration(640, 480, 535.4, 539.2, 320.1, 247.6)
# What `page4d prepare synthetic` calls its sequences.
SYNTHETIC = "rgbd_dataset_synthetic_"
CALIBRATIONS = {"freiburg1": FREIBURG1, "freiburg2": FREIBURG2, "freiburg3": FREIBURG3}


@dataclass(frozen=True)
class TUMOptions:
    """Which frames are taken and through which lens.

    `selection="all"` gives every colour image with a pose and a depth image within 20 ms, each used once, as the
    benchmark's own association does. `selection="public"` gives what the released evaluation used: every third image
    with a pose, the first 90 of them, with the nearest depth image within 40 ms (two images may share one), less
    those without depth. Without a `calibration` it is that of the camera in the sequence's name.
    """

    selection: Literal["all", "public"] = "all"
    calibration: Calibration | None = None


class TUM(PairedSequences[TUMOptions]):
    """TUM RGB-D from the official archives, paired by time stamp; frame numbers are lines of rgb.txt, from 0."""

    name = "tum"
    options_kind = TUMOptions
    marker = "rgbd_dataset_*/rgb.txt"
    download = Download(
        "TUM RGB-D",
        "the freiburg3 'dynamic objects' archives (.tgz)",
        "about 4 GB for the eight sequences, see the page",
        "https://cvg.cit.tum.de/data/datasets/rgbd-dataset/download",
    )

    def _scan(self) -> dict[str, list[int]]:
        names = [path.parent.name for path in self.root.glob(self.marker)]
        if names and all(name.startswith(SYNTHETIC) for name in names):
            # Made by `page4d prepare synthetic`: the official names that a configuration asks for cannot be there.
            self.selection = replace(self.selection, sequences=None)
        return super()._scan()

    def _pair(self, folder: Path) -> dict[int, PairedFiles]:
        rgb = read_index(folder / "rgb.txt", tolerant=True)
        depth = read_index(folder / "depth.txt", tolerant=True)
        rows = read_index(folder / "groundtruth.txt", n_words=7, tolerant=True)
        rgb_s = [row.stamp_s for row in rgb]
        pairs = associate(rgb_s, [row.stamp_s for row in rows], POSE_WITHIN_S)
        depth_of = self._depth_of(rgb_s, [row.stamp_s for row in depth])
        if self.options.selection == "public":
            pairs = pairs[::3][:90]
        files = {}
        for i, j in pairs:
            k = depth_of[i]
            if k is not None:
                pose = poses_from_rows(rows[j].numbers(7)[None], rows[j].place)[0]
                files[i] = PairedFiles(_listed(folder, rgb[i]), _listed(folder, depth[k]), pose)
        return files

    def _depth_of(self, rgb_s: list[float], depth_s: list[float]) -> list[int | None]:
        """For each colour image the index of its depth image, None where there is none."""
        if self.options.selection == "public":
            return [nearest_within(depth_s, stamp, DEPTH_WITHIN_S) for stamp in rgb_s]
        partner = dict(associate(rgb_s, depth_s, POSE_WITHIN_S))
        return [partner.get(i) for i in range(len(rgb_s))]

    def calibration_of(self, sequence: str) -> Calibration:
        """The calibration given, the sequence's own calibration.json (`page4d prepare synthetic` writes one), or the
        official one of the camera in the sequence's name.

        Raises:  UserError if the name has no freiburg1, 2 or 3 in it and none was given.
        """
        if self.options.calibration is not None:
            return self.options.calibration
        own = self.root / sequence / "calibration.json"
        if own.is_file():
            return read_calibration(own)
        match = re.search(r"freiburg[123]", sequence)
        if match is None:
            raise UserError(f"tum: {sequence} names no freiburg camera; pass calibration=Calibration(...)")
        return CALIBRATIONS[match.group()]


def _listed(folder: Path, row: IndexRow) -> Path:
    return folder / checked_relative(row.words[0], row.place)


def read_calibration(path: Path) -> Calibration:
    """A calibration.json as `page4d prepare synthetic` writes it.

    Raises:  UserError if it lacks a number of the camera.
    """
    stored = read_json(path)
    try:
        size = int(stored["width"]), int(stored["height"])
        fx, fy, cx, cy = (float(stored[key]) for key in ("fx", "fy", "cx", "cy"))
    except MALFORMED as error:
        raise UserError(f"{path} is no calibration ({error!r}); expected width, height, fx, fy, cx, cy") from error
    return Calibration(*size, fx, fy, cx, cy)
