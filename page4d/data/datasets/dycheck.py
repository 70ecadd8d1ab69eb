"""DyCheck iPhone: hand-held phone videos of moving things, with LiDAR depth.

Official layout:

    <root>/<scene>/
      rgb/{1x,2x}/0_00000.png       "<camera>_<time>"; camera 0 moves, 1 and 2 are the fixed test cameras
      depth/{1x,2x}/0_00000.npy     float metres, (H, W) or (H, W, 1), 0 = no measurement; camera 0 only
      camera/0_00000.json           orientation (camera from world rotation), position (camera centre), intrinsics
                                    in pixels of the 1x image, counted from the corner of its first pixel

The project's page says that depth is in millimetres; its own preparation writes the units of the point cloud, metres,
and puts everything beyond 3 m at exactly 3 m, which here is no measurement. The release has masks of what is seen by
several cameras (`covisible/`), none of what moves.

Differs from the public loader: at 2x it leaves the intrinsics at the 1x size; a missing depth or camera file there
crashes or shifts all following cameras; it ignores the pixel aspect ratio and skew of the camera file.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.data.datasets.base import Download, Frame, SceneDataset
from page4d.data.datasets.formats import read_rgb
from page4d.geometry import resize_intrinsics
from page4d.io.depth_formats import read_depth_npy
from page4d.io.names import by_number, list_files
from page4d.io.suffixes import picture_suffixes
from page4d.io.trajectories import read_dycheck_camera, rigid_inverse
from page4d.schema import UserError

FACTORS = {"1x": 1, "2x": 2}
CLAMPED_M = 3.0


@dataclass(frozen=True)
class DyCheckOptions:
    """`resolution` is 1x (720 x 960) or 2x (half of it); `camera` 0 moves, 1 and 2 are fixed and have no depth."""

    resolution: Literal["1x", "2x"] = "1x"
    camera: Literal[0, 1, 2] = 0


@dataclass(frozen=True)
class DyCheckFiles:
    """Where the files of one scene lie."""

    folder: Path
    resolution: str = "1x"

    def images(self, camera: int = 0) -> dict[int, Path]:
        """Pictures of one camera by their time."""
        return by_number(list_files(self.folder / "rgb" / self.resolution, picture_suffixes(), f"{camera}_"))

    def pictures(self) -> list[Path]:
        """Pictures of all cameras, in the order of their names."""
        return list_files(self.folder / "rgb" / self.resolution, picture_suffixes())

    def depths(self, camera: int = 0) -> dict[int, Path]:
        """Depth maps of one camera by their time."""
        return by_number(list_files(self.folder / "depth" / self.resolution, {".npy"}, f"{camera}_"))

    def camera_file(self, image: Path) -> Path:
        """The camera that belongs to a picture."""
        return self.folder / "camera" / f"{image.stem}.json"


def list_scenes(root: Path, resolution: str = "1x") -> dict[str, DyCheckFiles]:
    """The scenes below a folder by name."""
    folders = sorted(root.glob(f"*/rgb/{resolution}"))
    return {folder.parents[1].name: DyCheckFiles(folder.parents[1], resolution) for folder in folders}


class DyCheck(SceneDataset[DyCheckOptions]):
    """DyCheck iPhone scenes; frame numbers are the times in the file names.

    The fixed cameras have no depth: select `DepthRule(load=False)`.
    """

    name = "dycheck"
    options_kind = DyCheckOptions
    splits = ("test", "val", "train")
    download = Download(
        "DyCheck iPhone",
        "the zip archive of each scene",
        "28 GB for all 14 scenes",
        "https://github.com/KAIR-BAIR/dycheck (docs/DATASETS.md)",
    )

    def _scan(self) -> dict[str, list[int]]:
        scenes = list_scenes(self.root, self.options.resolution)
        self._scenes = {name: (files, files.images(self.options.camera)) for name, files in scenes.items()}
        return {name: list(images) for name, (_, images) in self._scenes.items()}

    def _frame(self, sequence: str, number: int) -> Frame:
        files, images = self._scenes[sequence]
        path = images[number]
        image = read_rgb(path)
        camera = files.camera_file(path)
        cam_from_world, K = read_camera(camera, FACTORS[self.options.resolution], image.shape[:2])
        depth = self.root / sequence / "depth" / self.options.resolution / f"{path.stem}.npy"
        return Frame(image, partial(read_depth, depth), cam_from_world, K)


def read_depth(path: Path, keep_clamped: bool = False) -> NDArray[np.float32]:
    """z-depth in metres, 0 where nothing was measured.

    Note:    the authors write min(depth, 3 m), so exactly 3 m says "3 m or more", which is no measurement;
             `keep_clamped` takes it for one, as the released evaluation does.
    """
    depth = read_depth_npy(path)
    return depth if keep_clamped else np.where(depth == CLAMPED_M, 0, depth).astype(np.float32)


def read_camera(path: Path, factor: int, image_hw: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Camera from world (3, 4) and K (3, 3) for images `factor` times smaller than the camera file says.

    Raises:  UserError for a damaged file, or if the image does not have the file's size divided by the factor.
    """
    camera = read_dycheck_camera(path)
    height, width = image_hw[:2]
    if camera.size_wh is not None:
        expected = tuple(round(side / factor) for side in camera.size_wh)
        if expected != (width, height):
            known = f"{camera.size_wh[0]} x {camera.size_wh[1]}"
            raise UserError(f"{path}: the camera is for {known}, the image at 1/{factor} is {width} x {height}")
    if camera.distorted:
        warnings.warn(f"{path} has lens distortion, which is not applied", stacklevel=2)
    K = resize_intrinsics(torch.from_numpy(camera.K), 1 / factor, 1 / factor).numpy()
    return rigid_inverse(camera.world_from_camera)[:3], K
