"""Fixed camera calibrations: the ones that stand on a dataset's web page and not in its files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from page4d.schema import UserError


@dataclass(frozen=True)
class Calibration:
    """A pinhole camera with Brown lens distortion (k1, k2, p1, p2, k3), for one image size.

    Units:   pixels; pixel (0, 0) is centred at (0, 0), which is also OpenCV's convention.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K (3, 3) of the stored, still distorted image."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @property
    def distorted(self) -> bool:
        return any(self.distortion)

    def resized(self, width: int, height: int) -> Calibration:
        """The same camera for resized images; distortion acts on normalised coordinates and stays."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def undistorted_matrix(self) -> NDArray[np.float64]:
        """K (3, 3) after `undistort`: the largest pinhole image without a black border (alpha = 0)."""
        if not self.distorted:
            return self.matrix
        size = (self.width, self.height)
        matrix, _ = cv2.getOptimalNewCameraMatrix(self.matrix, np.array(self.distortion), size, 0)
        return np.asarray(matrix, np.float64)

    def undistort(
        self, image: NDArray[np.uint8], depth: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float64]]:
        """Pinhole image (bilinear), depth (nearest, so that no depth is invented at edges) and their K.

        Errors:  UserError if the image has another size than the calibration is for.
        """
        if image.shape[:2] != (self.height, self.width):
            raise UserError(
                f"the image is {image.shape[1]} x {image.shape[0]}, the calibration is for {self.width} x "
                f"{self.height}; pass calibration=Calibration(...).resized(width, height) for resized copies"
            )
        if not self.distorted:
            return image, depth, self.matrix
        K = self.undistorted_matrix()
        maps = cv2.initUndistortRectifyMap(
            self.matrix, np.array(self.distortion), np.eye(3), K, (self.width, self.height), cv2.CV_32FC1
        )
        return _remap(image, maps, cv2.INTER_LINEAR), _remap(depth, maps, cv2.INTER_NEAREST), K


def _remap(picture: NDArray[Any], maps: Any, how: int) -> NDArray[Any]:
    return np.asarray(cv2.remap(picture, maps[0], maps[1], how, borderMode=cv2.BORDER_CONSTANT))


def rotation_from_quaternion(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation (3, 3) from x, y, z, w of any non-zero length, in float64.

    Errors:  UserError if the quaternion is zero or not finite.
    """
    length = float(np.linalg.norm(quaternion))
    if not np.isfinite(length) or length < 1e-9:
        raise UserError(f"the quaternion {quaternion.tolist()} is no rotation; the pose file is damaged")
    x, y, z, w = quaternion / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def pose_from_tum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 4) from tx ty tz qx qy qz qw."""
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_quaternion(values[3:7])
    pose[:3, 3] = values[:3]
    return pose
