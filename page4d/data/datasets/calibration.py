"""Fixed camera calibrations: the ones that stand on a dataset's web page and not in its files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from page4d.schema import UserError


@dataclass(frozen=True)
class Calibration:
    """A pinhole camera with Brown lens distortion (k1, k2, p1, p2, k3), for one image size.

    Units:   pixels; pixel (0, 0) is centred at (0, 0), which is also OpenCV's convention.
    Raises:  UserError for an impossible size, focal length or number of distortion coefficients.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1 or not min(self.fx, self.fy) > 0:
            raise UserError(f"{self}: expected a size in pixels and positive focal lengths")
        if len(self.distortion) not in (0, 4, 5):
            raise UserError(f"{len(self.distortion)} distortion coefficients; expected none, or k1 k2 p1 p2 (k3)")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K (3, 3) of the stored, still distorted image."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @property
    def distorted(self) -> bool:
        return any(self.distortion)

    def resized(self, width: int, height: int) -> Calibration:
        """The same camera for resized images; distortion acts on normalized coordinates and stays."""
        sx, sy = width / self.width, height / self.height
        cx, cy = (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        return replace(self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=cx, cy=cy)

    def undistorted_matrix(self) -> NDArray[np.float64]:
        """K (3, 3) after `undistort`: the largest pinhole image without a black border (alpha = 0)."""
        if not self.distorted:
            return self.matrix
        size = (self.width, self.height)
        matrix, _ = cv2.getOptimalNewCameraMatrix(self.matrix, np.array(self.distortion), size, 0)
        return np.asarray(matrix, np.float64)

    def undistort(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pinhole image whose K is `undistorted_matrix`, bilinear.

        Raises:  UserError if the image has another size than the calibration is for.
        """
        return np.asarray(self._remapped(image, cv2.INTER_LINEAR), np.uint8)

    def undistort_depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `undistort`, but by nearest neighbour, so that no depth is invented at edges."""
        return np.asarray(self._remapped(depth, cv2.INTER_NEAREST), np.float32)

    def _remapped(self, picture: NDArray[Any], how: int) -> NDArray[Any]:
        if picture.shape[:2] != (self.height, self.width):
            raise UserError(
                f"the image is {picture.shape[1]} x {picture.shape[0]}, the calibration is for {self.width} x "
                f"{self.height}; pass calibration=Calibration(...).resized(width, height) for resized copies"
            )
        if not self.distorted:
            return picture
        columns, rows = _source_pixels(self)
        return np.asarray(cv2.remap(picture, columns, rows, how, borderMode=cv2.BORDER_CONSTANT))


@lru_cache(maxsize=16)
def _source_pixels(lens: Calibration) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For each pixel of the pinhole image where it lies in the stored one: columns and rows, (H, W) each."""
    bend, size = np.array(lens.distortion), (lens.width, lens.height)
    target = lens.undistorted_matrix()
    columns, rows = cv2.initUndistortRectifyMap(lens.matrix, bend, np.eye(3), target, size, cv2.CV_32FC1)
    return np.asarray(columns), np.asarray(rows)
