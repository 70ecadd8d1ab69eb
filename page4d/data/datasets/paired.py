"""What TUM and Bonn share: colour images, depth images and poses with clocks of their own, paired by time stamp."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import DepthOptions, Frame, SceneDataset
from page4d.data.datasets.calibration import Calibration
from page4d.data.datasets.formats import read_rgb
from page4d.io.depth_png import read_depth_png
from page4d.io.trajectories import rigid_inverse

DEPTH_PER_METRE = 5000.0


@dataclass(frozen=True)
class Triple:
    """One colour image with the depth image and the pose that belong to it."""

    rgb: Path
    depth: Path
    world_from_cam: NDArray[np.float64]


class PairedSequences(SceneDataset):
    """Sequences that are paired when the dataset is opened: only the wanted ones, as this reads whole index files.

    `marker` is a pattern for a file or folder that stands directly in every sequence's folder.
    """

    splits = ("test", "val")
    marker: ClassVar[str]

    def __init__(
        self,
        root: Path | str,
        split: str,
        *,
        sequences: Sequence[str] | None,
        min_frames: int,
        depth: DepthOptions | None,
    ) -> None:
        self._triples: dict[str, dict[int, Triple]] = {}
        self._wanted = None if sequences is None else set(sequences)
        super().__init__(root, split, sequences=sequences, min_frames=min_frames, depth=depth)

    @abstractmethod
    def _pair(self, folder: Path) -> dict[int, Triple]:
        """The frames of a sequence by number."""

    @abstractmethod
    def calibration_of(self, sequence: str) -> Calibration:
        """The lens of a sequence's colour images; depth images are registered to them."""

    def _scan(self) -> dict[str, list[int]]:
        for folder in sorted(path.parent for path in self.root.glob(self.marker)):
            if self._wanted is None or folder.name in self._wanted:
                self._triples[folder.name] = self._pair(folder)
        return {name: sorted(triples) for name, triples in self._triples.items()}

    def _frame(self, sequence: str, number: int) -> Frame:
        triple = self._triples[sequence][number]
        image = read_rgb(triple.rgb)
        depth = self._empty_depth(image)
        if self.depth_options.load:
            depth = read_depth_png(triple.depth, DEPTH_PER_METRE)
        image, depth, K = self.calibration_of(sequence).undistort(image, depth)
        return Frame(image, depth, rigid_inverse(triple.world_from_cam), K)
