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
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from page4d.data.association import associate, nearest_within, read_index
from page4d.data.datasets.base import DepthOptions, Source
from page4d.data.datasets.calibration import Calibration, pose_from_tum
from page4d.data.datasets.formats import read_json
from page4d.data.datasets.paired import PairedSequences, Triple
from page4d.schema import UserError

DYNAMIC_SEQUENCES = tuple(
    f"rgbd_dataset_freiburg3_{body}_{camera}"
    for body in ("sitting", "walking")
    for camera in ("halfsphere", "rpy", "static", "xyz")
)
# https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats#intrinsic_camera_calibration_of_the_kinect
CALIBRATIONS = {
    "freiburg1": Calibration(640, 480, 517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "freiburg2": Calibration(640, 480, 520.9, 521.0, 325.1, 249.7, (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "freiburg3": Calibration(640, 480, 535.4, 539.2, 320.1, 247.6),
}


class TUM(PairedSequences):
    """TUM RGB-D from the official archives, paired by time stamp.

    `selection="all"` gives every colour image with a pose and a depth image within 20 ms, each used once, as the
    benchmark's own association does. `selection="public"` gives what the released evaluation used: every third image
    with a pose, the first 90 of them, with the nearest depth image within 40 ms (two images may share one), less
    those without depth. Frame numbers are lines of rgb.txt, counted from 0.
    """

    name = "tum"
    marker = "rgbd_dataset_*/rgb.txt"
    source = Source(
        "TUM RGB-D",
        "the freiburg3 'dynamic objects' archives (.tgz)",
        "about 4 GB for the eight sequences, see the page",
        "https://cvg.cit.tum.de/data/datasets/rgbd-dataset/download",
    )

    def __init__(
        self,
        root: Path | str,
        split: str = "test",
        *,
        sequences: Sequence[str] | None = None,
        min_frames: int = 1,
        depth: DepthOptions | None = None,
        selection: Literal["all", "public"] = "all",
        calibration: Calibration | None = None,
    ) -> None:
        if selection not in ("all", "public"):
            raise UserError(f"tum: selection={selection!r}; choose all or public")
        self.selection = selection
        self.calibration = calibration
        super().__init__(root, split, sequences=sequences, min_frames=min_frames, depth=depth)

    def _pair(self, folder: Path) -> dict[int, Triple]:
        rgb = read_index(folder / "rgb.txt", tolerant=True)
        depth = read_index(folder / "depth.txt", tolerant=True)
        poses = read_index(folder / "groundtruth.txt", n_words=7, tolerant=True)
        pairs = associate([e.stamp_s for e in rgb], [e.stamp_s for e in poses], 0.02)
        depth_of = self._depth_of([e.stamp_s for e in rgb], [e.stamp_s for e in depth])
        triples = {}
        for i, j in pairs[::3][:90] if self.selection == "public" else pairs:
            k = depth_of[i]
            if k is not None:
                pose = pose_from_tum(np.array([float(word) for word in poses[j].words[:7]]))
                triples[i] = Triple(folder / rgb[i].words[0], folder / depth[k].words[0], pose)
        return triples

    def _depth_of(self, rgb_s: list[float], depth_s: list[float]) -> list[int | None]:
        """For each colour image the index of its depth image, None where there is none."""
        if self.selection == "public":
            return [nearest_within(depth_s, stamp, 0.04) for stamp in rgb_s]
        partner = dict(associate(rgb_s, depth_s, 0.02))
        return [partner.get(i) for i in range(len(rgb_s))]

    def calibration_of(self, sequence: str) -> Calibration:
        """The calibration given, the sequence's own calibration.json (`page4d prepare synthetic` writes one), or the
        official one of the camera in the sequence's name.

        Errors:  UserError if the name has no freiburg1, 2 or 3 in it and none was given.
        """
        if self.calibration is not None:
            return self.calibration
        own = self.root / sequence / "calibration.json"
        if own.is_file():
            stored = read_json(own)
            return Calibration(*(stored[key] for key in ("width", "height", "fx", "fy", "cx", "cy")))
        match = re.search(r"freiburg[123]", sequence)
        if match is None:
            raise UserError(f"tum: {sequence} names no freiburg camera; pass calibration=Calibration(...)")
        return CALIBRATIONS[match.group()]
