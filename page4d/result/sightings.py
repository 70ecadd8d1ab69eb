"""Points of a still world followed through pictures: which frame sees which point where.

They are found by optical flow on the pictures alone, so that they do not know what a network says, and can correct it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from page4d.given import as_mask

CORNERS = 500  # a frame's points; new ones are sought where fewer are left
SPACING = 0.02  # of the diagonal between two of them
QUALITY = 0.001  # of the best corner's strength
RETURNS = 0.5  # pixels between where a point started and where going there and back leads
EPIPOLAR = 1.0  # pixels from the epipolar line of the frames' common motion
LEAST_PAIRS = 16  # for an epipolar geometry that outliers do not make
WINDOW = (15, 15)  # pixels that a point is known by


@dataclass(frozen=True)
class Sightings:
    """Which frame sees which point where.

    Shapes:  frame, point (M,), pixels (M, 2) as (x, y), ordered by frame; points count from 0.
    Units:   pixels, the first centred at (0, 0).
    """

    frame: NDArray[np.int64]
    point: NDArray[np.int64]
    pixels: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def points(self) -> int:
        """How many points there are."""
        return int(self.point.max()) + 1 if len(self) else 0

    @classmethod
    def of_tracks(cls, xy: NDArray[np.floating], visible: NDArray[np.bool_]) -> Sightings:
        """Tracks as a network says them: xy (S, N, 2), visible (S, N)."""
        frame, point = np.nonzero(visible)
        return cls(frame, point, np.asarray(xy[frame, point], np.float64))

    def kept(self, keep: NDArray[np.bool_], least: int = 2) -> Sightings:
        """Those of a mask (M,) whose points have `least` of them, points numbered anew."""
        count = np.bincount(self.point[keep], minlength=self.points)
        keep = keep & (count[self.point] >= least)
        _, point = np.unique(self.point[keep], return_inverse=True)
        return Sightings(self.frame[keep], point.astype(np.int64), self.pixels[keep])


def followed(images: NDArray[np.uint8], still: NDArray[np.bool_] | None = None) -> Sightings:
    """Corners followed from each frame to the next by optical flow, each as far as it can be.

    Shapes:  images (S, H, W, 3), still (S, H, W) -> sightings with at least two of every point.
    Note:    a step counts if the way back leads to its start and it fits the motion that most points share; what is
             not `still` is neither begun nor followed. Frames are taken to follow each other.
    Source:  Shi and Tomasi (1994), corners; Lucas and Kanade (1981) in Bouguet's pyramids, as OpenCV has them.
    """
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    usable = np.ones(images.shape[:3], bool) if still is None else as_mask(still, "still")
    if usable.shape != images.shape[:3]:
        raise ValueError(f"still has shape {usable.shape}, expected {images.shape[:3]}, one value per pixel")
    at, number = np.empty((0, 2), np.float32), np.empty(0, np.int64)
    found, begun = [], 0
    for i, picture in enumerate(grey):
        if i > 0:
            at, kept = step(grey[i - 1], picture, at, usable[i])
            number = number[kept]
        new = new_corners(picture, usable[i], at)
        at = np.concatenate((at, new))
        number = np.concatenate((number, begun + np.arange(len(new))))
        begun += len(new)
        found.append((np.full(len(at), i), number, at.astype(np.float64)))
    frame, point, pixels = (np.concatenate(column) for column in zip(*found, strict=True))
    return Sightings(frame, point, pixels).kept(np.ones(len(frame), bool))


def new_corners(grey: NDArray[np.uint8], usable: NDArray[np.bool_], taken: NDArray[np.float32]) -> NDArray[np.float32]:
    """New corners (N, 2), away from those that are followed already."""
    wanted = CORNERS - len(taken)
    if wanted <= 0:
        return np.empty((0, 2), np.float32)
    spacing = max(SPACING * float(np.hypot(*grey.shape)), 3.0)
    free = usable.astype(np.uint8)
    for x, y in taken:
        cv2.circle(free, (round(float(x)), round(float(y))), round(spacing), 0, -1)
    corners = cv2.goodFeaturesToTrack(grey, wanted, QUALITY, spacing, mask=free)
    return np.empty((0, 2), np.float32) if corners is None else np.asarray(corners, np.float32).reshape(-1, 2)


def step(
    first: NDArray[np.uint8], second: NDArray[np.uint8], at: NDArray[np.float32], usable: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Where points (N, 2) of a frame are in the next, and which of them are there."""
    if not len(at):
        return at, np.empty(0, np.int64)
    there, arrived = _flow(first, second, at)
    back, returned = _flow(second, first, there)
    height, width = second.shape
    column, row = np.rint(there).astype(np.int64).T
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    kept = np.flatnonzero(inside & arrived & returned & (np.linalg.norm(back - at, axis=-1) < RETURNS))
    kept = kept[usable[row[kept], column[kept]]]
    kept = kept[_one_motion(at[kept], there[kept])]
    return there[kept], kept


def _flow(
    first: NDArray[np.uint8], second: NDArray[np.uint8], at: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points (N, 2) of one picture are in another, and which of them were found."""
    start = at[:, None].copy()
    there, found, _ = cv2.calcOpticalFlowPyrLK(first, second, at[:, None], start, winSize=WINDOW, maxLevel=3)
    return np.asarray(there, np.float32)[:, 0], np.asarray(found)[:, 0] == 1


def _one_motion(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pairs of points (N, 2) fit the epipolar geometry of most; all of a few, which do not say."""
    everything = np.ones(len(first), bool)
    if len(first) < LEAST_PAIRS:
        return everything
    matrix, fits = cv2.findFundamentalMat(first, second, cv2.FM_RANSAC, EPIPOLAR, 0.999)
    return everything if matrix is None or fits is None else np.asarray(fits[:, 0] == 1)
