"""MPI Sintel: rendered film shots with depth, cameras and flow.

Official layout. The three archives may be extracted into one tree or lie side by side under their own names:

    <root>[/MPI-Sintel-training_images]/training/{final,clean,albedo}/<seq>/frame_0001.png
    <root>[/MPI-Sintel-depth-training-20150305]/training/{depth,camdata_left}/<seq>/frame_0001.{dpt,cam}
    <root>[/MPI-Sintel-training_extras]/training/flow/<seq>/frame_0001.flo          optional

Depth is float32 z-depth in nominal metres, poses are camera from world with OpenCV axes: both are used unchanged.
These archives say nothing about what moves; the rigidity maps that circulate are not part of them.

Differs from the public loader: it lists `<root>/training/final` but reads the images from another tree and crashes if
the first is not there; a missing depth file crashes its pipeline. Here every modality is looked up where it is.
Depth is not limited here: how far it is scored (max_depth, post_clip_max) stands in conf/benchmark/*-sintel.yaml, and
the lists of sequences, `fourteen` among them, in conf/dataset/sintel.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import Download, Frame, SceneDataset
from page4d.data.datasets.formats import read_rgb
from page4d.io.depth_formats import read_cam, read_dpt, read_flo
from page4d.io.names import by_number, list_files

Modality = Literal["images", "depth", "camdata_left", "flow"]
_ARCHIVES: dict[Modality, str] = {
    "images": "MPI-Sintel-training_images",
    "depth": "MPI-Sintel-depth-training-20150305",
    "camdata_left": "MPI-Sintel-depth-training-20150305",
    "flow": "MPI-Sintel-training_extras",
}
_SUFFIXES: dict[Modality, str] = {"images": ".png", "depth": ".dpt", "camdata_left": ".cam", "flow": ".flo"}


@dataclass(frozen=True)
class SintelOptions:
    """`quality` is final (with blur and fog), clean or albedo."""

    quality: Literal["final", "clean", "albedo"] = "final"


@dataclass(frozen=True)
class SintelFiles:
    """Where the files of the shots lie, in the common tree or in the folders of the archives."""

    root: Path
    quality: str = "final"

    def folder(self, modality: Modality) -> Path | None:
        """The folder of a modality, None if it is in neither place."""
        leaf = self.quality if modality == "images" else modality
        places = (self.root / "training" / leaf, self.root / _ARCHIVES[modality] / "training" / leaf)
        return next((place for place in places if place.is_dir()), None)

    def shots(self) -> list[str]:
        """Names of the shots that have pictures."""
        images = self.folder("images")
        return [] if images is None else sorted(path.name for path in images.iterdir() if path.is_dir())

    def of(self, shot: str, modality: Modality) -> dict[int, Path]:
        """A shot's files by frame number, none where the modality was not downloaded."""
        folder = self.folder(modality)
        if folder is None:
            return {}
        return by_number(list_files(folder / shot, {_SUFFIXES[modality]}, "frame_"))


class Sintel(SceneDataset[SintelOptions]):
    """MPI Sintel training shots; frame numbers are those of the files, from 1.

    Flow is given where the frames asked follow each other.
    """

    name = "sintel"
    options_kind = SintelOptions
    splits = ("test", "val")
    download = Download(
        "MPI Sintel",
        "MPI-Sintel-complete.zip (or -training_images.zip) and MPI-Sintel-depth-training-20150305.zip",
        "about 5.3 GB and 1.7 GB",
        "http://sintel.is.tue.mpg.de/downloads and http://sintel.is.tue.mpg.de/depth",
    )

    @property
    def _files(self) -> SintelFiles:
        return SintelFiles(self.root, self.options.quality)

    def _scan(self) -> dict[str, list[int]]:
        files = self._files
        if files.folder("images") is None:
            raise self._missing(self.root, f"no training/{self.options.quality}")
        return {shot: list(files.of(shot, "images")) for shot in files.shots()}

    def _path(self, shot: str, modality: Modality, number: int) -> Path:
        folder = self._files.folder(modality)
        if folder is None:
            raise self._missing(self.root, f"no training/{modality}")
        return folder / shot / f"frame_{number:04d}{_SUFFIXES[modality]}"

    def _frame(self, sequence: str, number: int) -> Frame:
        image = read_rgb(self._path(sequence, "images", number))
        K, cam_from_world = read_cam(self._path(sequence, "camdata_left", number))
        return Frame(image, partial(self._read_depth, sequence, number), cam_from_world, K)

    def _read_depth(self, sequence: str, number: int) -> NDArray[np.float32]:
        return read_dpt(self._path(sequence, "depth", number))

    def _flow(self, sequence: str, numbers: Sequence[int]) -> NDArray[np.float32] | None:
        if self._files.folder("flow") is None:
            return None
        return np.stack([read_flo(self._path(sequence, "flow", number)) for number in numbers[:-1]])
