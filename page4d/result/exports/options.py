"""What the export writers have in common: which points, which size, which names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from page4d.geometry import OPENGL_AXES
from page4d.result.cloud import Cloud, CloudOptions, check_moving, cloud_of, usable_pixels
from page4d.result.original import depth_in_original, mask_in_original, with_intrinsics
from page4d.result.pixel_map import PixelMap
from page4d.schema import Prediction, UserError
from page4d.settings import check_values

# OpenCV (x right, y down, z forward) to other axes: y up as in OpenGL, z up as in Blender and nerfstudio.
Z_UP = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
UP_AXES = {"opencv": np.eye(3), "y": np.diag(OPENGL_AXES), "z": np.array(Z_UP)}


@dataclass(frozen=True)
class ExportOptions:
    """How a prediction is written.

    `size` is "original" (the user's own image files) or "input" (what the network saw); `moving` marks moving pixels,
    which formats for still scenes leave out unless `keep_moving`; `images` is the folder of the user's own images, or
    the film. `camera` "single" gives all frames one camera, "each" its own; `up` names the axes of PLY files.
    """

    size: Literal["original", "input"] = "original"
    cloud: CloudOptions = field(default_factory=lambda: CloudOptions(max_points=500_000))
    moving: NDArray[np.bool_] | None = None
    keep_moving: bool = False
    images: Path | None = None
    camera: Literal["each", "single"] = "each"
    up: Literal["opencv", "y", "z"] = "opencv"

    def __post_init__(self) -> None:
        check_values(self, "export ")

    def applied(self, prediction: Prediction) -> Prediction:
        """The prediction with one camera for all frames, where that was asked for: the median of theirs."""
        if self.camera == "each":
            return prediction
        sizes = {(int(h), int(w)) for h, w in prediction.original_hw}
        if len(sizes) > 1:
            raise UserError(f"one camera for all frames needs pictures of one size, these have {sorted(sizes)}")
        K = PixelMap.of(prediction).K_in_original(prediction.K)
        return with_intrinsics(prediction, np.median(K, axis=0))

    def check(self, prediction: Prediction) -> None:
        """Refuse what no writer could use, before anything is written."""
        usable_pixels(prediction)
        check_moving(prediction, self.moving)

    def static_cloud(self, prediction: Prediction) -> Cloud:
        """The points for tools that think the world stands still."""
        cloud = cloud_of(prediction, self.cloud, self.moving)
        still = cloud if self.keep_moving else cloud[~cloud.moving]
        if len(still) == 0:
            raise UserError("every point is marked as moving, so a still scene would be empty; pass --keep-moving")
        return still

    def intrinsics(self, prediction: Prediction) -> NDArray[np.float64]:
        """K (S, 3, 3) in pixels of the chosen size, pixel (0, 0) centred at (0, 0)."""
        if self.size == "original":
            return PixelMap.of(prediction).K_in_original(prediction.K)
        return prediction.K.astype(np.float64)

    def sizes(self, prediction: Prediction) -> list[tuple[int, int]]:
        """Height and width of every frame at the chosen size."""
        if self.size == "original":
            return [(int(h), int(w)) for h, w in prediction.original_hw]
        return [prediction.depth.shape[1:]] * len(prediction)

    def depth(self, prediction: Prediction, frame: int) -> NDArray[np.float32]:
        """One depth map at the chosen size, 0 where there is none."""
        return depth_in_original(prediction, frame) if self.size == "original" else prediction.depth[frame]

    def moving_mask(self, prediction: Prediction, frame: int) -> NDArray[np.bool_]:
        """One moving mask at the chosen size."""
        if self.moving is None:
            raise UserError("there is no moving mask to write; choose one with --moving geometric or --moving model")
        mask = check_moving(prediction, self.moving)[frame]
        return mask_in_original(prediction, mask, frame) if self.size == "original" else mask


def subfolder(folder: Path, name: str) -> Path:
    """`folder/name`, made if need be; UserError if that fails."""
    try:
        (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder / name}: {error.strerror}; choose a folder that is writable") from error
    return folder / name
