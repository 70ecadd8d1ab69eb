"""What TUM and Bonn share: colour images, depth images and poses with clocks of their own, paired by time stamp."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import Frame, Options, SceneDataset
from page4d.data.datasets.calibration import Calibration
from page4d.data.datasets.formats import read_rgb
from page4d.io.depth_formats import BONN_UNITS_PER_M
from page4d.io.depth_png import read_depth_png
from page4d.io.trajectories import rigid_inverse


@dataclass(frozen=True)
class PairedFiles:
    """One colour image with the depth image and the pose that belong to it."""

    rgb: Path
    depth: Path
    world_from_cam: NDArray[np.float64]


class PairedSequences(SceneDataset[Options]):
    """Sequences that are paired when the dataset is opened: only the wanted ones, as this reads whole index files.

    `marker` is a pattern for a file or folder that stands directly in every sequence's folder.
    """

    splits = ("test", "val")
    marker: ClassVar[str]

    @abstractmethod
    def _pair(self, folder: Path) -> dict[int, PairedFiles]:
        """The frames of a sequence by number."""

    @abstractmethod
    def calibration_of(self, sequence: str) -> Calibration:
        """The lens of a sequence's colour images; depth images are registered to them."""

    def _scan(self) -> dict[str, list[int]]:
        wanted = self.selection.sequences
        folders = sorted(path.parent for path in self.root.glob(self.marker))
        chosen = [folder for folder in folders if wanted is None or folder.name in wanted]
        self._files = {folder.name: self._pair(folder) for folder in chosen}
        return {name: sorted(files) for name, files in self._files.items()}

    def _frame(self, sequence: str, number: int) -> Frame:
        files, lens = self._files[sequence][number], self.calibration_of(sequence)

        def read_depth() -> NDArray[np.float32]:
            return lens.undistort_depth(read_depth_png(files.depth, BONN_UNITS_PER_M))

        image = lens.undistort(read_rgb(files.rgb))
        return Frame(image, read_depth, rigid_inverse(files.world_from_cam), lens.undistorted_matrix())
