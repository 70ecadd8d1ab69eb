"""MPI Sintel: rendered film shots with depth, cameras and flow.

Official layout. The three archives may be extracted into one tree or lie side by side under their own names:

    <root>[/MPI-Sintel-training_images]/training/{final,clean,albedo}/<seq>/frame_0001.png
    <root>[/MPI-Sintel-depth-training-20150305]/training/{depth,camdata_left}/<seq>/frame_0001.{dpt,cam}
    <root>[/MPI-Sintel-training_extras]/training/flow/<seq>/frame_0001.flo          optional

Depth is float32 z-depth in nominal metres, poses are camera from world with OpenCV axes: both are used unchanged.
These archives say nothing about what moves; the rigidity maps that circulate are not part of them.

Differs from the public loader: it lists `<root>/training/final` but reads the images from another tree and crashes if
the first is not there; a missing depth file crashes its pipeline. Here every modality is looked up where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import DepthOptions, Frame, SceneDataset, Source
from page4d.data.datasets.formats import read_rgb
from page4d.io.depth_formats import read_cam, read_dpt, read_flo
from page4d.schema import UserError

EVALUATION_SEQUENCES = (
    "alley_2", "ambush_4", "ambush_5", "ambush_6", "cave_2", "cave_4", "market_2", "market_5", "market_6",
    "shaman_3", "sleeping_1", "sleeping_2", "temple_2", "temple_3",
)  # fmt: skip
_ARCHIVES = {
    "images": "MPI-Sintel-training_images",
    "depth": "MPI-Sintel-depth-training-20150305",
    "camdata_left": "MPI-Sintel-depth-training-20150305",
    "flow": "MPI-Sintel-training_extras",
}


class Sintel(SceneDataset):
    """MPI Sintel training shots; `quality` is final (with blur and fog), clean or albedo.

    Frame numbers are those of the files, from 1. Flow is given where the frames asked follow each other.
    """

    name = "sintel"
    splits = ("test", "val")
    source = Source(
        "MPI Sintel",
        "MPI-Sintel-complete.zip (or -training_images.zip) and MPI-Sintel-depth-training-20150305.zip",
        "about 5.3 GB and 1.7 GB",
        "http://sintel.is.tue.mpg.de/downloads and http://sintel.is.tue.mpg.de/depth",
    )

    def __init__(
        self,
        root: Path | str,
        split: str = "test",
        *,
        sequences: Sequence[str] | None = None,
        min_frames: int = 1,
        depth: DepthOptions | None = None,
        quality: Literal["final", "clean", "albedo"] = "final",
    ) -> None:
        if quality not in ("final", "clean", "albedo"):
            raise UserError(f"sintel: quality={quality!r}; choose final, clean or albedo")
        self.quality = quality
        super().__init__(root, split, sequences=sequences, min_frames=min_frames, depth=depth)

    def _folder(self, modality: str) -> Path | None:
        """Where a modality lies: in the common tree or in its own archive's folder."""
        leaf = self.quality if modality == "images" else modality
        places = (self.root / "training" / leaf, self.root / _ARCHIVES[modality] / "training" / leaf)
        return next((place for place in places if place.is_dir()), None)

    def _scan(self) -> dict[str, list[int]]:
        images = self._needed("images")
        return {
            folder.name: sorted(int(path.stem.rsplit("_", 1)[1]) for path in folder.glob("frame_[0-9]*.png"))
            for folder in sorted(images.iterdir())
            if folder.is_dir()
        }

    def _needed(self, modality: str) -> Path:
        folder = self._folder(modality)
        if folder is None:
            raise self._missing(self.root, f"no training/{self.quality if modality == 'images' else modality}")
        return folder

    def _frame(self, sequence: str, number: int) -> Frame:
        stem = f"frame_{number:04d}"
        image = read_rgb(self._needed("images") / sequence / f"{stem}.png")
        K, cam_from_world = read_cam(self._needed("camdata_left") / sequence / f"{stem}.cam")
        depth = self._empty_depth(image)
        if self.depth_options.load:
            depth = read_dpt(self._needed("depth") / sequence / f"{stem}.dpt")
        return Frame(image, depth, cam_from_world, K)

    def _flow(self, sequence: str, numbers: Sequence[int]) -> NDArray[np.float32] | None:
        folder = self._folder("flow")
        if folder is None:
            return None
        return np.stack([read_flo(folder / sequence / f"frame_{n:04d}.flo") for n in numbers[:-1]])
