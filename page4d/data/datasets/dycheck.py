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
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import DepthOptions, Frame, SceneDataset, Source
from page4d.data.datasets.formats import read_npy, read_rgb
from page4d.io.trajectories import read_dycheck_camera, rigid_inverse
from page4d.schema import UserError

FACTORS = {"1x": 1, "2x": 2}
CLAMPED_M = 3.0


class DyCheck(SceneDataset):
    """DyCheck iPhone scenes; `resolution` is 1x (720 x 960) or 2x (half of it), `camera` 0, 1 or 2.

    Frame numbers are the times in the file names. The fixed cameras have no depth: use `DepthOptions(load=False)`.
    """

    name = "dycheck"
    splits = ("test", "val", "train")
    source = Source(
        "DyCheck iPhone",
        "the zip archive of each scene",
        "28 GB for all 14 scenes",
        "https://github.com/KAIR-BAIR/dycheck (docs/DATASETS.md)",
    )

    def __init__(
        self,
        root: Path | str,
        split: str = "test",
        *,
        sequences: Sequence[str] | None = None,
        min_frames: int = 1,
        depth: DepthOptions | None = None,
        resolution: Literal["1x", "2x"] = "1x",
        camera: int = 0,
    ) -> None:
        if resolution not in FACTORS:
            raise UserError(f"dycheck: resolution={resolution!r}; choose {' or '.join(FACTORS)}")
        self.resolution = resolution
        self.camera = camera
        super().__init__(root, split, sequences=sequences, min_frames=min_frames, depth=depth)

    def _scan(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for folder in sorted(self.root.glob(f"*/rgb/{self.resolution}")):
            paths = folder.glob(f"{self.camera}_[0-9]*.png")
            found[folder.parents[1].name] = sorted(int(path.stem.rsplit("_", 1)[1]) for path in paths)
        return found

    def _frame(self, sequence: str, number: int) -> Frame:
        scene, stem = self.root / sequence, f"{self.camera}_{number:05d}"
        image = read_rgb(scene / "rgb" / self.resolution / f"{stem}.png")
        camera_file = scene / "camera" / f"{stem}.json"
        cam_from_world, K = read_camera(camera_file, FACTORS[self.resolution], image.shape[:2])
        depth = self._empty_depth(image)
        if self.depth_options.load:
            depth = read_npy(scene / "depth" / self.resolution / f"{stem}.npy").astype(np.float32)
            depth = depth[..., 0] if depth.ndim == 3 else depth
            depth[depth == CLAMPED_M] = 0
        return Frame(image, depth, cam_from_world, K)


def read_camera(path: Path, factor: int, image_hw: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Camera from world (3, 4) and K (3, 3) for images `factor` times smaller than the camera file says.

    Errors:  UserError for a damaged file, or if the image does not have the file's size divided by the factor.
    """
    camera = read_dycheck_camera(path)
    size = camera.size_wh
    if size is not None and (round(size[0] / factor), round(size[1] / factor)) != (image_hw[1], image_hw[0]):
        raise UserError(
            f"{path}: the camera is for {size[0]} x {size[1]}, the image at 1/{factor} is {image_hw[1]} x {image_hw[0]}"
        )
    if camera.distorted:
        warnings.warn(f"{path} has lens distortion, which is not applied", stacklevel=2)
    K = camera.K.copy()
    K[:2, 2] += 0.5
    K[:2] /= factor
    K[:2, 2] -= 0.5
    return rigid_inverse(camera.world_from_camera)[:3], K
