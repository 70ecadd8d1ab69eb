"""The Spring data set: an animated film in stereo, with disparity, flow and maps at twice the image's resolution.

Official layout after extraction of train_frame_*, train_disp1_*, train_cam_data and train_maps:

    <root>/train/0001/
      frame_left/frame_left_0001.png                 1920 x 1080; the same for right
      disp1_left/disp1_left_0001.dsp5                HDF5 `disparity`, 3840 x 2160 grid, values in pixels of the image
      cam_data/intrinsics.txt                        fx fy cx cy, one row for each frame, pixels of the image
      cam_data/extrinsics.txt                        16 numbers, one row for each frame: left camera from world
      maps/skymap_left/, maps/rigidmap_FW_left/, maps/rigidmap_BW_left/     optional, 3840 x 2160 masks

Depth = 0.065 fx / disparity at every second sample of both axes; no sample is interpolated.

Differs from the public loader: it rescales the disparity by the network's input width but keeps fx, so that depth is
3840 / width times too large (7.4 times at 518 px) while poses stay metric; it interpolates disparity across edges and
holes; it gives the right camera the left one's pose; it falls back to invented cameras; with archives beside the
extracted tree it switches to a mode that mixes all sequences. Sky is invalid here where the sky map is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import Download, Frame, SceneDataset
from page4d.data.datasets.formats import read_hdf5, read_mask, read_rgb, read_table
from page4d.io.names import by_number, list_files
from page4d.measured import is_measured
from page4d.schema import UserError

BASELINE_M = 0.065


@dataclass(frozen=True)
class SpringOptions:
    """`eye` is left or right."""

    eye: Literal["left", "right"] = "left"


class Spring(SceneDataset[SpringOptions]):
    """Spring training sequences seen by one eye; `moving` is the official map of non-rigid motion."""

    name = "spring"
    options_kind = SpringOptions
    splits = ("train",)
    min_frames = 8
    download = Download(
        "Spring",
        "train_frame_left.zip, train_disp1_left.zip (or right), train_cam_data.zip and train_maps.zip",
        "about 13 GB of frames for each eye, and disparities of the same order; the page lists the archives",
        "https://spring-benchmark.org (https://doi.org/10.18419/darus-3376)",
    )

    def _scan(self) -> dict[str, list[int]]:
        kind = f"frame_{self.options.eye}"
        folders = sorted(self.folder.glob(f"*/{kind}"))
        return {folder.parent.name: list(by_number(list_files(folder, {".png"}, kind))) for folder in folders}

    def image_files(self, sequence: str) -> dict[int, Path]:
        """A sequence's images by frame number."""
        return {number: self._file(sequence, "frame", number, "png") for number in self.frame_numbers(sequence)}

    def _file(self, sequence: str, kind: str, number: int, suffix: str) -> Path:
        stem = f"{kind}_{self.options.eye}"
        return self.folder / sequence / stem / f"{stem}_{number:04d}.{suffix}"

    def _frame(self, sequence: str, number: int) -> Frame:
        image = read_rgb(self._file(sequence, "frame", number, "png"))
        pose, K = self._camera(sequence, number)

        def read_depth() -> NDArray[np.float32]:
            stored = read_hdf5(self._file(sequence, "disp1", number, "dsp5"), "disparity")
            depth = depth_from_disparity(stored, K[0, 0], image.shape[:2])
            sky = self._map(sequence, "skymap", number)
            return depth if sky is None else np.where(sky, 0, depth).astype(np.float32)

        return Frame(image, read_depth, pose, K, moving=self._moving(sequence, number))

    def _map(self, sequence: str, kind: str, number: int) -> NDArray[np.bool_] | None:
        path = self._file(f"{sequence}/maps", kind, number, "png")
        return read_mask(path)[::2, ::2] if path.is_file() else None

    def _moving(self, sequence: str, number: int) -> NDArray[np.bool_] | None:
        """Motion towards the next frame; the last frame has none, so its motion from the one before is taken."""
        forward = self._map(sequence, "rigidmap_FW", number)
        return forward if forward is not None else self._map(sequence, "rigidmap_BW", number)

    def _camera(self, sequence: str, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        folder = self.folder / sequence / "cam_data"
        intrinsics, extrinsics = _rows(folder / "intrinsics.txt", 4), _rows(folder / "extrinsics.txt", 16)
        rows = len(extrinsics) if len(intrinsics) == 1 else min(len(intrinsics), len(extrinsics))
        if number > rows:
            raise UserError(f"{folder} has cameras for {rows} frames; there is none for frame {number}")
        fx, fy, cx, cy = intrinsics[0 if len(intrinsics) == 1 else number - 1]
        pose = extrinsics[number - 1].reshape(4, 4).copy()
        if self.options.eye == "right":
            pose[0, 3] -= BASELINE_M
        return pose, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def depth_from_disparity(disparity: NDArray[np.float32], fx: float, image_hw: tuple[int, ...]) -> NDArray[np.float32]:
    """z-depth (H, W) in metres from disparity (2 H, 2 W) in pixels of the H x W image.

    Raises:  UserError if the grid is not twice the image.
    """
    if disparity.shape != (2 * image_hw[0], 2 * image_hw[1]):
        raise UserError(
            f"disparity of {disparity.shape[1]} x {disparity.shape[0]}, expected twice the image's {image_hw[1]} x "
            f"{image_hw[0]}; the image was resized, or this is no .dsp5 of Spring"
        )
    sample = disparity[::2, ::2].astype(np.float64)
    usable = is_measured(sample)
    depth = BASELINE_M * fx / np.where(usable, sample, 1)
    return np.where(usable, depth, 0).astype(np.float32)


@lru_cache(maxsize=256)
def _rows(path: Path, columns: int) -> NDArray[np.float64]:
    return read_table(path, columns)
