"""The folders that `page4d prepare tum|bonn` and the public scripts leave: rgb_<n>, depth_<n>, groundtruth_<n>.txt.

Where there is a manifest it says which files belong together; without one, time stamps do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from page4d.data.association import DEPTH_WITHIN_S
from page4d.data.manifest import Manifest
from page4d.io.names import by_time, list_files
from page4d.io.suffixes import picture_suffixes
from page4d.io.trajectories import Trajectory, read_tum
from page4d.schema import UserError


@dataclass(frozen=True)
class PreparedSequence:
    """One prepared sequence: files only, with a stamp in seconds for each.

    tolerance_s: how far apart the stamps of one frame may be; 0 where a manifest pairs the files.
    paired:      whether a manifest pairs them, so that a frame without depth is known to have none.
    """

    folder: Path
    count: int
    images: dict[float, Path]
    depths: dict[float, Path]
    tolerance_s: float
    paired: bool

    @classmethod
    def of(cls, folder: Path, count: int) -> PreparedSequence:
        """List a folder prepared with `count` frames in its names.

        Raises:  UserError for a damaged manifest, or without one for a file that is not named by its time stamp.
        """
        manifest = folder / f"manifest_{count}.json"
        if manifest.is_file():
            return cls._paired(folder, count, manifest)
        images = by_time(list_files(folder / f"rgb_{count}", picture_suffixes()))
        depths = by_time(list_files(folder / f"depth_{count}", picture_suffixes()))
        return cls(folder, count, images, depths, DEPTH_WITHIN_S, False)

    @classmethod
    def _paired(cls, folder: Path, count: int, manifest: Path) -> PreparedSequence:
        rows = Manifest.load(manifest).frames
        images = {row.image_s: folder / row.image for row in rows}
        # A depth map goes under the stamp of its picture, which is what pairs them.
        depths = {row.image_s: folder / row.depth for row in rows if row.depth is not None}
        return cls(folder, count, images, depths, 0.0, True)

    def read_trajectory(self) -> Trajectory:
        """The poses, as the dataset publishes them; with a manifest under the stamps of their pictures.

        Raises:  UserError if the manifest has another number of rows than there are poses.
        """
        trajectory = read_tum(self.folder / f"groundtruth_{self.count}.txt")
        if not self.paired:
            return trajectory
        if len(trajectory) != len(self.images):
            raise UserError(
                f"{self.folder}: {len(trajectory)} poses but {len(self.images)} rows in the manifest; run "
                "`page4d prepare` again"
            )
        return Trajectory(trajectory.world_from_camera, np.array(list(self.images), np.float64))


def list_prepared(root: Path, count: int) -> dict[str, PreparedSequence]:
    """The sequences below a folder that were prepared with so many frames, by folder name."""
    folders = sorted(path.parent for path in root.glob(f"*/rgb_{count}") if path.is_dir())
    return {folder.name: PreparedSequence.of(folder, count) for folder in folders}
