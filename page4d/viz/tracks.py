"""Point tracks drawn on the frames."""

from __future__ import annotations

import cv2
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from page4d.schema import UserError


def draw_tracks(
    images: NDArray[np.uint8],
    tracks: NDArray[np.floating],
    visible: NDArray[np.floating],
    trail: int = 8,
    enlarge: int = 1,
) -> NDArray[np.uint8]:
    """Every frame with its points and the way they came.

    Shapes:  images (S, H, W, 3), tracks (S, N, 2), visible (S, N) -> (S, enlarge * H, enlarge * W, 3).
    Note:    a point that the network calls hidden (visible < 0.5) is an empty circle.
    """
    if tracks.shape[:2] != visible.shape or len(tracks) != len(images):
        raise UserError(f"{len(images)} images, tracks {tracks.shape}, visible {visible.shape}: sizes do not fit")
    colours = (np.asarray(plt.get_cmap("hsv")(np.linspace(0, 0.9, tracks.shape[1])))[:, :3] * 255).astype(int)
    frames = [cv2.resize(i, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_NEAREST) for i in images]
    # OpenCV draws at 1/16 of a pixel when told so; pixel centres are integers on both sides.
    fixed = np.rint(((tracks + 0.5) * enlarge - 0.5) * 16).astype(int)
    radius = max(2, round(max(frames[0].shape[:2]) / 130))
    for i, frame in enumerate(frames):
        for n, colour in enumerate(colours.tolist()):
            path = fixed[max(0, i - trail) : i + 1, n].reshape(-1, 1, 2)
            cv2.polylines(frame, [path], False, colour, 1, cv2.LINE_AA, 4)
            filled = -1 if visible[i, n] >= 0.5 else 1
            cv2.circle(frame, fixed[i, n].tolist(), radius * 16, colour, filled, cv2.LINE_AA, 4)
    return np.stack(frames).astype(np.uint8)
