"""TUM RGB-D: stamped PNGs, index files, and motion capture at 100 Hz between the images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from page4d.schema import Clip
from writers.scene import images_u8, poses_4x4, save_image

START_S = 1311868164.363181
RGB_STEP_S, DEPTH_LATE_S, POSE_LATE_S, POSE_STEP_S = 1 / 30, 0.011, 0.003, 0.01


def write(root: Path, clips: Mapping[str, Clip]) -> None:
    """Write sequences; a name such as rgbd_dataset_freiburg3_walking_xyz says which camera it was."""
    for name, clip in clips.items():
        stamps = START_S + RGB_STEP_S * np.arange(len(clip))
        write_images(root / name, clip, stamps)
        lines = [f"{stamp:.6f} rgb/{stamp:.6f}.png" for stamp in stamps]
        _lines(root / name / "rgb.txt", "# color images\n# file: 'x.bag'\n# timestamp filename", lines)
        late = stamps + DEPTH_LATE_S
        lines = [f"{stamp:.6f} depth/{stamp:.6f}.png" for stamp in late]
        _lines(root / name / "depth.txt", "# depth maps\n# file: 'x.bag'\n# timestamp filename", lines)
        write_ground_truth(root / name / "groundtruth.txt", stamps, np.linalg.inv(poses_4x4(clip)))


def write_images(folder: Path, clip: Clip, stamps: np.ndarray) -> None:
    """rgb/<stamp>.png and, a little later, depth/<stamp>.png in 1/5000 m."""
    depth = np.rint(clip.depth.numpy().astype(np.float64) * 5000)
    assert depth.max() < 65536, "the scene is deeper than 13.1 m, which this format cannot hold"
    for stamp, pixels, values in zip(stamps, images_u8(clip), depth.astype(np.uint16), strict=True):
        save_image(folder / "rgb" / f"{stamp:.6f}.png", pixels)
        save_image(folder / "depth" / f"{stamp + DEPTH_LATE_S:.6f}.png", values)


def write_ground_truth(path: Path, stamps: np.ndarray, poses: np.ndarray) -> None:
    """The poses (S, 4, 4) 3 ms after their images, with rows of other poses 10 and 20 ms after them."""
    rows = []
    for stamp, pose in zip(stamps, poses, strict=True):
        quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat()
        for k in range(3):
            # The rows in between stand elsewhere: to take one of them is an error that shows.
            values = np.concatenate((pose[:3, 3] + 0.4 * k, quaternion))
            rows.append(f"{stamp + POSE_LATE_S + k * POSE_STEP_S:.6f} " + " ".join(f"{v:.7f}" for v in values))
    _lines(path, "# ground truth trajectory\n# file: 'x.bag'\n# timestamp tx ty tz qx qy qz qw", rows)


def _lines(path: Path, header: str, lines: list[str]) -> None:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
