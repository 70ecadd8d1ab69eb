"""What the export writers have in common: which points, which size, which names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from page4d.result.cloud import Cloud, CloudOptions, check_moving, cloud_of, valid_pixels
from page4d.result.original import depth_in_original, mask_in_original
from page4d.result.pixel_map import PixelMap
from page4d.schema import Prediction, UserError


@dataclass(frozen=True)
class ExportOptions:
    """How a prediction is written.

    `size` is "original" (the user's own image files) or "input" (what the network saw); `moving` marks moving pixels,
    which formats for still scenes leave out unless `keep_moving`; `images` is the folder of the user's own images.
    """

    size: str = "original"
    cloud: CloudOptions = field(default_factory=lambda: CloudOptions(max_points=500_000))
    moving: NDArray[np.bool_] | None = None
    keep_moving: bool = False
    images: Path | None = None

    def __post_init__(self) -> None:
        if self.size not in ("original", "input"):
            raise UserError(f"export size is {self.size!r}; choose 'original' or 'input'")

    def check(self, prediction: Prediction) -> None:
        """Refuse what no writer could use, before anything is written."""
        valid_pixels(prediction)
        check_moving(prediction, self.moving)
        stems = file_stems(prediction)
        if len(set(stems)) != len(stems):
            raise UserError("two frames have one name, so their files would overwrite each other; rename the images")

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
        mask = self.moving[frame]
        return mask_in_original(prediction, mask, frame) if self.size == "original" else mask


def file_names(prediction: Prediction) -> list[str]:
    """Frame names without folder; `_` for blanks, at which readers of text formats would cut a name."""
    return [re.sub(r"\s+", "_", Path(name).name) for name in prediction.frame_names]


def file_stems(prediction: Prediction) -> list[str]:
    """Frame names without folder and extension, for the files of each frame."""
    return [Path(name).stem for name in file_names(prediction)]


def subfolder(folder: Path, name: str) -> Path:
    """`folder/name`, made if need be; UserError if that fails."""
    try:
        (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder / name}: {error.strerror}; choose a folder that is writable") from error
    return folder / name
